//! The check before a parser.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::docs::twin;
use crate::errors::DocumentError;

#[doc = twin!("check_document")]
#[pyfunction]
#[pyo3(signature = (frame, /))]
pub(crate) fn check_document(frame: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(bytes) = frame.cast::<PyBytes>() else {
        return Err(PyTypeError::new_err(format!(
            "frame must be bytes, not {}",
            frame.get_type().name()?
        )));
    };
    let data = bytes.as_bytes();
    xmlsocket_codec::check_document(data).map_err(|error| {
        let (line, column) = error.line_and_column(data);
        let reason = error.fault.to_string();
        DocumentError::new_err((reason, bytes.clone().unbind(), line, column))
    })
}
