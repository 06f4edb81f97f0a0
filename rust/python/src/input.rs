//! Taking bytes from Python.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// Returns `data` itself if it is `bytes`, a copy if it is any other buffer.
///
/// Only the exact type is taken as it is: it is the one whose memory nothing can
/// change while Rust looks at it. A view of immutable memory cannot be told from
/// one of mutable memory.
///
/// # Errors
///
/// The `TypeError` of `memoryview()` if `data` is no buffer.
pub(crate) fn to_bytes<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(bytes.clone());
    }
    // Through a view: `bytes()` of a number or a list means something else.
    let view = PyMemoryView::from(data)?;
    let copy = data.py().get_type::<PyBytes>().call1((view,))?;
    Ok(copy.cast_into::<PyBytes>()?)
}
