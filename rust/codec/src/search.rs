//! Finding delimiters: one at a time where frames are long, 64 bytes at a time
//! where they are short.
//!
//! A call of memchr costs some ten nanoseconds before it looks at the first byte,
//! which is more than a frame of 8 or 32 bytes is worth. While frames are short,
//! 64 bytes become a bit mask with one bit per delimiter, and the next delimiter
//! is the next bit. Measured, ns per frame, memchr against masks: 9.7 and 3.2 at
//! 8 bytes, 11.9 and 7.2 at 32, 12.1 and 11.1 at 64, 12.3 and 20 at 128. So:
//!
//! - start with memchr; when it finds a frame shorter than [`SHORT`], take masks;
//! - when a mask is empty, take memchr again, from the end of those 64 bytes.

use crate::DELIMITER;

/// Bytes that become one mask.
const CHUNK: usize = u64::BITS as usize;

/// A frame with fewer bytes makes the search change from memchr to masks. Below
/// the break-even point (about 64), because a change that was wrong costs a mask.
const SHORT: usize = CHUNK;

/// The delimiters of one piece of the stream, in order.
pub(crate) struct Delimiters<'a> {
    data: &'a [u8],
    /// Everything before this position has been searched.
    searched: usize,
    /// Delimiters found and not yet handed out: bit `i` stands for the byte at
    /// `searched - CHUNK + i`. Zero while memchr is used.
    mask: u64,
    /// Whether the next bytes are to be searched by masks.
    dense: bool,
}

impl<'a> Delimiters<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            searched: 0,
            mask: 0,
            dense: false,
        }
    }

    /// Returns how many bytes have been looked at.
    pub(crate) const fn searched(&self) -> usize {
        self.searched
    }

    /// Returns the position of the next delimiter.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.mask == 0 && !self.next_chunk() {
            return self.next_far();
        }
        let bit = self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(self.searched - CHUNK + bit)
    }

    /// Takes the delimiters that follow the one at `position` without a gap, as
    /// far as they are known, and returns how many they were.
    ///
    /// This is what makes a flood of zero bytes cost one step per 64 of them.
    #[inline]
    pub(crate) fn take_run(&mut self, position: usize) -> usize {
        if self.mask == 0 {
            return 0;
        }
        let next = position + 1 + CHUNK - self.searched;
        if self.mask.trailing_zeros() as usize != next {
            return 0;
        }
        let run = (self.mask >> next).trailing_ones();
        // The run starts at the lowest bit that is set: adding it there carries
        // through the run and out of it.
        self.mask &= self.mask.wrapping_add(1 << next);
        run as usize
    }

    /// Makes the mask of the next chunk while frames are short. Returns whether it
    /// holds a delimiter.
    #[inline(always)]
    fn next_chunk(&mut self) -> bool {
        if !self.dense {
            return false;
        }
        let Some(chunk) = self.data[self.searched..].first_chunk() else {
            return false;
        };
        self.mask = mask(chunk);
        self.searched += CHUNK;
        self.mask != 0
    }

    /// Finds the next delimiter with memchr.
    #[inline(always)]
    fn next_far(&mut self) -> Option<usize> {
        let rest = &self.data[self.searched..];
        let Some(distance) = memchr::memchr(DELIMITER, rest) else {
            self.searched = self.data.len();
            return None;
        };
        // The distance is the length of the frame unless a mask came before: then
        // the frame is long, and what memchr saw is only a part of it.
        self.dense = !self.dense && distance < SHORT;
        let position = self.searched + distance;
        self.searched = position + 1;
        Some(position)
    }
}

/// The bit of each byte within its group of eight.
const BITS: [u8; CHUNK] = {
    let mut bits = [0; CHUNK];
    let mut i = 0;
    while i < CHUNK {
        bits[i] = 1 << (i % 8);
        i += 1;
    }
    bits
};

/// Returns a word whose bit `i` tells whether `chunk[i]` is a delimiter.
///
/// The first loop becomes vector instructions on every target that has them
/// (pcmpeqb, pandn). The multiplication adds the eight bytes of a group, of which
/// each has at most its own bit, into the highest byte. Tried and slower: the
/// exact zero test on `u64` words (4.7 against 3.2 ns per frame of 8 bytes), sums
/// that LLVM turns into psadbw (5.2), shifting bits in one by one (13).
#[inline]
fn mask(chunk: &[u8; CHUNK]) -> u64 {
    let mut hits = [0; CHUNK];
    for ((hit, byte), bit) in hits.iter_mut().zip(chunk).zip(BITS) {
        *hit = if *byte == DELIMITER { bit } else { 0 };
    }
    let mut mask = 0;
    for (group, bytes) in hits.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        let bits = u64::from_le_bytes(word).wrapping_mul(0x0101_0101_0101_0101) >> 56;
        mask |= bits << (8 * group);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Delimiters, mask};
    use alloc::vec;
    use alloc::vec::Vec;

    /// Each byte has its own bit, and only a zero byte sets it.
    #[test]
    fn mask_single_delimiter_sets_its_bit() {
        for position in 0..CHUNK {
            for other in [1, 0x7f, 0x80, 0xff] {
                let mut chunk = [other; CHUNK];
                chunk[position] = 0;
                assert_eq!(1 << position, mask(&chunk));
            }
        }
    }

    /// All delimiters are found in order, however far they stand apart.
    #[test]
    fn next_every_gap_finds_all_positions() {
        for gap in 0..200 {
            for lead in [0, 1, 39, 40, 63, 64, 65, 130] {
                let mut data = vec![b'x'; lead];
                let mut expected = Vec::new();
                for _ in 0..8 {
                    expected.push(data.len());
                    data.push(0);
                    data.resize(data.len() + gap, b'x');
                }
                let mut delimiters = Delimiters::new(&data);
                let mut found = Vec::new();
                while let Some(position) = delimiters.next() {
                    found.push(position);
                }
                assert_eq!(expected, found, "gap {gap}, lead {lead}");
                assert_eq!(data.len(), delimiters.searched());
            }
        }
    }

    /// A run is taken up to the byte that ends it, or to the end of its chunk.
    #[test]
    fn take_run_every_length_takes_only_the_run() {
        for run in 1..200 {
            let mut data = vec![0; run];
            data.extend_from_slice(b"ab\0\0c");
            data.resize(data.len() + 200, b'x');
            let mut delimiters = Delimiters::new(&data);
            let mut seen = 0;
            while seen < run {
                let position = delimiters.next();
                assert_eq!(Some(seen), position);
                seen += 1 + delimiters.take_run(seen);
            }
            assert_eq!(run, seen);
            assert_eq!(Some(run + 2), delimiters.next());
            assert_eq!(Some(run + 3), delimiters.next());
            assert_eq!(0, delimiters.take_run(run + 3));
            assert_eq!(None, delimiters.next());
        }
    }
}
