//! The way out: payloads become frames.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyString};
use xmlsocket_codec::{encode_into, encoded_len};

use crate::errors::DelimiterInPayload;
use crate::input;

/// Bytes of a payload that nothing can change: `bytes`, or the UTF-8 of a `str`.
enum Payload {
    Bytes(PyBackedBytes),
    Text(PyBackedStr),
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

impl Payload {
    fn new(payload: Bound<'_, PyAny>) -> PyResult<Self> {
        let payload = match payload.cast_into_exact::<PyBytes>() {
            Ok(bytes) => return Ok(Self::Bytes(bytes.into())),
            Err(error) => error.into_inner(),
        };
        if let Ok(text) = payload.cast::<PyString>() {
            return Ok(Self::Text(text.clone().try_into()?));
        }
        let copy = input::to_bytes(&payload).map_err(|error| {
            if error.is_instance_of::<PyTypeError>(payload.py()) {
                return not_a_payload(&payload);
            }
            error
        })?;
        Ok(Self::Bytes(copy.into()))
    }
}

fn not_a_payload(payload: &Bound<'_, PyAny>) -> PyErr {
    match payload.get_type().name() {
        Ok(kind) => PyTypeError::new_err(format!("payload must be bytes-like or str, not {kind}")),
        Err(error) => error,
    }
}

/// Return a payload as one frame: itself and the delimiter.
#[pyfunction]
#[pyo3(signature = (payload, /))]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    payload: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let payload = Payload::new(payload)?;
    write(py, &[payload], |fault| {
        DelimiterInPayload::new_err(fault.index)
    })
}

/// Return every payload as a frame, all in one `bytes`, in order.
#[pyfunction]
#[pyo3(signature = (payloads, /))]
pub(crate) fn encode_many<'py>(
    py: Python<'py>,
    payloads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    // All of them first, as documented: what the iterable raises comes before any
    // fault of a payload.
    let items = payloads.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let payloads = items
        .into_iter()
        .map(Payload::new)
        .collect::<PyResult<Vec<_>>>()?;
    write(py, &payloads, |fault| {
        DelimiterInPayload::new_err((fault.index, fault.item))
    })
}

/// Writes the frames into an object of exactly their size.
fn write<'py>(
    py: Python<'py>,
    payloads: &[Payload],
    refuse: impl FnOnce(xmlsocket_codec::DelimiterInPayload) -> PyErr,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, encoded_len(payloads), |memory| {
        encode_into(payloads, memory).map_err(refuse)
    })
}
