//! Runs the vectors that the Python tests run: `tests/vectors/` of the repository.

#![allow(
    clippy::unwrap_used,
    reason = "a vector that cannot be read is a failed test"
)]

use std::fs;
use std::path::Path;

use xmlsocket_codec::{
    Config, Decoder, Error, Found, Oversize, Scanner, check_document, encode, encode_many,
};

/// One vector: its lines as keys and values, in order.
struct Vector {
    lines: Vec<(String, String)>,
}

impl Vector {
    fn name(&self) -> &str {
        &self.lines[0].1
    }

    fn all(&self, key: &str) -> Vec<Vec<u8>> {
        let lines = self.lines.iter().filter(|(found, _)| found == key);
        lines.map(|(_, value)| bytes(value)).collect()
    }

    fn text(&self, key: &str) -> Option<&str> {
        let mut lines = self.lines.iter().filter(|(found, _)| found == key);
        let value = lines.next().map(|(_, value)| value.as_str());
        assert!(
            lines.next().is_none(),
            "{}: {key} stands twice",
            self.name()
        );
        value
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key).map(|value| value.parse().unwrap())
    }

    fn count(&self, key: &str) -> u64 {
        self.number(key).unwrap_or(0)
    }

    fn one(&self, key: &str) -> Vec<u8> {
        bytes(
            self.text(key)
                .unwrap_or_else(|| panic!("{}: no {key}", self.name())),
        )
    }
}

/// Undoes the escapes of a value.
fn bytes(value: &str) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                (u8::from_str_radix(&digits, 16).unwrap(), after)
            }
            (b'\\', _) => panic!("unknown escape in {value}"),
            _ => (byte, after),
        };
        result.push(byte);
        rest = after;
    }
    result
}

fn read(file: &str, keys: &[&str]) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let mut vectors = Vec::new();
    for block in text.split("\n\n") {
        let lines: Vec<_> = block
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let (key, value) = line.split_once(':').unwrap();
                assert!(keys.contains(&key), "unknown key {key}");
                (
                    key.to_owned(),
                    value.strip_prefix(' ').unwrap_or("").to_owned(),
                )
            })
            .collect();
        if !lines.is_empty() {
            assert_eq!("name", lines[0].0);
            vectors.push(Vector { lines });
        }
    }
    assert!(vectors.len() > 5, "{file} holds few vectors");
    vectors
}

/// Cuts `input` whole, in two at every place, and byte by byte.
fn cuttings(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all = vec![vec![input], input.chunks(1).collect()];
    all.extend((1..input.len()).map(|at| vec![&input[..at], &input[at..]]));
    all
}

fn config(vector: &Vector) -> Config {
    Config {
        max_size: match vector.text("max_size") {
            None => Config::default().max_size,
            Some("none") => None,
            Some(number) => Some(number.parse().unwrap()),
        },
        oversize: match vector.text("oversize") {
            None | Some("raise") => Oversize::Raise,
            Some("skip") => Oversize::Skip,
            Some(other) => panic!("oversize {other}"),
        },
        skip_empty: vector.text("skip_empty") == Some("true"),
    }
}

