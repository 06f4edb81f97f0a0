//! The vectors that both codecs share, `tests/vectors` of the repository.
//!
//! Their format is described in the `README.md` beside them. This file is not
//! part of the published crate, for the vectors are not.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use xmlsocket_codec::{
    Config, Decoder, DelimiterInPayload, Error, Found, Oversize, Scanner, check_document, encode,
    encode_many,
};

/// The values of one vector by key; those of a list in their order.
struct Vector {
    file: String,
    values: HashMap<String, Vec<String>>,
}

impl Vector {
    fn list(&self, key: &str) -> Vec<Vec<u8>> {
        let values = self.values.get(key).map_or(&[][..], Vec::as_slice);
        values.iter().map(|value| unescape(value)).collect()
    }

    fn get(&self, key: &str) -> Option<&str> {
        let values = self.values.get(key)?;
        assert_eq!(1, values.len(), "{self}: {key} is given twice");
        Some(&values[0])
    }

    fn required(&self, key: &str) -> &str {
        self.get(key).unwrap_or_else(|| panic!("{self}: no {key}"))
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        unescape(self.required(key))
    }

    fn number(&self, key: &str) -> u64 {
        parse(self, self.required(key))
    }

    fn number_or_0(&self, key: &str) -> u64 {
        self.get(key).map_or(0, |value| parse(self, value))
    }
}

impl std::fmt::Display for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.values.get("name").map_or("?", |name| &name[0]);
        write!(f, "{}: {name}", self.file)
    }
}

fn parse(vector: &Vector, value: &str) -> u64 {
    value
        .parse()
        .unwrap_or_else(|_| panic!("{vector}: {value} is no number"))
}

fn unescape(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match after {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [b'x', high, low, after @ ..] => {
                let digits = String::from_utf8(vec![*high, *low]).expect("ASCII digits");
                bytes.push(u8::from_str_radix(&digits, 16).expect("hexadecimal digits"));
                rest = after;
            }
            _ => panic!("unknown escape in {value}"),
        }
    }
    bytes
}

/// Reads all vectors of a file, and refuses keys that this reader does not know.
fn vectors(file: &str, known: &[&str]) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let text = fs::read_to_string(folder.join(file)).expect("the vectors of the repository");
    let mut vectors: Vec<Vector> = Vec::new();
    let mut open = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.is_empty() {
            open = false;
            continue;
        }
        if !open {
            open = true;
            vectors.push(Vector {
                file: file.into(),
                values: HashMap::new(),
            });
        }
        let (key, value) = line.split_once(':').expect("a line is `key: value`");
        assert!(known.contains(&key), "{file}: unknown key {key}");
        let value = value.strip_prefix(' ').unwrap_or(value);
        let vector = vectors.last_mut().expect("a vector is open");
        vector
            .values
            .entry(key.into())
            .or_default()
            .push(value.into());
    }
    assert!(!vectors.is_empty(), "{file} has no vectors");
    vectors
}

fn config(vector: &Vector) -> Config {
    let max_size = match vector.get("max_size") {
        None => Config::default().max_size,
        Some("none") => None,
        Some(number) => Some(parse(vector, number)),
    };
    let oversize = match vector.get("oversize") {
        None | Some("raise") => Oversize::Raise,
        Some("skip") => Oversize::Skip,
        Some(other) => panic!("{vector}: oversize {other}"),
    };
    let skip_empty = match vector.get("skip_empty") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => panic!("{vector}: skip_empty {other}"),
    };
    Config {
        max_size,
        oversize,
        skip_empty,
    }
}

fn expected_error(vector: &Vector) -> Result<(), Error> {
    let error = match vector.get("error") {
        None => return Ok(()),
        Some("FrameTooBig") => Error::FrameTooBig {
            offset: vector.number("offset"),
            limit: vector.number("limit"),
        },
        Some("IncompleteFrame") => Error::IncompleteFrame {
            offset: vector.number("offset"),
        },
        Some(other) => panic!("{vector}: error {other}"),
    };
    Err(error)
}

fn check_counters(vector: &Vector, scanner: &Scanner, held: usize, frames: &[Vec<u8>]) {
    let payload: usize = frames.iter().map(Vec::len).sum();
    assert_eq!(vector.number("bytes_in"), scanner.bytes_in(), "{vector}");
    assert_eq!(
        vector.number_or_0("empty_skipped"),
        scanner.empty_skipped(),
        "{vector}"
    );
    assert_eq!(
        vector.number_or_0("oversize_skipped"),
        scanner.oversize_skipped(),
        "{vector}"
    );
    assert_eq!(vector.number_or_0("buffered"), held as u64, "{vector}");
    assert_eq!(frames.len() as u64, scanner.frames_in(), "{vector}");
    assert_eq!(payload as u64, scanner.payload_in(), "{vector}");
    if scanner.error().is_none() {
        assert_eq!(scanner.bytes_in(), scanner.bytes_scanned(), "{vector}");
    }
}

