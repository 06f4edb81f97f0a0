//! What has to hold for any bytes. Each property takes an input and panics where it
//! does not hold; libFuzzer, the soak and the replay of the corpus share them.

#[allow(
    dead_code,
    clippy::missing_panics_doc,
    reason = "shared with the tests of the codec"
)]
#[path = "../../codec/tests/oracle/mod.rs"]
mod oracle;

use xmlsocket_codec::{
    Config, Decoder, DelimiterInPayload, DocumentError, Fault, Oversize, check_document,
    check_payloads, encode as encode_one, encode_many,
};

/// A property of the codec.
pub type Property = fn(&[u8]);

/// All properties by name, which is also that of their corpus.
pub const PROPERTIES: [(&str, Property); 3] =
    [("decode", decode), ("encode", encode), ("prolog", prolog)];

/// Frames, error, offset and counters are those of the oracle, in whatever pieces
/// the stream comes.
///
/// The first byte sets the options, the second and third the pieces; the rest is
/// the stream.
///
/// # Panics
///
/// When it does not hold.
pub fn decode(data: &[u8]) {
    let [options, low, high, stream @ ..] = data else {
        return;
    };
    let config = Config {
        max_size: [
            None,
            Some(0),
            Some(1),
            Some(3),
            Some(10),
            Some(64),
            Some(200),
            Some(5000),
        ][usize::from(options & 7)],
        oversize: if options & 8 == 0 {
            Oversize::Raise
        } else {
            Oversize::Skip
        },
        skip_empty: options & 16 != 0,
    };
    let expected = oracle::oracle(config, stream);

    let whole = oracle::decode(config, std::iter::once(stream));
    assert_eq!(expected, whole, "{config:?}, in one piece");
    let outcome = oracle::decode(config, Pieces::new(stream, *low, *high));
    assert_eq!(expected, outcome, "{config:?}, in pieces");
}

/// Pieces of a stream; those of most inputs are of all sizes, empty ones too.
struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    state: u32,
    longest: u32,
}

impl<'a> Pieces<'a> {
    fn new(stream: &'a [u8], seed: u8, longest: u8) -> Self {
        Self {
            rest: Some(stream),
            state: u32::from(seed) + 1,
            longest: u32::from(longest) + 1,
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        // xorshift: the same cuts for the same input, in every run.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let size = (self.state % (self.longest + 1)) as usize;
        if size >= rest.len() {
            self.rest = None;
            return Some(rest);
        }
        let (piece, rest) = rest.split_at(size);
        self.rest = Some(rest);
        Some(piece)
    }
}

/// What is encoded comes out of a decoder as it was, and the first payload with a
/// delimiter is named.
///
/// Each payload is a byte with its length and that many bytes.
///
/// # Panics
///
/// When it does not hold.
pub fn encode(data: &[u8]) {
    let mut payloads = Vec::new();
    let mut rest = data;
    while let [size, after @ ..] = rest {
        let (payload, after) = after.split_at(after.len().min(usize::from(*size)));
        payloads.push(payload);
        rest = after;
    }
    let fault = payloads.iter().enumerate().find_map(|(item, payload)| {
        let index = payload.iter().position(|&byte| byte == 0)?;
        Some(DelimiterInPayload { index, item })
    });
    let encoded = encode_many(&payloads);
    assert_eq!(fault, encoded.as_ref().err().copied());
    assert_eq!(fault, check_payloads(&payloads).err());
    let Ok(stream) = encoded else {
        return;
    };

    assert_eq!(Ok(stream.len()), check_payloads(&payloads));
    let one_by_one: Result<Vec<_>, _> = payloads.iter().map(|item| encode_one(item)).collect();
    assert_eq!(Ok(&stream), one_by_one.map(|all| all.concat()).as_ref());
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    assert_eq!(
        Ok(()),
        decoder.feed(&stream, |frame| frames.push(frame.to_vec()))
    );
    assert_eq!(Ok(()), decoder.finish());
    assert_eq!(payloads, frames);
}

/// The prolog check decides as a reader that goes byte by byte, names a fault where
/// it stands, and does not depend on what harmlessly stands before it.
///
/// # Panics
///
/// When it does not hold.
pub fn prolog(frame: &[u8]) {
    let outcome = check_document(frame);
    match outcome {
        Ok(()) => {
            assert!(std::str::from_utf8(frame).is_ok());
            assert!(reaches_an_element(frame), "accepted without an element");
        }
        Err(error) => check_fault(frame, error),
    }
    if let Err(DocumentError { fault, .. }) = outcome
        && fault == Fault::InvalidUtf8
    {
        assert!(reaches_an_element(frame), "the prolog is judged first");
    }
    if frame.starts_with(b"\xef\xbb\xbf") {
        return; // only the very start may hold a byte order mark
    }
    for before in [
        &b" \t\r\n"[..],
        b"<!--<!DOCTYPE a>-->",
        b"<?p <!DOCTYPE a>?>",
        b"\xef\xbb\xbf",
    ] {
        let longer = [before, frame].concat();
        let moved = outcome.map_err(|error| DocumentError {
            offset: error.offset + before.len(),
            ..error
        });
        assert_eq!(moved, check_document(&longer), "after {before:?}");
    }
}

fn check_fault(frame: &[u8], DocumentError { fault, offset }: DocumentError) {
    let rest = &frame[offset..];
    let lower = rest[..rest.len().min(9)].to_ascii_lowercase();
    let holds = match fault {
        Fault::Empty => rest.is_empty(),
        Fault::NoXml => !rest.is_empty() && !b" \t\r\n<".contains(&rest[0]),
        Fault::Doctype => lower == b"<!doctype",
        Fault::NoElement => {
            rest == b"<"
                || rest.starts_with(b"</")
                || (rest.starts_with(b"<!") && lower != b"<!doctype")
        }
        Fault::UnclosedInstruction => rest.starts_with(b"<?"),
        Fault::UnclosedComment => rest.starts_with(b"<!--"),
        Fault::InvalidUtf8 => std::str::from_utf8(&frame[..offset]).is_ok(),
        _ => false,
    };
    assert!(holds, "{fault:?} at {offset}");
    assert_eq!(
        fault == Fault::InvalidUtf8,
        reaches_an_element(frame),
        "{fault:?} at {offset}"
    );
}

/// Reads a prolog byte by byte, keeping only what it is inside of.
fn reaches_an_element(frame: &[u8]) -> bool {
    let mut inside: Option<&[u8]> = None; // what ends it
    let mut seen = Vec::new();
    let frame = frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame);
    for &byte in frame {
        seen.push(byte);
        if let Some(end) = inside {
            if seen.ends_with(end) {
                inside = None;
                seen.clear();
            }
            continue;
        }
        match &seen[..] {
            [b' ' | b'\t' | b'\r' | b'\n'] => seen.clear(),
            [b'<'] | [b'<', b'!'] | [b'<', b'!', b'-'] => (),
            [b'<', b'?'] => {
                inside = Some(b"?>");
                seen.clear();
            }
            [b'<', b'!', b'-', b'-'] => {
                inside = Some(b"-->");
                seen.clear();
            }
            [b'<', other] => return !b"!/".contains(other),
            _ => return false,
        }
    }
    false
}
