//! The framing of Flash's `XMLSocket`: documents, each ended by one zero byte.
//!
//! # Overview
//!
//! - [`Decoder`] takes the stream in pieces of any size and hands out complete
//!   frames. It owns the bytes of the unfinished one.
//! - [`Scanner`] is the decoder without memory: it knows what was searched and
//!   what the limits are, for callers that keep the stream in a buffer of their
//!   own.
//! - [`encode`] and [`encode_many`] append the delimiter and refuse a payload that
//!   holds one.
//! - [`check_document`] refuses, without parsing, what no XML parser should be
//!   asked to read: invalid UTF-8, a `DOCTYPE`, no XML at all.
//!
//! # Guarantees
//!
//! The frames, the error and its offset depend on the bytes of the stream, never
//! on how it was cut into reads. No byte is searched for a delimiter twice. A
//! frame that lies whole in one read is handed out without being copied. Memory
//! is bounded by [`Config::max_size`], which is one mebibyte unless changed. All
//! types are [`Send`] and [`Sync`], and none locks: who shares one brings the lock.
//!
//! # Example
//!
//! ```
//! use xmlsocket_codec::{Decoder, Error};
//!
//! let mut decoder = Decoder::new();
//! let mut frames = Vec::new();
//! for read in [&b"<a/>\0<b"[..], b"/>\0<tail"] {
//!     decoder.feed(read, |frame| frames.push(frame.to_vec()))?;
//! }
//! assert_eq!(frames, [b"<a/>", b"<b/>"]);
//!
//! // A tail is no document: it is never handed out as one.
//! assert_eq!(decoder.finish(), Err(Error::IncompleteFrame { offset: 10 }));
//! assert_eq!(decoder.partial(), b"<tail");
//! # Ok::<(), Error>(())
//! ```
//!
//! # Features
//!
//! - `std` (default): lets memchr detect AVX2 at run time. Without it the crate
//!   needs only `core` and `alloc`.
//! - `tokio`: the module `tokio`, with the decoder and the encoder of tokio-util
//!   on the same scanner. Needs `std`.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "tokio")]
extern crate std;

mod decoder;
mod encoder;
mod error;
mod prolog;
mod scanner;
#[allow(
    clippy::inline_always,
    reason = "a step of the search is a few instructions, called once a frame"
)]
mod search;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use decoder::Decoder;
pub use encoder::{check_payloads, encode, encode_many, write_frames};
pub use error::{DelimiterInPayload, DocumentError, Error, Fault};
pub use prolog::check_document;
pub use scanner::{Config, Found, Oversize, Scanner, Sink};

/// The examples of `README.md`, so that they are tested.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The byte that ends each frame.
///
/// Source: `ActionScript` 3 reference, `XMLSocket`: a zero byte ends each message.
///
/// ```
/// assert_eq!(xmlsocket_codec::encode(b"")?, [xmlsocket_codec::DELIMITER]);
/// # Ok::<(), xmlsocket_codec::DelimiterInPayload>(())
/// ```
pub const DELIMITER: u8 = 0;
