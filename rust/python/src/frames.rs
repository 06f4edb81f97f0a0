//! Building the list of frames that a call returns.

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// The frames that a call returns, under construction.
///
/// Nothing here runs Python code but [`into_list`](Self::into_list): making a list
/// can start a garbage collection. It comes last, when the decoder's lock has been
/// released and no memory is borrowed any more.
///
/// Collecting first and making a list of the right length then is also the
/// quickest way: 22.4 ns a frame of 8 bytes against 21.7 to 25 for appending to
/// a list (which grows by an eighth a time), 54 against 58 ns a frame of 128 bytes
/// in reads of 1460. Collecting offsets first gains no more.
pub(crate) struct Frames<'py> {
    py: Python<'py>,
    /// References that are ours, to objects of type `bytes`.
    objects: Vec<NonNull<ffi::PyObject>>,
    failed: bool,
}

impl<'py> Frames<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self {
            py,
            objects: Vec::with_capacity(16),
            failed: false,
        }
    }

    /// Appends a copy of `frame`. Runs no Python code.
    #[inline]
    pub(crate) fn push(&mut self, frame: &[u8]) {
        // SAFETY: we are attached, for `self.py` says so.
        match NonNull::new(unsafe { allocate(frame) }) {
            Some(object) => self.objects.push(object),
            None => self.failed = true,
        }
    }

    /// Returns the list, or the `MemoryError` that made it incomplete.
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the length of a vector fits in an isize"
    )]
    pub(crate) fn into_list(mut self) -> PyResult<Bound<'py, PyList>> {
        if self.failed {
            return Err(PyErr::fetch(self.py));
        }
        let length = self.objects.len() as ffi::Py_ssize_t;
        // SAFETY: we are attached. What is returned is null or a new list, which
        // nobody else knows before all its places are filled; each place takes
        // over a reference of ours, and `drain` forgets it.
        unsafe {
            let list = Bound::from_owned_ptr_or_err(self.py, ffi::PyList_New(length))?;
            for (index, object) in (0..length).zip(self.objects.drain(..)) {
                ffi::PyList_SetItem(list.as_ptr(), index, object.as_ptr());
            }
            Ok(list.cast_into_unchecked())
        }
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        for object in self.objects.drain(..) {
            // SAFETY: we are attached, and the reference is ours.
            unsafe { ffi::Py_DECREF(object.as_ptr()) };
        }
    }
}

/// Returns a new reference to `bytes` with a copy of `data`, or null.
///
/// # Safety
///
/// The thread must be attached to the interpreter.
#[inline]
#[expect(
    clippy::cast_possible_wrap,
    reason = "the length of a slice fits in an isize"
)]
unsafe fn allocate(data: &[u8]) -> *mut ffi::PyObject {
    // SAFETY: we are attached; pointer and length are those of a slice.
    unsafe { ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len() as ffi::Py_ssize_t) }
}

/// Returns `bytes` with a copy of `data`. Runs no Python code.
pub(crate) fn new_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: we are attached, for `py` says so, and what is returned is `bytes`.
    unsafe { Ok(Bound::from_owned_ptr_or_err(py, allocate(data))?.cast_into_unchecked()) }
}
