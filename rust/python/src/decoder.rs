//! The decoder.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBool, PyBytes, PyList, PyMemoryView};
use xmlsocket_codec::{Config, Error, Oversize, Scanner};

use crate::docs::twin;
use crate::errors::{ConcurrencyError, FrameTooBig, IncompleteFrame, InvalidState};
use crate::frames::{Frames, Splitter};
use crate::input;
use crate::read_buffer::ReadBuffer;
use crate::tail::Tail;

/// The largest `max_size`, the same as in the pure codec.
const LARGEST_SIZE: u64 = 1 << 62;

/// What a decoder knows of its stream.
struct Stream {
    scanner: Scanner,
    tail: Tail,
}

impl Stream {
    /// Adds the frames that `data` completes. Runs no Python code.
    ///
    /// What stops the stream here is latched; the next call raises it.
    fn feed<'py>(
        &mut self,
        data: &[u8],
        read: Option<&Bound<'py, PyBytes>>,
        frames: &mut Frames<'py>,
    ) {
        let tail = &mut self.tail;
        let _ = self
            .scanner
            .split(data, &mut Splitter { frames, tail, read });
    }
}

#[doc = twin!("Decoder")]
#[pyclass(frozen, module = "xmlsocket._rust")]
pub(crate) struct Decoder {
    stream: Mutex<Stream>,
    /// Whether a thread is changing the stream. Apart from the lock, which those
    /// hold for a moment who only read a counter.
    inside: AtomicBool,
    /// Outside of the lock, because making one can run Python code.
    read_buffer: OnceLock<Py<ReadBuffer>>,
}

