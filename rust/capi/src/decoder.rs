//! The decoder behind a handle.

use std::ffi::c_char;
use std::io::Write;
use std::ptr;

use xmlsocket_codec::{Config, Error, Found, Oversize, Scanner};

use crate::guard::{bytes, guard, put};
use crate::{Status, XS_NO_LIMIT, XS_SKIP_EMPTY, XS_SKIP_OVERSIZE};

/// Memory kept while nothing is held, in bytes: an idle connection that once had a
/// long frame must not keep its memory.
const KEEP: usize = 4096;

/// Splits one stream into frames. Made by xs_decoder_new(), freed by
/// xs_decoder_free().
pub struct Decoder {
    scanner: Scanner,
    /// What was fed and not yet handed out, behind what was.
    window: Vec<u8>,
    /// Where the unfinished frame starts in `window`.
    start: usize,
    /// Whether a call panicked.
    broken: bool,
}

/// What ended a stream.
#[repr(C)]
pub struct StreamError {
    /// XS_FRAME_TOO_BIG, XS_INCOMPLETE_FRAME, or XS_OK if nothing did.
    pub status: Status,
    /// Where the frame starts, in bytes from the start of the stream. It does not
    /// depend on how the stream was cut.
    pub offset: u64,
    /// The limit, with XS_FRAME_TOO_BIG.
    pub limit: u64,
    /// The same in words, ended by a zero byte; empty if nothing ended the stream.
    pub message: [c_char; 128],
}

/// The counters of a stream.
#[repr(C)]
pub struct Stats {
    /// Bytes consumed: delimiters and skipped frames too, nothing after an error.
    /// What was fed and not yet searched by xs_decoder_next() is not in it.
    pub bytes_in: u64,
    /// Frames handed out.
    pub frames_in: u64,
    /// Bytes of those frames, delimiters excluded.
    pub payload_in: u64,
    /// Empty frames dropped because of XS_SKIP_EMPTY.
    pub empty_skipped: u64,
    /// Frames dropped because of XS_SKIP_OVERSIZE.
    pub oversize_skipped: u64,
}

impl Decoder {
    fn feed(&mut self, data: &[u8]) -> Status {
        if self.scanner.is_finished() {
            return Status::XsInvalidState;
        }
        if let Some(error) = self.scanner.error() {
            return status(error);
        }
        self.compact();
        if self.window.try_reserve(data.len()).is_err() {
            return Status::XsNoMemory;
        }
        self.window.extend_from_slice(data);
        Status::XsOk
    }

    fn next(&mut self) -> Result<Option<&[u8]>, Status> {
        loop {
            let searched = self.start + self.scanner.pending();
            match self.scanner.scan(&self.window[searched..]) {
                Ok(Found::Frame { len }) => {
                    let frame = self.start..self.start + len;
                    self.start = frame.end + 1;
                    return Ok(Some(&self.window[frame]));
                }
                Ok(Found::Skip { len }) => self.start += len,
                Ok(Found::More) => {
                    self.compact();
                    return Ok(None);
                }
                Err(Error::Finished) => return Err(Status::XsInvalidState),
                Err(error) => {
                    self.start = 0;
                    self.window = Vec::new();
                    return Err(status(error));
                }
            }
        }
    }

    fn finish(&mut self) -> Status {
        let running = self.scanner.error().is_none() && !self.scanner.is_finished();
        if running && self.start + self.scanner.pending() < self.window.len() {
            // Ended now, those frames would be lost without a word.
            return Status::XsInvalidState;
        }
        self.scanner.finish().map_or_else(status, |()| Status::XsOk)
    }

    /// Removes what was handed out, and moves what was not to the start. Callers who take
    /// all frames before they feed again have each byte moved at most once.
    fn compact(&mut self) {
        self.window.drain(..self.start);
        self.start = 0;
        if self.window.len() < self.window.capacity() / 4 {
            self.window.shrink_to(KEEP);
        }
    }

    /// Returns what is held of the unfinished frame.
    fn partial(&self) -> &[u8] {
        let rest = &self.window[self.start..];
        // Once the stream has ended, all of it has been searched.
        let ended = self.scanner.is_finished() || self.scanner.error().is_some();
        if ended {
            return rest;
        }
        &rest[..self.scanner.pending()]
    }

    fn error(&self) -> StreamError {
        let mut error = StreamError {
            status: Status::XsOk,
            offset: 0,
            limit: 0,
            message: [0; 128],
        };
        let Some(cause) = self.scanner.error() else {
            return error;
        };
        error.status = status(cause);
        (error.offset, error.limit) = match cause {
            Error::FrameTooBig { offset, limit } => (offset, limit),
            Error::IncompleteFrame { offset } => (offset, 0),
            _ => (0, 0),
        };
        let mut text = [0; 127];
        // A text that did not fit would be cut there; the longest has 101 bytes.
        let _ = write!(&mut text[..], "{cause}");
        for (to, from) in error.message.iter_mut().zip(text) {
            *to = c_char::from_ne_bytes([from]);
        }
        error
    }
}

