//! The codec for tokio's `Framed`, `FramedRead` and `FramedWrite` (feature `tokio`).
//!
//! ```
//! use futures_util::{SinkExt, StreamExt};
//! use tokio_util::codec::Framed;
//! use xmlsocket_codec::tokio::FrameCodec;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), xmlsocket_codec::tokio::CodecError> {
//! let (here, there) = tokio::io::duplex(64);
//! let mut here = Framed::new(here, FrameCodec::new());
//! let mut there = Framed::new(there, FrameCodec::new());
//!
//! here.send("<a/>").await?;
//! drop(here);
//! while let Some(frame) = there.next().await {
//!     assert_eq!(&frame?[..], b"<a/>");
//! }
//! # Ok(())
//! # }
//! ```

use core::fmt;
use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{Config, DELIMITER, DelimiterInPayload, Error, Found, Scanner, check_payloads};

/// Frames out of, and into, the buffers of tokio-util.
///
/// It has the guarantees of [`crate::Decoder`], for it stands on the same
/// [`Scanner`]: nothing depends on how the stream was cut, no byte is searched
/// twice, and a frame that is too big ends the stream after the frames before it.
/// What the stream leaves behind when it ends inside a frame is never an item, but
/// [`Error::IncompleteFrame`].
///
/// An item is a [`Bytes`] that shares the memory of the read it came in: whoever
/// keeps a few bytes of a long stream for long should copy them.
///
/// A codec belongs to one stream. After an error it gives the same one for ever.
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use xmlsocket_codec::tokio::FrameCodec;
///
/// let mut codec = FrameCodec::new();
/// let mut buffer = BytesMut::new();
/// codec.encode("<a/>", &mut buffer)?;
/// assert_eq!(&buffer[..], b"<a/>\0");
///
/// buffer.extend_from_slice(b"<b");
/// assert_eq!(codec.decode(&mut buffer)?.as_deref(), Some(&b"<a/>"[..]));
/// assert_eq!(codec.decode(&mut buffer)?, None);
/// # Ok::<(), xmlsocket_codec::tokio::CodecError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FrameCodec {
    scanner: Scanner,
}

impl FrameCodec {
    /// Returns a codec with the [default limits](Config::default).
    ///
    /// ```
    /// let codec = xmlsocket_codec::tokio::FrameCodec::new();
    /// assert_eq!(codec.scanner().config().max_size, Some(1 << 20));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a codec with the limits of `config`, which are for what is read.
    ///
    /// ```
    /// use xmlsocket_codec::{Config, tokio::FrameCodec};
    ///
    /// let codec = FrameCodec::with_config(Config { max_size: Some(4096), ..Config::default() });
    /// assert_eq!(codec.scanner().config().max_size, Some(4096));
    /// ```
    #[must_use]
    pub const fn with_config(config: Config) -> Self {
        Self {
            scanner: Scanner::new(config),
        }
    }

    /// Returns the search state: the counters and the limits in force.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tokio_util::codec::Decoder;
    /// use xmlsocket_codec::tokio::FrameCodec;
    ///
    /// let mut codec = FrameCodec::new();
    /// codec.decode(&mut BytesMut::from("<a/>\0"))?;
    /// assert_eq!(codec.scanner().frames_in(), 1);
    /// # Ok::<(), xmlsocket_codec::tokio::CodecError>(())
    /// ```
    #[must_use]
    pub const fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    fn take(&mut self, window: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        loop {
            match self.scanner.scan(&window[self.scanner.pending()..])? {
                Found::Frame { len } => {
                    let frame = window.split_to(len).freeze();
                    window.advance(1);
                    return Ok(Some(frame));
                }
                Found::Skip { len } => window.advance(len),
                Found::More => return Ok(None),
            }
        }
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = CodecError;

    fn decode(&mut self, window: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
        self.take(window).map_err(|error| {
            // Nothing of it will be looked at again, and it may be long.
            *window = BytesMut::new();
            error.into()
        })
    }

    fn decode_eof(&mut self, window: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
        // Asked again after the end: `Framed` does so until it gets no frame.
        if !self.scanner.is_finished() {
            let frame = self.decode(window)?;
            if frame.is_some() {
                return Ok(frame);
            }
        }
        self.scanner.finish()?;
        Ok(None)
    }
}

impl<P: AsRef<[u8]>> Encoder<P> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, payload: P, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let payload = payload.as_ref();
        buffer.reserve(check_payloads(&[payload])?);
        buffer.put_slice(payload);
        buffer.put_u8(DELIMITER);
        Ok(())
    }
}

/// Why a `Framed` of tokio stopped, or refused what it was to send.
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::Encoder;
/// use xmlsocket_codec::tokio::{CodecError, FrameCodec};
///
/// let mut buffer = BytesMut::new();
/// match FrameCodec::new().encode(b"a\0b", &mut buffer) {
///     Err(CodecError::Payload(error)) => assert_eq!(error.index, 1),
///     other => panic!("{other:?}"),
/// }
/// assert!(buffer.is_empty());
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer's bytes cannot be split any further.
    Framing(Error),
    /// A payload holds the delimiter; nothing of it was written.
    Payload(DelimiterInPayload),
    /// Reading or writing failed.
    Io(io::Error),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Framing(error) => Some(error),
            Self::Payload(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<Error> for CodecError {
    fn from(error: Error) -> Self {
        Self::Framing(error)
    }
}

impl From<DelimiterInPayload> for CodecError {
    fn from(error: DelimiterInPayload) -> Self {
        Self::Payload(error)
    }
}

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