/// An argument as it was given, to be judged with words of our own.
enum Argument<'py> {
    Default,
    Given(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Argument<'py> {
    type Error = std::convert::Infallible;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self::Given(object.to_owned()))
    }
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(
        signature = (
            *,
            max_size = Argument::Default,
            oversize = Argument::Default,
            skip_empty = None,
            read_buffer = None
        ),
        text_signature = "(*, max_size=1048576, oversize='raise', skip_empty=False, read_buffer=None)"
    )]
    fn new(
        max_size: Argument<'_>,
        oversize: Argument<'_>,
        skip_empty: Option<Bound<'_, PyAny>>,
        read_buffer: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let oversize = parse_oversize(oversize)?;
        let read_buffer = read_buffer.map(parse_read_buffer).transpose()?;
        let max_size = parse_max_size(max_size)?;
        let skip_empty = match skip_empty {
            Some(value) => value.is_truthy()?,
            None => false,
        };
        let config = Config {
            max_size,
            oversize,
            skip_empty,
        };
        let most = max_size.and_then(|size| usize::try_from(size).ok());
        let stream = Stream {
            scanner: Scanner::new(config),
            tail: Tail::new(most.unwrap_or(usize::MAX)),
        };
        Ok(Self {
            stream: Mutex::new(stream),
            inside: AtomicBool::new(false),
            read_buffer: read_buffer.map_or_else(OnceLock::new, OnceLock::from),
        })
    }

    #[doc = twin!("Decoder.feed")]
    #[pyo3(signature = (data, /))]
    fn feed<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        // Converted now, because that can run Python code; judged after the state
        // of the decoder, because that is the order of the errors.
        let data = input::to_bytes(data);
        let mut frames = Frames::new(py);
        let mut stream = self.enter_running(py, "feed")?;
        let data = data?;
        stream.feed(data.as_bytes(), Some(&data), &mut frames);
        drop(stream);
        frames.into_list()
    }

    #[doc = twin!("Decoder.get_buffer")]
    #[pyo3(signature = (sizehint = None, /), text_signature = "($self, sizehint=-1, /)")]
    fn get_buffer<'py>(
        &self,
        py: Python<'py>,
        sizehint: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        // asyncio passes a hint. There is only one size.
        let _ = sizehint;
        if let Some(buffer) = self.read_buffer.get() {
            return Ok(buffer.get().view(py).clone());
        }
        // Not in `get_or_init`: what making it runs could come here again. If
        // another thread is quicker, its buffer is taken and this one dropped.
        let fresh = Py::new(py, ReadBuffer::new(py, ReadBuffer::DEFAULT_SIZE)?)?;
        let buffer = self.read_buffer.get_or_init(|| fresh);
        Ok(buffer.get().view(py).clone())
    }

    #[doc = twin!("Decoder.buffer_updated")]
    #[pyo3(signature = (nbytes, /))]
    fn buffer_updated<'py>(
        &self,
        py: Python<'py>,
        nbytes: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let count = nbytes.extract::<usize>();
        let mut frames = Frames::new(py);
        let mut stream = self.enter_running(py, "buffer_updated")?;
        let Some(buffer) = self.read_buffer.get() else {
            drop(stream);
            return Err(InvalidState::new_err(
                "buffer_updated() before get_buffer()",
            ));
        };
        let buffer = buffer.get();
        let count = match count {
            Ok(count) if count <= buffer.len() => count,
            other => {
                drop(stream);
                return Err(bad_count(nbytes, other.err(), buffer));
            }
        };
        // SAFETY: `Stream::feed` runs no Python code.
        let fed =
            unsafe { buffer.with_first(py, count, |data| stream.feed(data, None, &mut frames)) };
        drop(stream);
        fed?;
        frames.into_list()
    }

    #[doc = twin!("Decoder.feed_eof")]
    fn feed_eof(&self, py: Python<'_>) -> PyResult<()> {
        let mut stream = self.enter(py)?;
        match stream.scanner.finish() {
            Ok(()) => Ok(()),
            Err(error) => Err(exception(py, error, stream)),
        }
    }

    #[doc = twin!("Decoder.discard")]
    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        let mut stream = self.enter(py)?;
        // What was unfinished is latched, and of no interest here.
        let _ = stream.scanner.finish();
        stream.tail.clear();
        Ok(())
    }

    #[doc = twin!("Decoder.error")]
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let stream = self.read(py);
        let error = exception(py, stream.scanner.error()?, stream);
        Some(error.into_value(py).into_bound(py).into_any())
    }

    #[doc = twin!("Decoder.buffered")]
    #[getter]
    fn buffered(&self, py: Python<'_>) -> usize {
        self.read(py).tail.len()
    }

    #[doc = twin!("Decoder.bytes_in")]
    #[getter]
    fn bytes_in(&self, py: Python<'_>) -> u64 {
        self.read(py).scanner.bytes_in()
    }

    #[doc = twin!("Decoder.bytes_scanned")]
    #[getter]
    fn bytes_scanned(&self, py: Python<'_>) -> u64 {
        self.read(py).scanner.bytes_scanned()
    }

    #[doc = twin!("Decoder.frames_in")]
    #[getter]
    fn frames_in(&self, py: Python<'_>) -> u64 {
        self.read(py).scanner.frames_in()
    }

    #[doc = twin!("Decoder.payload_in")]
    #[getter]
    fn payload_in(&self, py: Python<'_>) -> u64 {
        self.read(py).scanner.payload_in()
    }

    #[doc = twin!("Decoder.empty_skipped")]
    #[getter]
    fn empty_skipped(&self, py: Python<'_>) -> u64 {
        self.read(py).scanner.empty_skipped()
    }

    #[doc = twin!("Decoder.oversize_skipped")]
    #[getter]
    fn oversize_skipped(&self, py: Python<'_>) -> u64 {
        self.read(py).scanner.oversize_skipped()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let stream = self.read(py);
        let scanner = &stream.scanner;
        let max_size = scanner
            .config()
            .max_size
            .map_or_else(|| "None".into(), |limit| limit.to_string());
        format!(
            "<Decoder max_size={max_size} buffered={} frames_in={}>",
            stream.tail.len(),
            scanner.frames_in()
        )
    }
}

/// Says that nobody is inside any more.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The stream, for the one thread that may change it.
struct Entered<'a> {
    // Dropped in this order.
    stream: MutexGuard<'a, Stream>,
    _leave: Leave<'a>,
}

impl Deref for Entered<'_> {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