const fn status(error: Error) -> Status {
    match error {
        Error::FrameTooBig { .. } => Status::XsFrameTooBig,
        Error::IncompleteFrame { .. } => Status::XsIncompleteFrame,
        Error::Finished => Status::XsInvalidState,
        _ => Status::XsInternal,
    }
}

/// Gives the decoder behind a handle to `body`.
///
/// # Safety
///
/// `decoder` is null, or came from `xs_decoder_new`, is not freed, and no other call
/// is at work on it.
unsafe fn with(decoder: *mut Decoder, body: impl FnOnce(&mut Decoder) -> Status) -> Status {
    // SAFETY: it is null or that of a live decoder which nobody else uses now.
    let Some(decoder) = (unsafe { decoder.as_mut() }) else {
        return Status::XsInvalidArgument;
    };
    if decoder.broken {
        return Status::XsInternal;
    }
    // Set for the time of the call, so that it stays set after a panic.
    decoder.broken = true;
    guard(|| {
        let status = body(decoder);
        decoder.broken = false;
        status
    })
}

/// Makes the decoder of one stream.
///
/// @param max_size Bytes of one frame at most, its zero byte excluded: any number,
///                 0 admits only empty frames; XS_DEFAULT_MAX_SIZE, XS_NO_LIMIT.
/// @param flags    XS_SKIP_OVERSIZE and XS_SKIP_EMPTY, or 0.
/// @return A decoder to be freed with xs_decoder_free(), or null for unknown flags.
#[unsafe(no_mangle)]
pub extern "C" fn xs_decoder_new(max_size: u64, flags: u32) -> *mut Decoder {
    if flags & !(XS_SKIP_OVERSIZE | XS_SKIP_EMPTY) != 0 {
        return ptr::null_mut();
    }
    let oversize = match flags & XS_SKIP_OVERSIZE {
        0 => Oversize::Raise,
        _ => Oversize::Skip,
    };
    let config = Config {
        max_size: (max_size != XS_NO_LIMIT).then_some(max_size),
        oversize,
        skip_empty: flags & XS_SKIP_EMPTY != 0,
    };
    Box::into_raw(Box::new(Decoder {
        scanner: Scanner::new(config),
        window: Vec::new(),
        start: 0,
        broken: false,
    }))
}

/// Frees a decoder, and the frames that it handed out. Null is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_free(decoder: *mut Decoder) {
    if decoder.is_null() {
        return;
    }
    guard(|| {
        // SAFETY: it came from `Box::into_raw`, and is freed once.
        drop(unsafe { Box::from_raw(decoder) });
        Status::XsOk
    });
}

/// Takes the next bytes of the stream. They are copied; none of them is looked at.
/// Then call xs_decoder_next() until it returns XS_MORE.
///
/// @param data len bytes, any number; may be null if len is 0.
/// @return XS_OK; what ended the stream; XS_INVALID_STATE after xs_decoder_finish();
///         XS_NO_MEMORY, XS_INVALID_ARGUMENT, XS_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_feed(
    decoder: *mut Decoder,
    data: *const u8,
    len: usize,
) -> Status {
    // SAFETY: what the header asks of callers.
    unsafe {
        with(decoder, |decoder| match bytes(data, len) {
            Some(data) => decoder.feed(data),
            None => Status::XsInvalidArgument,
        })
    }
}

/// Hands out the next frame that is complete.
///
/// @param frame Set to the frame, without its zero byte, which is not behind it for
///              certain. Valid until the next call with this decoder other than
///              xs_decoder_error() and xs_decoder_stats(). Null unless XS_OK.
/// @param len   Set to its length in bytes, which may be 0. 0 unless XS_OK.
/// @return XS_OK, XS_MORE; XS_FRAME_TOO_BIG, again and again, after the frames before
///         it; XS_INVALID_STATE after xs_decoder_finish(); XS_INVALID_ARGUMENT,
///         XS_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_next(
    decoder: *mut Decoder,
    frame: *mut *const u8,
    len: *mut usize,
) -> Status {
    if frame.is_null() || len.is_null() {
        return Status::XsInvalidArgument;
    }
    // SAFETY: neither is null, and the rest is what the header asks of callers.
    unsafe {
        frame.write(ptr::null());
        len.write(0);
        with(decoder, |decoder| match decoder.next() {
            Ok(Some(found)) => {
                frame.write(found.as_ptr());
                len.write(found.len());
                Status::XsOk
            }
            Ok(None) => Status::XsMore,
            Err(status) => status,
        })
    }
}

