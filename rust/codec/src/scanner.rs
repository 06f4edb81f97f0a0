//! Search and limit state of one stream, without the stream's bytes.

use crate::search::Delimiters;
use crate::{DELIMITER, Error};

/// What happens to a frame that is longer than [`Config::max_size`].
///
/// ```
/// use xmlsocket_codec::{Config, Decoder, Oversize};
///
/// let oversize = Oversize::Skip;
/// let mut decoder = Decoder::with_config(Config { max_size: Some(4), oversize, ..Config::default() });
/// let mut frames = Vec::new();
/// decoder.feed(b"<too long/>\0<a/>\0", |frame| frames.push(frame.to_vec()))?;
/// assert_eq!(frames, [b"<a/>"]);
/// # Ok::<(), xmlsocket_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// The stream ends there with [`Error::FrameTooBig`].
    #[default]
    Raise,
    /// The frame is dropped and counted; the next one is taken as usual.
    Skip,
}

/// What a decoder accepts.
///
/// ```
/// use xmlsocket_codec::{Config, Decoder};
///
/// let decoder = Decoder::with_config(Config {
///     max_size: Some(4096),
///     skip_empty: true,
///     ..Config::default()
/// });
/// # assert_eq!(decoder.scanner().config().max_size, Some(4096));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest frame in bytes, delimiter excluded; `None` for no limit, which
    /// leaves it to the peer how much memory is used. Default: 1 MiB.
    pub max_size: Option<u64>,
    /// What happens to a longer frame. Default: the stream ends.
    pub oversize: Oversize,
    /// Whether empty frames are dropped and counted. Default: no.
    pub skip_empty: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_size: Some(1 << 20),
            oversize: Oversize::Raise,
            skip_empty: false,
        }
    }
}

/// What [`Scanner::scan`] found. Lengths count from the start of the window,
/// which is where the unfinished frame starts in the caller's buffer.
///
/// ```
/// use xmlsocket_codec::{Config, Found, Scanner};
///
/// let mut scanner = Scanner::new(Config { skip_empty: true, ..Config::default() });
/// assert_eq!(scanner.scan(b"\0\0a\0"), Ok(Found::Skip { len: 2 }));
/// assert_eq!(scanner.scan(b"a\0"), Ok(Found::Frame { len: 1 }));
/// assert_eq!(scanner.scan(b""), Ok(Found::More));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The first `len` bytes of the window are a frame, and one delimiter follows.
    /// Remove `len + 1` bytes from the window before the next call.
    Frame {
        /// Length of the frame in bytes, delimiter excluded.
        len: usize,
    },
    /// The first `len` bytes of the window belong to no frame that is handed out:
    /// a run of empty frames, or (a part of) one that is too big. Remove them.
    Skip {
        /// Number of bytes to remove.
        len: usize,
    },
    /// All bytes were searched; the frame goes on. Keep the window, and show the
    /// next call only the bytes that follow it.
    More,
}

/// Takes what [`Scanner::split`] finds, and keeps the unfinished frame.
///
/// [`Decoder`](crate::Decoder) is one that keeps it in a `Vec`.
///
/// ```
/// use xmlsocket_codec::{Scanner, Sink};
///
/// /// Collects frames as text.
/// #[derive(Default)]
/// struct Texts {
///     unfinished: Vec<u8>,
///     frames: Vec<String>,
/// }
///
/// impl Sink for Texts {
///     fn frame(&mut self, frame: &[u8]) {
///         self.frames.push(String::from_utf8_lossy(frame).into_owned());
///     }
///     fn hold(&mut self, bytes: &[u8]) {
///         self.unfinished.extend_from_slice(bytes);
///     }
///     fn complete(&mut self, end: &[u8]) {
///         self.hold(end);
///         let frame = std::mem::take(&mut self.unfinished);
///         self.frame(&frame);
///     }
///     fn discard(&mut self) {
///         self.unfinished.clear();
///     }
/// }
///
/// let mut texts = Texts::default();
/// let mut scanner = Scanner::default();
/// scanner.split(b"<a/>\0<b", &mut texts)?;
/// scanner.split(b"/>\0", &mut texts)?;
/// assert_eq!(texts.frames, ["<a/>", "<b/>"]);
/// # Ok::<(), xmlsocket_codec::Error>(())
/// ```
pub trait Sink {
    /// Takes a frame that lies whole in the data.
    fn frame(&mut self, frame: &[u8]);

