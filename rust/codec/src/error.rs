//! Errors: what happened and where. The text is made in `Display` only.

use core::fmt;

/// Why a stream cannot be split any further.
///
/// Offsets count bytes from the start of the stream and do not depend on how it
/// was cut into reads.
///
/// ```
/// let mut decoder = xmlsocket_codec::Decoder::new();
/// decoder.feed(b"<a/>\0<b", |_| ())?;
/// let error = decoder.finish().unwrap_err();
/// assert_eq!(error.to_string(), "stream ended inside the frame starting at stream offset 5");
/// # Ok::<(), xmlsocket_codec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A frame is longer than the limit in force.
    FrameTooBig {
        /// Where the frame starts.
        offset: u64,
        /// [`Config::max_size`](crate::Config::max_size) in bytes, delimiter excluded.
        limit: u64,
    },
    /// The stream ended inside a frame.
    IncompleteFrame {
        /// Where the frame starts.
        offset: u64,
    },
    /// The decoder was fed after [`Decoder::finish`](crate::Decoder::finish): a
    /// mistake of the caller, not of the peer.
    Finished,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooBig { offset, limit } => write!(
                f,
                "frame starting at stream offset {offset} exceeds max_size={limit} bytes"
            ),
            Self::IncompleteFrame { offset } => write!(
                f,
                "stream ended inside the frame starting at stream offset {offset}"
            ),
            Self::Finished => f.write_str("decoder was fed after the end of the stream"),
        }
    }
}

impl core::error::Error for Error {}

/// A payload holds the delimiter, so the peer would see two frames.
///
/// ```
/// let error = xmlsocket_codec::encode(b"ab\0").unwrap_err();
/// assert_eq!(error.to_string(), r"payload 0 contains the delimiter b'\0' at index 2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelimiterInPayload {
    /// Where the first zero byte stands in the payload.
    pub index: usize,
    /// Which payload of several it is, counted from 0; 0 for a single one.
    pub item: usize,
}

impl fmt::Display for DelimiterInPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, item } = self;
        write!(
            f,
            r"payload {item} contains the delimiter b'\0' at index {index}"
        )
    }
}

impl core::error::Error for DelimiterInPayload {}

/// What [`check_document`](crate::check_document) found in place of a document.
///
/// ```
/// use xmlsocket_codec::{Fault, check_document};
///
/// let error = check_document(b"%xt%s%1%").unwrap_err();
/// assert_eq!(error.fault, Fault::NoXml);
/// assert_eq!(error.fault.to_string(), "no XML document");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing, or only a byte order mark, white space, comments and processing
    /// instructions.
    Empty,
    /// The first byte that counts is no `<`.
    NoXml,
    /// A document type declaration, which can name files and multiply text.
    Doctype,
    /// A `<` that opens no element.
    NoElement,
    /// A `<?` without `?>`.
    UnclosedInstruction,
    /// A `<!--` without `-->`.
    UnclosedComment,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "document is empty",
            Self::NoXml => "no XML document",
            Self::Doctype => "DOCTYPE is not allowed",
            Self::NoElement => "no element",
            Self::UnclosedInstruction => "processing instruction without end",
            Self::UnclosedComment => "comment without end",
            Self::InvalidUtf8 => "invalid UTF-8",
        })
    }
}

/// A frame holds no acceptable document.
///
/// ```
/// let error = xmlsocket_codec::check_document(b"<?xml version='1.0'?>!").unwrap_err();
/// assert_eq!(error.to_string(), "no XML document at offset 21");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// What is wrong.
    pub fault: Fault,
    /// Where, in bytes from the start of the frame.
    pub offset: usize,
}

impl DocumentError {
    /// Returns the line and the column of the fault in `frame`, both counted from
    /// 1, the column in bytes after the last line feed.
    ///
    /// They are computed here and not on the way, so that checking a good
    /// document never counts lines.
    ///
    /// ```
    /// let frame = b"<?xml version='1.0'?>\n<!DOCTYPE a>";
    /// let error = xmlsocket_codec::check_document(frame).unwrap_err();
    /// assert_eq!(error.line_and_column(frame), (2, 1));
    /// ```
    #[must_use]
    pub fn line_and_column(&self, frame: &[u8]) -> (usize, usize) {
        let before = frame.get(..self.offset).unwrap_or(frame);
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        (line, before.len() - line_start + 1)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.fault, self.offset)
    }
}

impl core::error::Error for DocumentError {}

#[cfg(test)]
mod tests {
    use super::{DelimiterInPayload, DocumentError, Error, Fault};
    use alloc::string::ToString;

    /// The text of an error says where it is and which limit was passed.
    #[test]
    fn error_as_text_tells_offset_and_limit() {
        let (offset, limit) = (5, 4);

        assert_eq!(
            "frame starting at stream offset 5 exceeds max_size=4 bytes",
            Error::FrameTooBig { offset, limit }.to_string()
        );
        assert_eq!(
            "stream ended inside the frame starting at stream offset 5",
            Error::IncompleteFrame { offset }.to_string()
        );
        assert_eq!(
            "decoder was fed after the end of the stream",
            Error::Finished.to_string()
        );
    }

    /// The text of a refused payload tells which one it is, and the first zero byte.
    #[test]
    fn delimiter_in_payload_as_text_tells_item_and_index() {
        assert_eq!(
            r"payload 3 contains the delimiter b'\0' at index 7",
            DelimiterInPayload { index: 7, item: 3 }.to_string()
        );
    }

    /// The text of a refused document tells the fault and its place.
    #[test]
    fn document_error_as_text_tells_fault_and_offset() {
        for (fault, text) in [
            (Fault::Empty, "document is empty at offset 9"),
            (Fault::NoXml, "no XML document at offset 9"),
            (Fault::Doctype, "DOCTYPE is not allowed at offset 9"),
            (Fault::NoElement, "no element at offset 9"),
            (
                Fault::UnclosedInstruction,
                "processing instruction without end at offset 9",
            ),
            (Fault::UnclosedComment, "comment without end at offset 9"),
            (Fault::InvalidUtf8, "invalid UTF-8 at offset 9"),
        ] {
            assert_eq!(text, DocumentError { fault, offset: 9 }.to_string());
        }
    }

    /// An offset behind the frame, as one of another frame may be, counts to its end.
    #[test]
    fn line_and_column_offset_behind_the_frame_is_its_end() {
        let (fault, offset) = (Fault::NoXml, 100);

        assert_eq!(
            (2, 3),
            DocumentError { fault, offset }.line_and_column(b"a\nbc")
        );
    }
}
