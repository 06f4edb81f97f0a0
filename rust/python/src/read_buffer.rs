//! The memory that sockets read into.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyMemoryView};

use crate::docs::twin;

/// Whether the interpreter has a lock that all Python code holds.
///
/// Told by the size of an object's head, two words with the lock and more
/// without, because the configuration flag for it is visible only to crates whose
/// build script asks `pyo3-build-config` for it. An opaque head (abi3t) counts as "no lock", which is safe.
const GLOBAL_LOCK: bool = size_of::<ffi::PyObject>() == 2 * size_of::<usize>();

#[doc = twin!("ReadBuffer")]
#[pyclass(frozen, module = "xmlsocket._rust")]
pub(crate) struct ReadBuffer {
    /// An export of a `bytearray`, held as long as this object lives: while an
    /// export exists Python refuses to resize the memory, so it never moves, even
    /// if somebody releases `view`.
    memory: PyBuffer<u8>,
    view: Py<PyMemoryView>,
}

#[pymethods]
impl ReadBuffer {
    #[new]
    #[pyo3(signature = (size = 65536))]
    pub(crate) fn new(py: Python<'_>, size: isize) -> PyResult<Self> {
        if size < 1 {
            return Err(PyValueError::new_err(format!(
                "size must be at least 1, not {size}"
            )));
        }
        let memory = PyByteArray::new_with(py, size.unsigned_abs(), |_| Ok(()))?;
        Ok(Self {
            view: PyMemoryView::from(&memory)?.unbind(),
            memory: PyBuffer::get(&memory)?,
        })
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    fn __repr__(&self) -> String {
        format!("<ReadBuffer size={}>", self.len())
    }
}

impl ReadBuffer {
    /// Size of a buffer that nobody asked for, in bytes.
    pub(crate) const DEFAULT_SIZE: isize = 65536;

    pub(crate) fn len(&self) -> usize {
        self.memory.len_bytes()
    }

    /// Returns the one writable view of the memory.
    pub(crate) fn view<'py>(&self, py: Python<'py>) -> &Bound<'py, PyMemoryView> {
        self.view.bind(py)
    }

    /// Calls `read` with the first `length` bytes.
    ///
    /// # Safety
    ///
    /// `read` must not run Python code, nor detach from the interpreter.
    pub(crate) unsafe fn with_first<R>(
        &self,
        py: Python<'_>,
        length: usize,
        read: impl FnOnce(&[u8]) -> R,
    ) -> PyResult<R> {
        let length = length.min(self.len());
        if !GLOBAL_LOCK {
            let mut copy = vec![0; self.len()];
            self.memory.copy_to_slice(py, &mut copy)?;
            return Ok(read(&copy[..length]));
        }
        let start = self.memory.buf_ptr().cast_const().cast::<u8>();
        // SAFETY: the export keeps the memory alive and in place, and `length` is
        // not more than it has. Python code can write to it through a view, but
        // only while it holds the interpreter's lock, which is ours until `read`
        // returns. Left to the caller of the Python API, as its documentation
        // says: no system call of another thread may be writing to the memory,
        // for such a call runs without the lock.
        let bytes = unsafe { std::slice::from_raw_parts(start, length) };
        Ok(read(bytes))
    }
}
