//! The decoder: a [`Scanner`] and the bytes of the unfinished frame.

use alloc::vec::Vec;

use crate::{Config, Error, Scanner, Sink};

/// Memory kept between frames, in bytes. More is given back when the frame that
/// needed it has been handed out: ten thousand idle connections that once
/// received a long frame must not keep its memory.
const KEEP: usize = 4096;

/// Splits a stream into frames, piece by piece.
///
/// See the [crate's documentation](crate) for an example and the guarantees.
///
/// ```
/// use xmlsocket_codec::Decoder;
///
/// let mut decoder = Decoder::new();
/// let mut frames = Vec::new();
/// decoder.feed(b"<a/>\0<b", |frame| frames.push(frame.to_vec()))?;
/// decoder.feed(b"/>\0", |frame| frames.push(frame.to_vec()))?;
/// assert_eq!(frames, [b"<a/>", b"<b/>"]);
/// # Ok::<(), xmlsocket_codec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    scanner: Scanner,
    /// The unfinished frame, as far as it came in earlier calls.
    tail: Vec<u8>,
}

impl Decoder {
    /// Returns a decoder with the [default limits](Config::default).
    ///
    /// ```
    /// let decoder = xmlsocket_codec::Decoder::new();
    /// assert_eq!(decoder.scanner().config().max_size, Some(1 << 20));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a decoder with the limits of `config`.
    ///
    /// ```
    /// use xmlsocket_codec::{Config, Decoder};
    ///
    /// let mut decoder = Decoder::with_config(Config { skip_empty: true, ..Config::default() });
    /// decoder.feed(b"\0\0", |_| unreachable!())?;
    /// assert_eq!(decoder.scanner().empty_skipped(), 2);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn with_config(config: Config) -> Self {
        Self {
            scanner: Scanner::new(config),
            tail: Vec::new(),
        }
    }

    /// Returns the search state: the counters and the limits in force.
    ///
    /// ```
    /// let mut decoder = xmlsocket_codec::Decoder::new();
    /// decoder.feed(b"<a/>\0<b", |_| ())?;
    /// assert_eq!((decoder.scanner().frames_in(), decoder.scanner().bytes_in()), (1, 7));
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Returns the error that ended the stream.
    ///
    /// ```
    /// let mut decoder = xmlsocket_codec::Decoder::new();
    /// decoder.feed(b"<a", |_| ())?;
    /// assert_eq!(decoder.error(), None);
    /// assert_eq!(decoder.finish().err(), decoder.error());
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn error(&self) -> Option<Error> {
        self.scanner.error()
    }

    /// Returns what has arrived of the unfinished frame: for diagnosis only, it is
    /// no document. Empty while a frame is being skipped.
    ///
    /// ```
    /// let mut decoder = xmlsocket_codec::Decoder::new();
    /// decoder.feed(b"<a/>\0<b", |_| ())?;
    /// assert_eq!(decoder.partial(), b"<b");
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        &self.tail
    }

    /// Scans `data` and calls `emit` once per completed frame, delimiter excluded.
    ///
    /// The slice passed to `emit` is valid only during that call. A frame that
    /// lies whole in `data` is a part of `data`; one that began in an earlier call
    /// is put together in the decoder's own memory.
    ///
    /// When `emit` panics, the decoder is of no more use: it does not know which
    /// frames were taken.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooBig`] when a frame is longer than [`Config::max_size`]: the
    /// frames before it have been emitted, the rest of the stream is ignored, and
    /// every later call returns the same error. [`Error::Finished`] after
    /// [`finish`](Self::finish).
    ///
    /// ```
    /// use xmlsocket_codec::{Config, Decoder, Error};
    ///
    /// let mut decoder = Decoder::with_config(Config { max_size: Some(4), ..Config::default() });
    /// let mut frames = 0;
    /// let result = decoder.feed(b"<a/>\0<too long/>\0", |_| frames += 1);
    /// assert_eq!(result, Err(Error::FrameTooBig { offset: 5, limit: 4 }));
    /// assert_eq!(frames, 1);
    /// ```
    pub fn feed(&mut self, data: &[u8], emit: impl FnMut(&[u8])) -> Result<(), Error> {
        let limit = self.scanner.limit_in_memory();
        let tail = &mut self.tail;
        self.scanner.split(data, &mut Emitter { tail, limit, emit })
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// The error that ended the stream before, or [`Error::IncompleteFrame`] when
    /// it ends inside a frame. Every later call returns the same.
    ///
    /// ```
    /// use xmlsocket_codec::{Decoder, Error};
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.feed(b"<a/>\0", |_| ())?;
    /// assert_eq!(decoder.finish(), Ok(()));
    /// assert_eq!(decoder.feed(b"<b/>\0", |_| ()), Err(Error::Finished));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn finish(&mut self) -> Result<(), Error> {
        self.scanner.finish()
    }
}