const DECODE: &[&str] = &[
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

/// Every vector holds for the decoder, however its input is cut.
#[test]
fn decoder_every_vector_and_cutting_agrees() {
    for vector in read("decode.txt", DECODE) {
        let name = vector.name();
        let input = vector.one("input");
        let expected = vector.all("frame");
        for pieces in cuttings(&input) {
            let mut decoder = Decoder::with_config(config(&vector));
            let mut frames: Vec<Vec<u8>> = Vec::new();
            for piece in &pieces {
                let fed = decoder.feed(piece, |frame| frames.push(frame.to_vec()));
                assert_eq!(fed.err(), decoder.error(), "{name}");
                if fed.is_err() {
                    break;
                }
            }
            assert_eq!(expected, frames, "{name}");
            let scanner = decoder.scanner();
            assert_eq!(vector.count("bytes_in"), scanner.bytes_in(), "{name}");
            assert_eq!(expected.len() as u64, scanner.frames_in(), "{name}");
            let payload: usize = expected.iter().map(Vec::len).sum();
            assert_eq!(payload as u64, scanner.payload_in(), "{name}");
            assert_eq!(
                vector.count("empty_skipped"),
                scanner.empty_skipped(),
                "{name}"
            );
            assert_eq!(
                vector.count("oversize_skipped"),
                scanner.oversize_skipped(),
                "{name}"
            );
            assert!(scanner.bytes_scanned() <= input.len() as u64, "{name}");
            assert_eq!(
                vector.count("buffered"),
                decoder.partial().len() as u64,
                "{name}"
            );
            assert_eq!(error(&vector), decoder.finish().err(), "{name}");
            if vector.text("error") == Some("IncompleteFrame") {
                assert_eq!(vector.one("partial"), decoder.partial(), "{name}");
            }
        }
    }
}

fn error(vector: &Vector) -> Option<Error> {
    let offset = vector.number("offset");
    match vector.text("error")? {
        "FrameTooBig" => Some(Error::FrameTooBig {
            offset: offset.unwrap(),
            limit: vector.number("limit").unwrap(),
        }),
        "IncompleteFrame" => Some(Error::IncompleteFrame {
            offset: offset.unwrap(),
        }),
        other => panic!("{}: error {other}", vector.name()),
    }
}

/// Every vector holds for a caller that keeps the stream in a window of its own.
#[test]
fn scanner_every_vector_and_cutting_agrees() {
    for vector in read("decode.txt", DECODE) {
        let name = vector.name();
        let input = vector.one("input");
        for pieces in cuttings(&input) {
            let mut scanner = Scanner::new(config(&vector));
            let mut window = Vec::new();
            let mut frames: Vec<Vec<u8>> = Vec::new();
            'stream: for piece in pieces {
                window.extend_from_slice(piece);
                loop {
                    let fresh = &window[scanner.pending()..];
                    match scanner.scan(fresh) {
                        Ok(Found::Frame { len }) => {
                            frames.push(window[..len].to_vec());
                            window.drain(..=len);
                        }
                        Ok(Found::Skip { len }) => drop(window.drain(..len)),
                        Ok(Found::More) => break,
                        Err(_) => break 'stream,
                    }
                }
            }
            assert_eq!(vector.all("frame"), frames, "{name}");
            assert_eq!(vector.count("bytes_in"), scanner.bytes_in(), "{name}");
            assert_eq!(
                vector.count("empty_skipped"),
                scanner.empty_skipped(),
                "{name}"
            );
            assert_eq!(error(&vector), scanner.finish().err(), "{name}");
        }
    }
}

/// Every vector of `encode` holds, for one payload and for several.
#[test]
fn encode_every_vector_agrees() {
    for vector in read(
        "encode.txt",
        &["name", "payload", "encoded", "item", "index"],
    ) {
        let name = vector.name();
        let payloads = vector.all("payload");
        let many = encode_many(&payloads);
        if let Some(index) = vector.number("index") {
            let error = many.unwrap_err();
            assert_eq!(index, error.index as u64, "{name}");
            assert_eq!(vector.number("item"), Some(error.item as u64), "{name}");
        } else {
            assert_eq!(vector.one("encoded"), many.unwrap(), "{name}");
        }
        if let [payload] = payloads.as_slice() {
            match encode(payload) {
                Ok(frame) => assert_eq!(vector.one("encoded"), frame, "{name}"),
                Err(error) => {
                    assert_eq!(vector.number("index"), Some(error.index as u64), "{name}");
                }
            }
        }
    }
}

/// Every vector of `check_document` holds.
#[test]
fn check_document_every_vector_agrees() {
    for vector in read(
        "check_document.txt",
        &["name", "frame", "reason", "line", "column"],
    ) {
        let name = vector.name();
        let frame = vector.one("frame");
        match check_document(&frame) {
            Ok(()) => assert_eq!(None, vector.text("reason"), "{name}"),
            Err(error) => {
                let (line, column) = error.line_and_column(&frame);
                assert_eq!(
                    vector.text("reason"),
                    Some(error.fault.to_string().as_str()),
                    "{name}"
                );
                assert_eq!(vector.number("line"), Some(line as u64), "{name}");
                assert_eq!(vector.number("column"), Some(column as u64), "{name}");
            }
        }
    }
}

/// Every way to cut every short stream over a small alphabet gives what splitting gives.
#[test]
fn decoder_every_cutting_of_short_streams_agrees_with_split() {
    for length in 0..=8_u32 {
        for number in 0..2_u32.pow(length) {
            let stream: Vec<u8> = (0..length)
                .map(|bit| if number >> bit & 1 == 0 { 0 } else { b'x' })
                .collect();
            let mut expected: Vec<&[u8]> = stream.split(|&byte| byte == 0).collect();
            let tail = expected.pop().unwrap();
            for cuts in 0..2_u32.pow(length.saturating_sub(1)) {
                let mut decoder = Decoder::new();
                let mut frames: Vec<Vec<u8>> = Vec::new();
                let mut from = 0;
                for at in 1..=stream.len() {
                    if at == stream.len() || cuts >> (at - 1) & 1 == 1 {
                        decoder
                            .feed(&stream[from..at], |frame| frames.push(frame.to_vec()))
                            .unwrap();
                        from = at;
                    }
                }
                assert_eq!(expected, frames);
                assert_eq!(tail, decoder.partial());
                assert_eq!(stream.len() as u64, decoder.scanner().bytes_scanned());
            }
        }
    }
}
