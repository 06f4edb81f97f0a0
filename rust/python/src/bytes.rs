//! Making `bytes` objects. Nothing here runs Python code: `bytes` are not tracked
//! by the garbage collector, so that making one cannot start it.

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Returns a new reference to `bytes` with a copy of `data`, or null with an
/// exception set.
///
/// # Safety
///
/// The thread must be attached to the interpreter.
#[inline]
#[expect(
    clippy::cast_possible_wrap,
    reason = "the length of a slice fits in an isize"
)]
pub(crate) unsafe fn copy(data: &[u8]) -> *mut ffi::PyObject {
    // SAFETY: we are attached; pointer and length are those of a slice.
    unsafe { ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len() as ffi::Py_ssize_t) }
}

/// The memory of a `bytes` object that is being written from its start on.
pub(crate) struct Writer {
    end: *mut u8,
    room: usize,
}

impl Writer {
    pub(crate) fn write(&mut self, data: &[u8]) {
        assert!(data.len() <= self.room, "a bytes object is full");
        // SAFETY: `end` is followed by `room` bytes of the new object (see
        // `build`), which `data` cannot overlap.
        unsafe {
            ptr::copy_nonoverlapping(data.as_ptr(), self.end, data.len());
            self.end = self.end.add(data.len());
        }
        self.room -= data.len();
    }
}

/// Returns `bytes` of `length` bytes, all of which `fill` writes.
pub(crate) fn build(
    py: Python<'_>,
    length: usize,
    fill: impl FnOnce(&mut Writer),
) -> PyResult<Bound<'_, PyBytes>> {
    let size = ffi::Py_ssize_t::try_from(length)?;
    // SAFETY: we are attached, for `py` says so. What is returned is null or a new
    // object of type `bytes` with memory for `length` bytes, which nobody else
    // knows; it is handed out only when all of them have been written.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(ptr::null(), size);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let mut writer = Writer {
            end: ffi::PyBytes_AsString(object.as_ptr()).cast(),
            room: length,
        };
        fill(&mut writer);
        assert!(writer.room == 0, "a bytes object is not full");
        Ok(object.cast_into_unchecked())
    }
}
