//! The way out: payloads become frames.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use xmlsocket_codec::{check_payloads, write_frames};

use crate::docs::twin;
use crate::errors::DelimiterInPayload;
use crate::{bytes, input};

/// Bytes of a payload that nothing can change.
enum Payload<'a, 'py> {
    /// Those of a `bytes`, or the UTF-8 of a `str`, as long as the object lives.
    Borrowed(&'a [u8]),
    /// A copy of any other buffer.
    Copied(Bound<'py, PyBytes>),
}

impl AsRef<[u8]> for Payload<'_, '_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Copied(bytes) => bytes.as_bytes(),
        }
    }
}

impl<'a, 'py> Payload<'a, 'py> {
    fn new(payload: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if payload.is_exact_instance_of::<PyBytes>() {
            return Ok(Self::Borrowed(payload.extract()?));
        }
        if payload.is_instance_of::<PyString>() {
            let text: &str = payload.extract()?;
            return Ok(Self::Borrowed(text.as_bytes()));
        }
        match input::to_bytes(&payload) {
            Ok(copy) => Ok(Self::Copied(copy)),
            Err(error) if error.is_instance_of::<PyTypeError>(payload.py()) => {
                let kind = payload.get_type().name()?;
                Err(PyTypeError::new_err(format!(
                    "payload must be bytes-like or str, not {kind}"
                )))
            }
            Err(error) => Err(error),
        }
    }
}

#[doc = twin!("encode")]
#[pyfunction]
#[pyo3(signature = (payload, /))]
pub(crate) fn encode<'py>(payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let payloads = [Payload::new(payload.as_borrowed())?];
    let length =
        check_payloads(&payloads).map_err(|fault| DelimiterInPayload::new_err(fault.index))?;
    write(payload.py(), &payloads, length)
}

#[doc = twin!("encode_many")]
#[pyfunction]
#[pyo3(signature = (payloads, /))]
pub(crate) fn encode_many<'py>(payloads: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = payloads.py();
    // A tuple keeps its items alive and cannot change; from a list it is made at
    // the speed of a copy.
    //
    // SAFETY: we are attached; what is returned is null or a new tuple.
    let items: Bound<'_, PyTuple> = unsafe {
        let items = ffi::PySequence_Tuple(payloads.as_ptr());
        Bound::from_owned_ptr_or_err(py, items)?.cast_into_unchecked()
    };
    let payloads = items
        .iter_borrowed()
        .map(Payload::new)
        .collect::<PyResult<Vec<_>>>()?;
    let length = check_payloads(&payloads)
        .map_err(|fault| DelimiterInPayload::new_err((fault.index, fault.item)))?;
    write(py, &payloads, length)
}

/// Writes the frames of `payloads`, `length` bytes, into an object of that size.
fn write<'py>(
    py: Python<'py>,
    payloads: &[Payload],
    length: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    bytes::build(py, length, |writer| {
        write_frames(payloads, |part| writer.write(part));
    })
}
