//! The bytes that are sent, made once, and the check of what comes back.

use std::cmp::min;

/// Frames that repeat for ever; any position of the stream is known.
///
/// Each frame of a block holds its number, so that a frame that is lost, doubled
/// or out of order does not go unnoticed. A block is at least half a megabyte:
/// more than is in flight for small frames, and it stays in the second-level cache.
#[derive(Debug)]
pub(crate) struct Pattern {
    block: Vec<u8>,
    frame: usize,
}

/// What a frame looks like inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One element with text.
    Text,
    /// One element with small child elements.
    Tree,
}

/// Where and how the stream that came back differs from what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) position: u64,
    pub(crate) expected: u8,
    pub(crate) found: u8,
}

const BLOCK: usize = 512 * 1024;

/// Smallest frame in bytes: an element with a one-digit name.
pub(crate) const MIN_SIZE: usize = 4;

impl Pattern {
    /// Makes frames of `size` bytes, delimiter excluded. All are well-formed XML
    /// as lxml would write it, so that a server that parses and serialises
    /// returns the same bytes.
    pub(crate) fn new(size: usize, shape: Shape) -> Self {
        assert!(size >= MIN_SIZE, "a frame has at least {MIN_SIZE} bytes");
        let frame = size + 1;
        let count = BLOCK.div_ceil(frame).max(2);
        let mut block = Vec::with_capacity(count * frame);
        for number in 0..count {
            fill(&mut block, number, size, shape);
            block.push(0);
        }
        Self { block, frame }
    }

    /// Bytes of one frame, delimiter included.
    pub(crate) fn frame(&self) -> u64 {
        self.frame as u64
    }

    /// At most `limit` bytes of the stream from `position` on; at least one.
    pub(crate) fn piece(&self, position: u64, limit: u64) -> &[u8] {
        let start = self.place(position);
        let rest = self.block.len() - start;
        let length = usize::try_from(limit).map_or(rest, |limit| min(limit, rest));
        &self.block[start..start + length]
    }

    /// Compares `data` with the stream from `position` on.
    pub(crate) fn check(&self, position: u64, data: &[u8]) -> Result<(), Mismatch> {
        let mut done = 0;
        while done < data.len() {
            let at = position + done as u64;
            let expected = self.piece(at, (data.len() - done) as u64);
            let found = &data[done..done + expected.len()];
            if expected != found {
                return Err(first_difference(at, expected, found));
            }
            done += expected.len();
        }
        Ok(())
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the remainder is less than the block's length, a usize"
    )]
    fn place(&self, position: u64) -> usize {
        (position % self.block.len() as u64) as usize
    }
}

fn first_difference(position: u64, expected: &[u8], found: &[u8]) -> Mismatch {
    let index = expected
        .iter()
        .zip(found)
        .position(|(expected, found)| expected != found)
        .unwrap_or_default();
    Mismatch {
        position: position + index as u64,
        expected: expected[index],
        found: found[index],
    }
}

/// Appends one document of exactly `size` bytes.
fn fill(block: &mut Vec<u8>, number: usize, size: usize, shape: Shape) {
    const CHILD: &[u8] = br#"<p x="1" y="22">abc</p>"#;

    let end = block.len() + size;
    let open = format!("<m i=\"{:08}\">", number % 100_000_000);
    let close = b"</m>";
    if size < open.len() + close.len() {
        let digits = size - 3;
        let name = format!("{number:0digits$}");
        block.extend_from_slice(b"<");
        // An XML name does not start with a digit; the last digits differ most.
        block.push(b'a' + name.as_bytes()[name.len() - digits] % 10);
        block.extend_from_slice(&name.as_bytes()[name.len() - digits + 1..]);
        block.extend_from_slice(b"/>");
        return;
    }
    block.extend_from_slice(open.as_bytes());
    if shape == Shape::Tree {
        while block.len() + CHILD.len() + close.len() <= end {
            block.extend_from_slice(CHILD);
        }
    }
    block.resize(end - close.len(), b'.');
    block.extend_from_slice(close);
}

#[cfg(test)]
mod tests {
    use super::{Mismatch, Pattern, Shape};

    fn frames(pattern: &Pattern) -> Vec<&[u8]> {
        let mut frames: Vec<&[u8]> = pattern.block.split(|&byte| byte == 0).collect();
        assert_eq!(Some(b"".as_slice()), frames.pop());
        frames
    }

    #[test]
    fn new_every_size_gives_frames_of_that_size() {
        for size in (4..50).chain([128, 65_536, 1_000_000]) {
            for shape in [Shape::Text, Shape::Tree] {
                let pattern = Pattern::new(size, shape);

                assert!(frames(&pattern).iter().all(|frame| frame.len() == size));
            }
        }
    }

    #[test]
    fn new_frames_of_usual_size_differ() {
        for size in [20, 32, 128, 1024] {
            let pattern = Pattern::new(size, Shape::Text);
            let mut frames = frames(&pattern);
            let count = frames.len();
            frames.sort_unstable();
            frames.dedup();

            assert_eq!(count, frames.len());
        }
    }

    #[test]
    fn check_of_pieces_across_the_end_of_a_block_passes() {
        let pattern = Pattern::new(32, Shape::Text);
        let end = pattern.block.len() as u64;
        let mut data = pattern.piece(end - 7, 100).to_vec();
        data.extend_from_slice(pattern.piece(end, 50));

        assert_eq!(57, data.len());
        assert_eq!(Ok(()), pattern.check(end - 7, &data));
    }

    #[test]
    fn check_of_a_changed_byte_tells_its_position() {
        let pattern = Pattern::new(32, Shape::Text);
        let mut data = pattern.piece(33, 66).to_vec();
        data[40] = b'!';

        assert_eq!(
            Err(Mismatch {
                position: 73,
                expected: b'0',
                found: b'!'
            }),
            pattern.check(33, &data)
        );
    }

    #[test]
    fn check_of_a_stream_without_one_frame_fails() {
        let pattern = Pattern::new(32, Shape::Text);
        let data = pattern.piece(33, 330).to_vec();

        assert!(pattern.check(0, &data).is_err());
    }
}