    /// Keeps `bytes`, the rest of the data, behind what is kept of the unfinished
    /// frame. They may be empty.
    fn hold(&mut self, bytes: &[u8]);

    /// Takes a frame made of what is kept and of `end`, and keeps nothing.
    fn complete(&mut self, end: &[u8]);

    /// Keeps nothing: the frame is being skipped, or the stream has ended with
    /// [`Error::FrameTooBig`].
    fn discard(&mut self);
}

/// Search and limit state of one stream, for callers that hold its bytes.
///
/// There are two ways to use it. [`split`](Self::split) takes a whole read and
/// hands its frames to a [`Sink`]. [`scan`](Self::scan) stops at each frame, for
/// callers that keep the stream in one buffer and take one frame at a time, such
/// as codecs of tokio; the rest of this page is about that one.
///
/// The *window* is what the caller holds of the stream, from the start of the
/// unfinished frame on. Its first [`pending`](Self::pending) bytes have been
/// searched; only those after them are given to [`scan`](Self::scan).
///
/// ```
/// use xmlsocket_codec::{Config, Found, Scanner};
///
/// let mut scanner = Scanner::new(Config::default());
/// let mut window = b"<a/>\0<b".to_vec();
///
/// assert_eq!(scanner.scan(&window)?, Found::Frame { len: 4 });
/// window.drain(..5);
/// assert_eq!(scanner.scan(&window)?, Found::More);
///
/// window.extend_from_slice(b"/>\0");
/// assert_eq!(scanner.scan(&window[scanner.pending()..])?, Found::Frame { len: 4 });
/// assert_eq!(&window[..4], b"<b/>");
/// # Ok::<(), xmlsocket_codec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    config: Config,
    /// Where the unfinished frame starts in the stream.
    start: u64,
    /// How many of its bytes have been searched, held or dropped.
    seen: u64,
    /// Whether that frame is too big and being dropped.
    skipping: bool,
    error: Option<Error>,
    finished: bool,
    frames_in: u64,
    payload_in: u64,
    empty_skipped: u64,
    oversize_skipped: u64,
    bytes_scanned: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Scanner {
    /// Returns the scanner of a stream that has not started.
    ///
    /// ```
    /// use xmlsocket_codec::{Config, Scanner};
    ///
    /// let scanner = Scanner::new(Config { max_size: None, ..Config::default() });
    /// assert_eq!(scanner.bytes_in(), 0);
    /// ```
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            start: 0,
            seen: 0,
            skipping: false,
            error: None,
            finished: false,
            frames_in: 0,
            payload_in: 0,
            empty_skipped: 0,
            oversize_skipped: 0,
            bytes_scanned: 0,
        }
    }

    /// Returns what this scanner accepts.
    ///
    /// ```
    /// let scanner = xmlsocket_codec::Scanner::default();
    /// assert!(!scanner.config().skip_empty);
    /// ```
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns how many bytes of the window have been searched.
    ///
    /// It is also the number of bytes of the unfinished frame that the caller has
    /// to hold: 0 while a frame is being skipped.
    ///
    /// ```
    /// let mut scanner = xmlsocket_codec::Scanner::default();
    /// scanner.scan(b"<a")?;
    /// assert_eq!(scanner.pending(), 2);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "they are in memory, so they fit"
    )]
    pub const fn pending(&self) -> usize {
        if self.skipping || self.error.is_some() {
            return 0;
        }
        self.seen as usize
    }

    /// Returns the error that ended the stream.
    ///
    /// ```
    /// use xmlsocket_codec::{Config, Error, Scanner};
    ///
    /// let mut scanner = Scanner::new(Config { max_size: Some(1), ..Config::default() });
    /// let error = Error::FrameTooBig { offset: 0, limit: 1 };
    /// assert_eq!(scanner.scan(b"ab"), Err(error));
    /// assert_eq!(scanner.error(), Some(error));
    /// ```
    #[must_use]
    pub const fn error(&self) -> Option<Error> {
        self.error
    }

    /// Returns whether [`finish`](Self::finish) was called.
    ///
    /// ```
    /// let mut scanner = xmlsocket_codec::Scanner::default();
    /// assert!(!scanner.is_finished());
    /// scanner.finish()?;
    /// assert!(scanner.is_finished());
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Returns how many bytes were consumed, delimiters and skipped ones included,
    /// nothing after an error.
    ///
    /// ```
    /// let mut scanner = xmlsocket_codec::Scanner::default();
    /// scanner.scan(b"<a/>\0")?;
    /// assert_eq!(scanner.bytes_in(), 5);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn bytes_in(&self) -> u64 {
        self.start + self.seen
    }

    /// Returns how many frames were handed out.
    ///
    /// ```
    /// let mut scanner = xmlsocket_codec::Scanner::default();
    /// scanner.scan(b"<a/>\0")?;
    /// assert_eq!(scanner.frames_in(), 1);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn frames_in(&self) -> u64 {
        self.frames_in
    }

    /// Returns how many bytes the frames handed out had, delimiters excluded.
    ///
    /// ```
    /// let mut scanner = xmlsocket_codec::Scanner::default();
    /// scanner.scan(b"<a/>\0")?;
    /// assert_eq!(scanner.payload_in(), 4);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn payload_in(&self) -> u64 {
        self.payload_in
    }

    /// Returns how many empty frames were dropped.
    ///
    /// ```
    /// use xmlsocket_codec::{Config, Scanner};
    ///
    /// let mut scanner = Scanner::new(Config { skip_empty: true, ..Config::default() });
    /// scanner.scan(b"\0\0")?;
    /// assert_eq!(scanner.empty_skipped(), 2);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn empty_skipped(&self) -> u64 {
        self.empty_skipped
    }

    /// Returns how many frames were dropped as too big, each counted when it
    /// passes the limit.
    ///
    /// ```
    /// use xmlsocket_codec::{Config, Oversize, Scanner};
    ///
    /// let (max_size, oversize) = (Some(1), Oversize::Skip);
    /// let mut scanner = Scanner::new(Config { max_size, oversize, ..Config::default() });
    /// scanner.scan(b"ab")?;
    /// assert_eq!(scanner.oversize_skipped(), 1);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn oversize_skipped(&self) -> u64 {
        self.oversize_skipped
    }

    /// Returns how many bytes were looked at in search of a delimiter: never more
    /// than were given, because none is looked at twice.
    ///
    /// ```
    /// let mut scanner = xmlsocket_codec::Scanner::default();
    /// let window = b"<a/>\0";
    /// for end in 1..=window.len() {
    ///     scanner.scan(&window[scanner.pending()..end])?;
    /// }
    /// assert_eq!(scanner.bytes_scanned(), 5);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    #[must_use]
    pub const fn bytes_scanned(&self) -> u64 {
        self.bytes_scanned
    }

    /// Searches the bytes that follow those already searched for the end of the
    /// unfinished frame.
    ///
    /// Stops at the first thing found. Call it again with the bytes that are then
    /// unsearched until it returns [`Found::More`].
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooBig`] as soon as one byte more than
    /// [`Config::max_size`] is there, and on every later call.
    /// [`Error::Finished`] after [`finish`](Self::finish).
    ///
    /// ```
    /// use xmlsocket_codec::{Found, Scanner};
    ///
    /// let mut scanner = Scanner::default();
    /// assert_eq!(scanner.scan(b"<a/"), Ok(Found::More));
    /// assert_eq!(scanner.scan(b">\0<b/>\0"), Ok(Found::Frame { len: 4 }));
    /// ```
    pub fn scan(&mut self, fresh: &[u8]) -> Result<Found, Error> {
        self.check()?;
        let held = self.pending();
        if let Some(position) = memchr::memchr(DELIMITER, fresh) {
            self.bytes_scanned += wide(position + 1);
            self.seen += wide(position);
            return self.delimiter(held + position, &fresh[position + 1..]);
        }
        self.bytes_scanned += wide(fresh.len());
        self.unfinished(fresh.len())?;
        if self.skipping && !fresh.is_empty() {
            return Ok(Found::Skip {
                len: held + fresh.len(),
            });
        }
        Ok(Found::More)
    }

    /// Searches all of `data`, the next bytes of the stream, and hands what it
    /// finds to `sink`. When that panics, the scanner is of no more use.
    ///
    /// # Errors
    ///
    /// Those of [`scan`](Self::scan). The frames before the one that is too big
    /// have been handed out.
    ///
    /// ```
    /// use xmlsocket_codec::{Scanner, Sink};
    ///
    /// /// Knows how long frames are, and keeps none of them.
    /// #[derive(Default)]
    /// struct Lengths {
    ///     unfinished: usize,
    ///     frames: Vec<usize>,
    /// }
    ///
    /// impl Sink for Lengths {
    ///     fn frame(&mut self, frame: &[u8]) {
    ///         self.frames.push(frame.len());
    ///     }
    ///     fn hold(&mut self, bytes: &[u8]) {
    ///         self.unfinished += bytes.len();
    ///     }
    ///     fn complete(&mut self, end: &[u8]) {
    ///         self.frames.push(self.unfinished + end.len());
    ///         self.unfinished = 0;
    ///     }
    ///     fn discard(&mut self) {
    ///         self.unfinished = 0;
    ///     }
    /// }
    ///
    /// let mut scanner = Scanner::default();
    /// let mut lengths = Lengths::default();
    /// for read in [&b"<a/>\0<"[..], b"bc/>\0<d"] {
    ///     scanner.split(read, &mut lengths)?;
    /// }
    /// assert_eq!(lengths.frames, [4, 5]);
    /// # Ok::<(), xmlsocket_codec::Error>(())
    /// ```
    pub fn split(&mut self, data: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        self.check()?;
        let result = self.split_running(data, sink);
        if result.is_err() {
            sink.discard();
        }
        result
    }

    #[inline]
    fn split_running(&mut self, data: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let rest = self.split_unfinished(data, sink)?;
        if rest.is_empty() {
            return Ok(());
        }
        let tail = self.split_whole(rest, |frame| sink.frame(frame))?;
        // Nothing of it is held when it is too big and being skipped.
        if self.pending() > 0 {
            sink.hold(tail);
        }
        Ok(())
    }

    /// Goes on with the frame that began in earlier data. Returns what follows it.
    fn split_unfinished<'a>(
        &mut self,
        data: &'a [u8],
        sink: &mut impl Sink,
    ) -> Result<&'a [u8], Error> {
        if self.seen == 0 {
            return Ok(data);
        }
        let held = self.pending();
        match self.scan(data)? {
            Found::More => {
                sink.hold(data);
                Ok(&[])
            }
            Found::Skip { len } => {
                sink.discard();
                Ok(&data[len - held..])
            }
            Found::Frame { len } => {
                let (end, rest) = data.split_at(len - held);
                sink.complete(end);
                Ok(&rest[1..])
            }
        }
    }

    /// Hands out all frames that lie whole in `data`, which starts with a frame,
    /// and returns the unfinished one behind them.
    ///
    /// The rules are those of [`scan`](Self::scan), for many frames in one pass.
    #[inline]
    fn split_whole<'a>(
        &mut self,
        data: &'a [u8],
        mut emit: impl FnMut(&'a [u8]),
    ) -> Result<&'a [u8], Error> {
        // One comparison tells the frames to hand out: those of at least `shortest`
        // bytes and less than `room` more.
        let shortest = usize::from(self.config.skip_empty);
        let room = self.limit_in_memory().saturating_add(1 - shortest);
        let mut delimiters = Delimiters::new(data);
        let mut from = 0;
        // Counted here and added up at the end: the loop runs once a frame, and
        // `emit` is a foreign function, behind which fields would be loaded anew.
        let mut frames = 0;
        let mut dropped = 0;
        let mut too_big = false;
        while let Some(end) = delimiters.next() {
            if (end - from).wrapping_sub(shortest) < room {
                emit(&data[from..end]);
                frames += 1;
                from = end + 1;
                continue;
            }
            let mut next = end + 1;
            if end == from {
                next += delimiters.take_run(end);
                self.empty_skipped += wide(next - from);
            } else if self.config.oversize == Oversize::Skip {
                self.oversize_skipped += 1;
            } else {
                too_big = true;
                break;
            }
            dropped += next - from;
            from = next;
        }
        self.bytes_scanned += wide(delimiters.searched());
        self.start += wide(from);
        self.frames_in += frames;
        self.payload_in += wide(from - dropped) - frames;
        if too_big {
            return Err(self.too_big());
        }
        let tail = &data[from..];
        self.unfinished(tail.len())?;
        Ok(tail)
    }

    /// Ends the unfinished frame, of which `len` bytes stand in the window.
    fn delimiter(&mut self, len: usize, after: &[u8]) -> Result<Found, Error> {
        self.check_limit()?;
        if self.skipping {
            self.skipping = false;
            self.start += self.seen + 1;
            self.seen = 0;
            return Ok(Found::Skip { len: len + 1 });
        }
        self.seen = 0;
        if len == 0 && self.config.skip_empty {
            let run = after.iter().take_while(|&&byte| byte == DELIMITER).count();
            self.bytes_scanned += wide(run);
            self.start += wide(run + 1);
            self.empty_skipped += wide(run + 1);
            return Ok(Found::Skip { len: run + 1 });
        }
        self.start += wide(len + 1);
        self.frames_in += 1;
        self.payload_in += wide(len);
        Ok(Found::Frame { len })
    }

    /// Takes note of `len` more bytes of the unfinished frame.
    fn unfinished(&mut self, len: usize) -> Result<(), Error> {
        self.seen += wide(len);
        self.check_limit()
    }

    /// Judges the unfinished frame by what has been seen of it.
    fn check_limit(&mut self) -> Result<(), Error> {
        if self.skipping || self.seen <= self.limit() {
            return Ok(());
        }
        if self.config.oversize == Oversize::Raise {
            return Err(self.too_big());
        }
        self.skipping = true;
        self.oversize_skipped += 1;
        Ok(())
    }

    /// Ends the stream because of the frame at `start`.
    #[cold]
    fn too_big(&mut self) -> Error {
        // The byte that is one too many is the last one, whatever came with it in
        // the same read.
        self.seen = self.limit() + 1;
        self.latch(Error::FrameTooBig {
            offset: self.start,
            limit: self.limit(),
        })
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// The error that ended it before, or [`Error::IncompleteFrame`] when a frame
    /// has begun, also one that is being skipped. Every later call returns the same.
    ///
    /// ```
    /// use xmlsocket_codec::{Error, Scanner};
    ///
    /// let mut scanner = Scanner::default();
    /// scanner.scan(b"<a")?;
    /// assert_eq!(scanner.finish(), Err(Error::IncompleteFrame { offset: 0 }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn finish(&mut self) -> Result<(), Error> {
        self.finished = true;
        if self.seen > 0 && self.error.is_none() {
            self.latch(Error::IncompleteFrame { offset: self.start });
        }
        self.error.map_or(Ok(()), Err)
    }

    /// Returns the reason for which nothing is searched any more.
    fn check(&self) -> Result<(), Error> {
        if self.finished {
            return Err(Error::Finished);
        }
        self.error.map_or(Ok(()), Err)
    }

    fn latch(&mut self, error: Error) -> Error {
        self.error = Some(error);
        error
    }

    /// The longest frame allowed; what no memory can hold stands for no limit.
    const fn limit(&self) -> u64 {
        match self.config.max_size {
            Some(limit) => limit,
            None => u64::MAX,
        }
    }

    pub(crate) fn limit_in_memory(&self) -> usize {
        usize::try_from(self.limit()).unwrap_or(usize::MAX)
    }
}

/// Widens a length. No target has a `usize` of more than 64 bits.
const fn wide(len: usize) -> u64 {
    len as u64
}
