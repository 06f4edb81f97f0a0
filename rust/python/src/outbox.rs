//! What waits to be written on one connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyBytes, PyString};
use xmlsocket_codec::{check_payloads, write_frames};

use crate::bytes;

/// Frames that are put one by one are merged into blocks of about this size, the
/// usual high-water mark: most turns need one block.
const MERGE: usize = 65536;

/// Memory for the first frames of a block.
const START: usize = 1024;

/// Frames that are written together.
enum Block {
    /// An object that other connections may share.
    Shared(Py<PyBytes>),
    /// Frames that were put one by one.
    Merged(Vec<u8>),
}

impl Block {
    fn as_bytes<'a>(&'a self, py: Python<'_>) -> &'a [u8] {
        match self {
            Self::Shared(data) => data.as_bytes(py),
            Self::Merged(data) => data,
        }
    }
}

/// A block, and what it is charged.
struct Entry {
    block: Block,
    charge: usize,
}

/// Frames in the order in which they will be written, and the account of them.
#[derive(Default)]
struct Queue {
    sealed: VecDeque<Entry>,
    /// The block at the end, to which `put` adds. Empty unless `put` was the last.
    open: Vec<u8>,
    open_charge: usize,
    charge: usize,
    /// The charge up to which `put` takes documents; `None` while it takes none. It
    /// takes none either while nothing waits.
    room: Option<usize>,
    frames: u64,
    bytes: u64,
}

impl Queue {
    /// Appends a frame to the open block.
    fn merge(&mut self, payload: &[u8], charge: usize) {
        let size = payload.len() + 1;
        if self.open.len() + size > self.open.capacity() {
            self.make_room(size);
        }
        write_frames(&[payload], |part| self.open.extend_from_slice(part));
        self.open_charge += charge;
        self.count(1, size, charge);
    }

    #[cold]
    fn make_room(&mut self, size: usize) {
        if self.open.len() + size > MERGE {
            self.seal();
        }
        self.open.reserve(size.max(START));
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push_back(Entry {
                block: Block::Merged(std::mem::take(&mut self.open)),
                charge: std::mem::take(&mut self.open_charge),
            });
        }
    }

    fn share(&mut self, data: Py<PyBytes>, size: usize, frames: u64, charge: usize) {
        self.seal();
        self.sealed.push_back(Entry {
            block: Block::Shared(data),
            charge,
        });
        self.count(frames, size, charge);
    }

    fn count(&mut self, frames: u64, size: usize, charge: usize) {
        self.frames += frames;
        self.bytes += size as u64;
        self.charge += charge;
    }

    /// Takes blocks off the front until they hold `limit` bytes or more.
    fn take(&mut self, py: Python<'_>, limit: usize) -> (Vec<Block>, usize) {
        self.seal();
        let mut taken = Vec::new();
        let mut size = 0;
        while size < limit
            && let Some(Entry { block, charge }) = self.sealed.pop_front()
        {
            size += block.as_bytes(py).len();
            self.charge -= charge;
            taken.push(block);
        }
        if self.sealed.is_empty() {
            // Ten thousand idle connections must not keep what one turn needed.
            self.sealed = VecDeque::new();
        }
        (taken, size)
    }
}

/// The frames that wait to be written on one connection, and the account of them.
#[pyclass(frozen, module = "xmlsocket._rust")]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    overhead: usize,
}

#[pymethods]
impl Outbox {
    #[new]
    #[pyo3(signature = (overhead, /))]
    fn new(overhead: usize) -> Self {
        Self {
            queue: Mutex::default(),
            overhead,
        }
    }