impl Decoder {
    /// Enters the decoder to change it.
    fn enter(&self, py: Python<'_>) -> PyResult<Entered<'_>> {
        if self.inside.swap(true, Ordering::Acquire) {
            return Err(ConcurrencyError::new_err(
                "two threads are inside one decoder",
            ));
        }
        let leave = Leave(&self.inside);
        Ok(Entered {
            stream: self.read(py),
            _leave: leave,
        })
    }

    /// Enters the decoder unless it has stopped; then returns the reason as error.
    fn enter_running(&self, py: Python<'_>, call: &str) -> PyResult<Entered<'_>> {
        let stream = self.enter(py)?;
        if stream.scanner.is_finished() {
            drop(stream);
            return Err(InvalidState::new_err(format!("{call}() after feed_eof()")));
        }
        match stream.scanner.error() {
            None => Ok(stream),
            Some(error) => Err(exception(py, error, stream)),
        }
    }

    /// Enters the decoder to look at it, waiting for a thread that is inside: a
    /// counter may be read at any time.
    fn read(&self, py: Python<'_>) -> MutexGuard<'_, Stream> {
        // A panic inside the decoder was reported when it happened. It must not
        // turn every later call into another one.
        self.stream
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a new exception for `error` and leaves the decoder.
fn exception(py: Python<'_>, error: Error, stream: impl Deref<Target = Stream>) -> PyErr {
    let partial = stream.tail.join(py, &[]).map(Bound::unbind);
    drop(stream);
    match (error, partial) {
        (Error::FrameTooBig { offset, limit }, _) => FrameTooBig::new_err((offset, limit)),
        (Error::IncompleteFrame { offset }, Ok(partial)) => {
            IncompleteFrame::new_err((offset, partial))
        }
        (_, Err(error)) => error,
        (error, Ok(_)) => InvalidState::new_err(error.to_string()),
    }
}

/// Returns what is wrong with the argument of `buffer_updated`.
fn bad_count(nbytes: &Bound<'_, PyAny>, error: Option<PyErr>, buffer: &ReadBuffer) -> PyErr {
    match error {
        // Negative numbers and those beyond `usize` arrive as overflow.
        Some(error) if !error.is_instance_of::<PyOverflowError>(nbytes.py()) => error,
        _ => PyValueError::new_err(format!(
            "buffer_updated() got nbytes={nbytes}, the read buffer holds {} bytes",
            buffer.len()
        )),
    }
}

fn parse_oversize(value: Argument<'_>) -> PyResult<Oversize> {
    let Argument::Given(value) = value else {
        return Ok(Oversize::Raise);
    };
    match value.extract::<&str>() {
        Ok("raise") => Ok(Oversize::Raise),
        Ok("skip") => Ok(Oversize::Skip),
        _ => Err(PyValueError::new_err(format!(
            "oversize must be 'raise' or 'skip', not {}",
            value.repr()?
        ))),
    }
}

fn parse_read_buffer(value: Bound<'_, PyAny>) -> PyResult<Py<ReadBuffer>> {
    value
        .cast_into_exact::<ReadBuffer>()
        .map(Bound::unbind)
        .map_err(|error| {
            let value = error.into_inner();
            type_error(
                "read_buffer must be a ReadBuffer of this codec or None",
                &value,
            )
        })
}

fn parse_max_size(value: Argument<'_>) -> PyResult<Option<u64>> {
    let value = match value {
        Argument::Default => return Ok(Config::default().max_size),
        Argument::Given(value) if value.is_none() => return Ok(None),
        Argument::Given(value) => value,
    };
    let py = value.py();
    match value.extract::<u64>() {
        Ok(size) if size <= LARGEST_SIZE && !value.is_instance_of::<PyBool>() => Ok(Some(size)),
        Err(error) if error.is_instance_of::<PyTypeError>(py) => {
            Err(type_error("max_size must be an int or None", &value))
        }
        Err(error) if !error.is_instance_of::<PyOverflowError>(py) => Err(error),
        _ => Err(PyValueError::new_err(format!(
            "max_size must be None or between 0 and {LARGEST_SIZE}, not {}",
            value.repr()?
        ))),
    }
}

fn type_error(rule: &str, value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(kind) => PyTypeError::new_err(format!("{rule}, not {kind}")),
        Err(error) => error,
    }
}
