//! What is refused before a parser sees it.

use memchr::memmem;

use crate::{DocumentError, Fault};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks that `frame` may be given to an XML parser: it is UTF-8 and starts, after
/// an optional byte order mark, declaration, comments and processing instructions,
/// with an element.
///
/// It is no parser and accepts much that is not well-formed. What it is for: no
/// document type declaration gets past it, so no parser behind it opens files
/// or multiplies entities, and strings that are no XML cost a few nanoseconds.
///
/// # Errors
///
/// [`DocumentError`] with the first fault; the prolog is checked before the UTF-8.
///
/// ```
/// use xmlsocket_codec::{Fault, check_document};
///
/// assert!(check_document(b"<?xml version='1.0'?><a/>").is_ok());
/// let error = check_document(b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>").unwrap_err();
/// assert_eq!(error.fault, Fault::Doctype);
/// ```
pub fn check_document(frame: &[u8]) -> Result<(), DocumentError> {
    check_prolog(frame)?;
    match core::str::from_utf8(frame) {
        Ok(_) => Ok(()),
        Err(error) => Err(DocumentError {
            fault: Fault::InvalidUtf8,
            offset: error.valid_up_to(),
        }),
    }
}

fn check_prolog(frame: &[u8]) -> Result<(), DocumentError> {
    let mut rest = frame.strip_prefix(BYTE_ORDER_MARK).unwrap_or(frame);
    loop {
        // What is left starts at the fault in all cases but that of two parts
        // without end, where `rest` is still what opened them.
        let fault = match next_part(rest) {
            Ok(Part::Element) => return Ok(()),
            Ok(Part::Other { len }) => {
                rest = &rest[len..];
                continue;
            }
            Err(fault) => fault,
        };
        let offset = frame.len() - rest.len();
        return Err(DocumentError { fault, offset });
    }
}

/// What stands at the start of the rest of a prolog.
enum Part {
    /// A start tag, as far as can be told without parsing it.
    Element,
    /// White space, a comment or an instruction of `len` bytes.
    Other { len: usize },
}

fn next_part(rest: &[u8]) -> Result<Part, Fault> {
    match rest {
        [] => Err(Fault::Empty),
        [b' ' | b'\t' | b'\r' | b'\n', ..] => Ok(Part::Other {
            len: white_space(rest),
        }),
        [b'<', b'?', ..] => closed(rest, 2, b"?>").ok_or(Fault::UnclosedInstruction),
        [b'<', b'!', b'-', b'-', ..] => closed(rest, 4, b"-->").ok_or(Fault::UnclosedComment),
        [b'<', b'!', after @ ..] if is_doctype(after) => Err(Fault::Doctype),
        [b'<'] | [b'<', b'!' | b'/', ..] => Err(Fault::NoElement),
        [b'<', ..] => Ok(Part::Element),
        _ => Err(Fault::NoXml),
    }
}

fn white_space(rest: &[u8]) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    rest.iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(rest.len())
}

/// Returns the part that starts with `opening` bytes and ends with the first
/// `closing` after them.
fn closed(rest: &[u8], opening: usize, closing: &[u8]) -> Option<Part> {
    let inner = memmem::find(&rest[opening..], closing)?;
    Some(Part::Other {
        len: opening + inner + closing.len(),
    })
}

/// Any case, although XML knows only one: a lenient parser behind us may not.
fn is_doctype(after: &[u8]) -> bool {
    after
        .get(..7)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"DOCTYPE"))
}

#[cfg(test)]
mod tests {
    use super::check_document;
    use crate::{DocumentError, Fault};
    use alloc::vec::Vec;

    fn refused(frame: &[u8]) -> (Fault, usize) {
        let DocumentError { fault, offset } = check_document(frame).unwrap_err();
        (fault, offset)
    }

    /// A prolog is followed through all its parts to the first element.
    #[test]
    fn check_document_element_after_prolog_is_accepted() {
        for frame in [
            &b"<a/>"[..],
            b"\xef\xbb\xbf<a/>",
            b" \t\r\n<a/>",
            b"<?xml version='1.0'?>\n<!-- <!DOCTYPE --><?pi <!DOCTYPE?> <a/>",
            b"<a><!DOCTYPE in the body is for the parser></a>",
            "<a>\u{fffd}\u{1f600}</a>".as_bytes(),
        ] {
            assert_eq!(Ok(()), check_document(frame));
        }
    }

    /// Each fault is told with the place where it stands.
    #[test]
    fn check_document_fault_names_it_and_its_offset() {
        assert_eq!((Fault::Empty, 0), refused(b""));
        assert_eq!((Fault::Empty, 12), refused(b"\xef\xbb\xbf <!---->\n"));
        assert_eq!((Fault::NoXml, 1), refused(b" %xt%a%"));
        assert_eq!((Fault::NoXml, 3), refused(b"\xef\xbb\xbf\xef\xbb\xbf<a/>"));
        assert_eq!((Fault::Doctype, 1), refused(b" <!DOCTYPE a><a/>"));
        assert_eq!((Fault::Doctype, 0), refused(b"<!doctype"));
        assert_eq!((Fault::NoElement, 0), refused(b"<"));
        assert_eq!((Fault::NoElement, 0), refused(b"</a>"));
        assert_eq!((Fault::NoElement, 0), refused(b"<!ELEMENT a ANY>"));
        assert_eq!((Fault::NoElement, 0), refused(b"<!-"));
        assert_eq!((Fault::UnclosedInstruction, 1), refused(b"\n<?>"));
        assert_eq!((Fault::UnclosedComment, 0), refused(b"<!-->-><a/>"));
        assert_eq!((Fault::InvalidUtf8, 3), refused(b"<a>\xff</a>"));
        assert_eq!((Fault::InvalidUtf8, 3), refused(b"<a>\xed\xa0\x80</a>"));
    }

    /// The prolog is judged first: a DOCTYPE is named as one, whatever follows.
    #[test]
    fn check_document_doctype_before_bad_utf8_names_the_doctype() {
        assert_eq!((Fault::Doctype, 0), refused(b"<!DOCTYPE \xff>"));
    }

    /// Columns count bytes after the last line feed, and both counts start at 1.
    #[test]
    fn line_and_column_fault_after_lines_counts_from_one() {
        let frame = b"\n\n  x";
        let error = check_document(frame).unwrap_err();

        assert_eq!((3, 3), error.line_and_column(frame));
        assert_eq!(
            (1, 1),
            check_document(b"x").unwrap_err().line_and_column(b"x")
        );
    }

    /// A DOCTYPE is refused with any prolog before it, in any case.
    #[test]
    fn check_document_doctype_anywhere_in_prolog_is_refused() {
        let parts: [&[u8]; 4] = [b"", b" ", b"<?a?>", b"<!--a-->"];
        for first in parts {
            for second in parts {
                for doctype in [&b"<!DOCTYPE a>"[..], b"<!DocType"] {
                    let prolog: Vec<u8> = [first, second].concat();
                    let frame = [&prolog[..], doctype, b"<a/>"].concat();

                    assert_eq!((Fault::Doctype, prolog.len()), refused(&frame));
                }
            }
        }
    }
}