    /// Take a document unless something stands in its way; return what to await.
    #[pyo3(signature = (document, /))]
    fn put<'py>(&self, document: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = document.py();
        let payload = if let Ok(data) = document.cast_exact::<PyBytes>() {
            data.as_bytes()
        } else if let Ok(text) = document.cast_exact::<PyString>() {
            match text.to_str() {
                Ok(text) => text.as_bytes(),
                // No UTF-8: the long way reports it.
                Err(_) => return Ok(None),
            }
        } else {
            return Ok(None);
        };
        let mut queue = self.enter(py);
        let charge = payload.len() + 1 + self.overhead;
        // With something queued a flush will come; the first document of a turn has
        // to be seen to by Python.
        let fits = queue.charge > 0 && queue.room.is_some_and(|room| queue.charge + charge <= room);
        if !fits || check_payloads(&[payload]).is_err() {
            return Ok(None);
        }
        queue.merge(payload, charge);
        drop(queue);
        Sent::get(py).map(Some)
    }

    /// Append frames that are encoded and return the charge of all that waits.
    #[pyo3(signature = (data, frames = 1, /))]
    fn push(&self, data: Bound<'_, PyBytes>, frames: u64) -> usize {
        let py = data.py();
        let size = data.as_bytes().len();
        let mut queue = self.enter(py);
        queue.share(data.unbind(), size, frames, size + self.overhead);
        queue.charge
    }

    /// Take what to write next, ``limit`` bytes or up to one block more.
    #[pyo3(signature = (limit, /))]
    fn take<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyBytes>> {
        let (blocks, size) = self.enter(py).take(py, limit);
        if let [Block::Shared(data)] = blocks.as_slice() {
            return Ok(data.bind(py).clone());
        }
        bytes::build(py, size, |writer| {
            for block in &blocks {
                writer.write(block.as_bytes(py));
            }
        })
    }

    /// Drop all that waits.
    fn clear(&self, py: Python<'_>) {
        let mut queue = self.enter(py);
        let dropped = std::mem::take(&mut *queue);
        queue.frames = dropped.frames;
        queue.bytes = dropped.bytes;
        drop(queue);
    }

    #[getter]
    fn room(&self, py: Python<'_>) -> Option<usize> {
        self.enter(py).room
    }

    /// Set the charge up to which `put` takes documents.
    #[setter]
    fn set_room(&self, py: Python<'_>, room: Option<usize>) {
        self.enter(py).room = room;
    }

    /// What waits: its bytes, and the overhead of every frame or block.
    #[getter]
    fn charge(&self, py: Python<'_>) -> usize {
        self.enter(py).charge
    }

    /// Frames taken so far.
    #[getter]
    fn frames(&self, py: Python<'_>) -> u64 {
        self.enter(py).frames
    }

    /// Bytes taken so far, delimiters included.
    #[getter]
    fn bytes(&self, py: Python<'_>) -> u64 {
        self.enter(py).bytes
    }
}

impl Outbox {
    fn enter(&self, py: Python<'_>) -> MutexGuard<'_, Queue> {
        self.queue
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `Outbox.put` returns: a coroutine that has ended before it began.
///
/// Awaiting a coroutine of Python costs more than all of `put`.
#[pyclass(frozen, module = "xmlsocket._rust")]
pub(crate) struct Sent;

static SENT: PyOnceLock<Py<Sent>> = PyOnceLock::new();

impl Sent {
    /// Returns the one object there is: it has no state.
    fn get(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let sent = SENT.get_or_try_init(py, || Py::new(py, Self))?;
        Ok(sent.bind(py).clone().into_any())
    }
}

// The methods of `collections.abc.Coroutine`, so that tasks can be made of it.
#[pymethods]
impl Sent {
    #[pyo3(name = "__await__")]
    fn dunder_await(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[expect(clippy::unused_self, reason = "Python calls it with one")]
    fn __next__(&self) -> Option<()> {
        None
    }

    #[expect(clippy::unused_self, reason = "Python calls it with one")]
    #[pyo3(signature = (value, /))]
    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = value;
        Err(PyStopIteration::new_err(()))
    }

    #[expect(clippy::unused_self, reason = "Python calls it with one")]
    #[pyo3(signature = (error, value = None, traceback = None, /))]
    fn throw(
        &self,
        error: Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (value, traceback);
        Err(PyErr::from_value(error))
    }

    #[expect(clippy::unused_self, reason = "Python calls it with one")]
    fn close(&self) {}
}