/// Feeds `pieces` to a decoder and compares all that comes out.
fn check_decoder<'a>(vector: &Vector, pieces: impl Iterator<Item = &'a [u8]>) {
    let mut decoder = Decoder::with_config(config(vector));
    let mut frames = Vec::new();
    for piece in pieces {
        if decoder
            .feed(piece, |frame| frames.push(frame.to_vec()))
            .is_err()
        {
            break;
        }
    }
    assert_eq!(vector.list("frame"), frames, "{vector}");
    check_counters(vector, decoder.scanner(), decoder.partial().len(), &frames);

    let error = expected_error(vector);
    assert_eq!(error, decoder.finish(), "{vector}");
    assert_eq!(error, decoder.finish(), "{vector}: second finish");
    assert_eq!(Err(Error::Finished), decoder.feed(b"", |_| ()), "{vector}");
    if let Err(Error::IncompleteFrame { .. }) = error {
        assert_eq!(vector.bytes("partial"), decoder.partial(), "{vector}");
    }
}

/// The same over a window of one's own, as a decoder for another stack would do.
fn check_scanner<'a>(vector: &Vector, pieces: impl Iterator<Item = &'a [u8]>) {
    let mut scanner = Scanner::new(config(vector));
    let mut window = Vec::new();
    let mut frames = Vec::new();
    'stream: for piece in pieces {
        window.extend_from_slice(piece);
        loop {
            match scanner.scan(&window[scanner.pending()..]) {
                Ok(Found::Frame { len }) => {
                    frames.push(window[..len].to_vec());
                    window.drain(..=len);
                }
                Ok(Found::Skip { len }) => drop(window.drain(..len)),
                Ok(Found::More) => break,
                Err(_) => {
                    window.clear();
                    break 'stream;
                }
            }
        }
    }
    assert_eq!(vector.list("frame"), frames, "{vector}");
    assert_eq!(scanner.pending(), window.len(), "{vector}");
    check_counters(vector, &scanner, window.len(), &frames);
    assert_eq!(expected_error(vector), scanner.finish(), "{vector}");
}

/// The same by the codec for tokio, over the buffer that `Framed` would hold.
#[cfg(feature = "tokio")]
fn check_tokio<'a>(vector: &Vector, pieces: impl Iterator<Item = &'a [u8]>) {
    use tokio_util::codec::Decoder;
    use xmlsocket_codec::tokio::{CodecError, FrameCodec};

    let mut codec = FrameCodec::with_config(config(vector));
    let mut buffer = bytes::BytesMut::new();
    let mut frames = Vec::new();
    let mut last = Ok(());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while last.is_ok() {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(Vec::from(frame)),
                Ok(None) => break,
                Err(error) => last = Err(error),
            }
        }
        if last.is_err() {
            break;
        }
    }
    assert_eq!(vector.list("frame"), frames, "{vector}");
    check_counters(vector, codec.scanner(), buffer.len(), &frames);
    let end = last.and_then(|()| codec.decode_eof(&mut buffer));
    let error = end.map(|frame| assert_eq!(None, frame)).map_err(|error| {
        let CodecError::Framing(error) = error else {
            panic!("{vector}: {error}");
        };
        error
    });
    assert_eq!(expected_error(vector), error, "{vector}");
}

/// Every stream of the vectors gives the same, whole, cut anywhere, byte by byte.
#[test]
fn decode_vectors_any_cut_gives_what_they_say() {
    let keys = [
        "name",
        "max_size",
        "oversize",
        "skip_empty",
        "input",
        "frame",
        "error",
        "offset",
        "limit",
        "partial",
        "bytes_in",
        "empty_skipped",
        "oversize_skipped",
        "buffered",
    ];
    for vector in vectors("decode.txt", &keys) {
        let input = vector.bytes("input");
        check_decoder(&vector, input.chunks(1));
        check_scanner(&vector, input.chunks(1));
        #[cfg(feature = "tokio")]
        check_tokio(&vector, input.chunks(1));
        for cut in 0..=input.len() {
            let (first, second) = input.split_at(cut);
            check_decoder(&vector, [first, second].into_iter());
            check_scanner(&vector, [first, second].into_iter());
            #[cfg(feature = "tokio")]
            check_tokio(&vector, [first, second].into_iter());
        }
    }
}

/// Payloads of the vectors are encoded, or refused, as they say.
#[test]
fn encode_vectors_give_what_they_say() {
    let keys = ["name", "payload", "encoded", "item", "index"];
    for vector in vectors("encode.txt", &keys) {
        let payloads = vector.list("payload");
        let expected = if vector.get("index").is_some() {
            Err(DelimiterInPayload {
                index: usize::try_from(vector.number("index")).unwrap(),
                item: usize::try_from(vector.number("item")).unwrap(),
            })
        } else {
            Ok(vector.bytes("encoded"))
        };
        assert_eq!(expected, encode_many(&payloads), "{vector}");
        if let [payload] = &payloads[..] {
            assert_eq!(expected, encode(payload), "{vector}");
        }
    }
}

/// Documents of the vectors are accepted, or refused, as they say.
#[test]
fn check_document_vectors_give_what_they_say() {
    let keys = ["name", "frame", "reason", "line", "column"];
    for vector in vectors("check_document.txt", &keys) {
        let frame = vector.bytes("frame");
        let found = check_document(&frame).err().map(|error| {
            let (line, column) = error.line_and_column(&frame);
            (error.fault.to_string(), line as u64, column as u64)
        });
        let expected = vector.get("reason").map(|reason| {
            let (line, column) = (vector.number("line"), vector.number("column"));
            (reason.to_owned(), line, column)
        });
        assert_eq!(expected, found, "{vector}");
    }
}