/// Keeps the unfinished frame in a `Vec` and gives the others away.
struct Emitter<'a, F> {
    tail: &'a mut Vec<u8>,
    limit: usize,
    emit: F,
}

impl<F: FnMut(&[u8])> Sink for Emitter<'_, F> {
    #[inline]
    fn frame(&mut self, frame: &[u8]) {
        (self.emit)(frame);
    }

    fn hold(&mut self, bytes: &[u8]) {
        let needed = self.tail.len() + bytes.len();
        if needed > self.tail.capacity() {
            // Room for four times as much copies a third of the frame again while
            // it grows; twice as much would copy all of it. Not beyond the limit,
            // so that a frame of max_size bytes takes max_size bytes.
            let capacity = needed.saturating_mul(4).min(self.limit).max(needed);
            self.tail.reserve_exact(capacity - self.tail.len());
        }
        self.tail.extend_from_slice(bytes);
    }

    fn complete(&mut self, end: &[u8]) {
        self.hold(end);
        (self.emit)(self.tail);
        self.tail.clear();
        if self.tail.capacity() > KEEP {
            self.discard();
        }
    }

    fn discard(&mut self) {
        *self.tail = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, KEEP};
    use crate::{Config, Error, Oversize};
    use alloc::vec;
    use alloc::vec::Vec;

    fn limited(max_size: u64) -> Decoder {
        Decoder::with_config(Config {
            max_size: Some(max_size),
            ..Config::default()
        })
    }

    /// What a thread or a task owns may go to another one.
    #[test]
    fn types_are_send_and_sync() {
        fn check<T: Send + Sync>() {}

        check::<Decoder>();
        check::<crate::DocumentError>();
        #[cfg(feature = "tokio")]
        check::<(crate::tokio::FrameCodec, crate::tokio::CodecError)>();
    }

    /// The limits in force are those that were given.
    #[test]
    fn with_config_limits_in_force_are_those_given() {
        let given = Config {
            max_size: None,
            oversize: Oversize::Skip,
            skip_empty: true,
        };

        assert_eq!(&given, Decoder::with_config(given).scanner().config());
        assert_eq!(&Config::default(), Decoder::new().scanner().config());
    }

    /// A frame that lies whole in one read is a part of it and not a copy.
    #[test]
    fn feed_whole_frame_is_not_copied() {
        let data = b"<a/>\0<b/>\0";
        let mut frames = Vec::new();
        let mut decoder = Decoder::new();

        assert_eq!(
            Ok(()),
            decoder.feed(data, |frame| frames.push(frame.as_ptr()))
        );
        assert_eq!([data.as_ptr(), data[5..].as_ptr()], frames[..]);
        assert_eq!(0, decoder.tail.capacity());
    }

    /// The frame in progress takes no more memory than its limit.
    #[test]
    fn feed_long_frame_in_pieces_takes_no_more_than_the_limit() {
        let mut decoder = limited(100_000);
        for _ in 0..100 {
            assert_eq!(Ok(()), decoder.feed(&[b'x'; 1000], |_| ()));
            assert!(decoder.tail.capacity() <= 100_000);
        }
        assert_eq!(100_000, decoder.partial().len());
    }

    /// Memory of a long frame is given back once the frame has been handed out.
    #[test]
    fn feed_long_frame_ended_gives_its_memory_back() {
        let mut decoder = Decoder::new();
        let mut lengths = Vec::new();
        for data in [&vec![b'x'; 100_000][..], b"\0a"] {
            assert_eq!(
                Ok(()),
                decoder.feed(data, |frame| lengths.push(frame.len()))
            );
        }

        assert_eq!([100_000], lengths[..]);
        assert!(decoder.tail.capacity() <= KEEP);
    }

    /// An error holds nothing, the bytes of the frame least of all.
    #[test]
    fn feed_frame_too_big_gives_its_memory_back() {
        let mut decoder = limited(10);
        assert_eq!(Ok(()), decoder.feed(b"0123456789", |_| ()));

        let error = Error::FrameTooBig {
            offset: 0,
            limit: 10,
        };
        assert_eq!(Err(error), decoder.feed(b"x", |_| ()));
        assert_eq!(0, decoder.tail.capacity());
        assert_eq!(Err(error), decoder.feed(b"\0", |_| ()));
    }
}