/// Tells the decoder that the stream has ended, once xs_decoder_next() has returned
/// XS_MORE.
///
/// @return XS_OK if it ended behind a frame; what ended the stream, else, now and for
///         ever; XS_INVALID_STATE while frames wait for xs_decoder_next();
///         XS_INVALID_ARGUMENT, XS_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_finish(decoder: *mut Decoder) -> Status {
    // SAFETY: what the header asks of callers.
    unsafe { with(decoder, Decoder::finish) }
}

/// Shows what has arrived of the unfinished frame, for diagnosis: it is no document.
///
/// @param partial Set to its bytes; valid as long as a frame would be.
/// @param len     Set to their number: 0 while a frame is being skipped and after
///                XS_FRAME_TOO_BIG.
/// @return XS_OK, XS_INVALID_ARGUMENT or XS_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_partial(
    decoder: *mut Decoder,
    partial: *mut *const u8,
    len: *mut usize,
) -> Status {
    if partial.is_null() || len.is_null() {
        return Status::XsInvalidArgument;
    }
    // SAFETY: neither is null, and the rest is what the header asks of callers.
    unsafe {
        partial.write(ptr::null());
        len.write(0);
        with(decoder, |decoder| {
            let held = decoder.partial();
            partial.write(held.as_ptr());
            len.write(held.len());
            Status::XsOk
        })
    }
}

/// Tells what ended the stream.
///
/// @param error Set to it, with the status XS_OK if nothing did.
/// @return XS_OK, XS_INVALID_ARGUMENT or XS_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_error(
    decoder: *mut Decoder,
    error: *mut StreamError,
) -> Status {
    if error.is_null() {
        return Status::XsInvalidArgument;
    }
    // SAFETY: what the header asks of callers.
    unsafe {
        with(decoder, |decoder| {
            put(error, decoder.error());
            Status::XsOk
        })
    }
}

/// Tells what was counted so far.
///
/// @param stats Set to the counters.
/// @return XS_OK, XS_INVALID_ARGUMENT or XS_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_decoder_stats(decoder: *mut Decoder, stats: *mut Stats) -> Status {
    if stats.is_null() {
        return Status::XsInvalidArgument;
    }
    // SAFETY: what the header asks of callers.
    unsafe {
        with(decoder, |decoder| {
            let scanner = &decoder.scanner;
            put(
                stats,
                Stats {
                    bytes_in: scanner.bytes_in(),
                    frames_in: scanner.frames_in(),
                    payload_in: scanner.payload_in(),
                    empty_skipped: scanner.empty_skipped(),
                    oversize_skipped: scanner.oversize_skipped(),
                },
            );
            Status::XsOk
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, KEEP, with, xs_decoder_free, xs_decoder_new};
    use crate::{Status, XS_DEFAULT_MAX_SIZE};

    fn decoder() -> Box<Decoder> {
        // SAFETY: it has just been made, and belongs to the box from now on.
        unsafe { Box::from_raw(xs_decoder_new(XS_DEFAULT_MAX_SIZE, 0)) }
    }

    /// After a panic nothing touches the decoder any more, and it can be freed.
    #[test]
    fn with_panic_leaves_a_decoder_that_can_only_be_freed() {
        let handle = xs_decoder_new(XS_DEFAULT_MAX_SIZE, 0);
        // SAFETY: the decoder lives until the last line.
        unsafe {
            assert_eq!(Status::XsInternal, with(handle, |_| panic!("planted")));
            assert_eq!(Status::XsInternal, with(handle, |_| Status::XsOk));
            xs_decoder_free(handle);
        }
    }

    /// A long frame in small pieces: no byte is searched twice, and once it has been
    /// handed out its memory is given back.
    #[test]
    fn next_long_frame_is_searched_once_and_gives_its_memory_back() {
        let mut decoder = decoder();
        for _ in 0..1000 {
            assert_eq!(Status::XsOk, decoder.feed(&[b'x'; 100]));
            assert_eq!(Ok(None), decoder.next());
        }
        assert_eq!(Status::XsOk, decoder.feed(b"\0a"));

        assert_eq!(
            Ok(Some(100_000)),
            decoder.next().map(|f| f.map(<[u8]>::len))
        );
        assert_eq!(Ok(None), decoder.next());
        assert_eq!(100_002, decoder.scanner.bytes_scanned());
        assert!(decoder.window.capacity() <= KEEP);
    }

    /// The longest text that an error can have fits into its place.
    #[test]
    fn error_longest_message_fits() {
        let text = xmlsocket_codec::Error::FrameTooBig {
            offset: u64::MAX,
            limit: u64::MAX,
        };
        assert!(text.to_string().len() < 128);
    }
}
