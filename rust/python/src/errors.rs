//! The exceptions. They are Python classes, so that they can be pickled, read and
//! vendored with the pure codec, and so that both codecs raise the same ones.

pyo3::import_exception!(xmlsocket.pure, ConcurrencyError);
pyo3::import_exception!(xmlsocket.pure, DelimiterInPayload);
pyo3::import_exception!(xmlsocket.pure, DocumentError);
pyo3::import_exception!(xmlsocket.pure, FrameTooBig);
pyo3::import_exception!(xmlsocket.pure, IncompleteFrame);
pyo3::import_exception!(xmlsocket.pure, InvalidState);
