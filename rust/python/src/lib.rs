//! The extension module `xmlsocket._rust`: the codec crate for Python.
//!
//! It converts arguments, makes Python objects and maps errors; what a frame is
//! stands in the codec crate alone. Its documentation is that of its twin `pure.py`.
//!
//! Rules that hold in all of it:
//!
//! - One call a read: a call takes all bytes of a read and returns all frames.
//! - Memory is borrowed only from `bytes`, which cannot change, and from the
//!   codec's own `ReadBuffer`. Any other buffer is copied.
//! - While a decoder's lock is held no Python code can run: arguments are
//!   converted before, the list of results and errors are made after. So the lock
//!   is never found taken by the thread that holds it.

#![allow(
    clippy::doc_markdown,
    reason = "docstrings are marked up as Python's are"
)]

mod bytes;
mod decoder;
mod docs;
mod document;
mod encoder;
mod errors;
mod frames;
mod input;
mod outbox;
mod read_buffer;
mod tail;

/// The Rust implementation of `xmlsocket.codec`.
#[pyo3::pymodule(gil_used = false)]
mod _rust {
    #[pymodule_export]
    use crate::decoder::Decoder;
    #[pymodule_export]
    use crate::document::check_document;
    #[pymodule_export]
    use crate::encoder::{encode, encode_many};
    #[pymodule_export]
    use crate::outbox::Outbox;
    #[pymodule_export]
    use crate::read_buffer::ReadBuffer;
}
