//! What decoding means, too simple to be wrong: for the tests of chunking, and for
//! the fuzz targets in `rust/fuzz`.

use xmlsocket_codec::{Config, Decoder, Error, Oversize};

/// What is left to be seen of a stream: frames, errors, counters.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) error: Option<Error>,
    pub(crate) partial: Vec<u8>,
    pub(crate) bytes_in: u64,
    pub(crate) empty_skipped: u64,
    pub(crate) oversize_skipped: u64,
}

/// Decodes a whole stream the slow way: byte by byte, from the definition.
pub(crate) fn oracle(config: Config, stream: &[u8]) -> Outcome {
    let limit = config.max_size.unwrap_or(u64::MAX);
    let mut outcome = Outcome::default();
    let mut frame = Vec::new();
    let mut start = 0;
    let mut too_big = false;
    for &byte in stream {
        outcome.bytes_in += 1;
        if byte != 0 {
            frame.push(byte);
            if frame.len() as u64 > limit && !too_big {
                if config.oversize == Oversize::Raise {
                    let offset = start;
                    outcome.error = Some(Error::FrameTooBig { offset, limit });
                    return outcome;
                }
                too_big = true;
                outcome.oversize_skipped += 1;
            }
            continue;
        }
        if frame.is_empty() && config.skip_empty {
            outcome.empty_skipped += 1;
        } else if !too_big {
            outcome.frames.push(frame);
        }
        frame = Vec::new();
        start = outcome.bytes_in;
        too_big = false;
    }
    if !frame.is_empty() {
        outcome.error = Some(Error::IncompleteFrame { offset: start });
        outcome.partial = if too_big { Vec::new() } else { frame };
    }
    outcome
}

/// Decodes a stream in pieces, and checks what the decoder says of itself on the way.
pub(crate) fn decode<'a>(config: Config, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::with_config(config);
    let mut frames = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        fed += piece.len() as u64;
        let before = decoder.error();
        let result = decoder.feed(piece, |frame| frames.push(frame.to_vec()));
        assert_eq!(decoder.error(), result.err());
        assert!(before.is_none() || before == decoder.error());
    }
    let error = decoder.finish().err();
    let scanner = decoder.scanner();
    assert_eq!(frames.len() as u64, scanner.frames_in());
    assert_eq!(
        frames.iter().map(Vec::len).sum::<usize>() as u64,
        scanner.payload_in()
    );
    assert!(scanner.bytes_scanned() <= fed);
    if !matches!(error, Some(Error::FrameTooBig { .. })) {
        assert_eq!(fed, scanner.bytes_scanned());
    }
    Outcome {
        frames,
        error,
        partial: decoder.partial().to_vec(),
        bytes_in: scanner.bytes_in(),
        empty_skipped: scanner.empty_skipped(),
        oversize_skipped: scanner.oversize_skipped(),
    }
}
