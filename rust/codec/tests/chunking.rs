//! Nothing depends on how a stream is cut: short streams are tried with every
//! cut there is, long ones with cuts at every distance, against a decoder that
//! is too simple to be wrong.

mod oracle;

use oracle::{decode, oracle};
use xmlsocket_codec::{Config, Oversize};

fn configs(sizes: &[Option<u64>]) -> Vec<Config> {
    let mut configs = Vec::new();
    for &max_size in sizes {
        for oversize in [Oversize::Raise, Oversize::Skip] {
            for skip_empty in [false, true] {
                configs.push(Config {
                    max_size,
                    oversize,
                    skip_empty,
                });
            }
        }
    }
    configs
}

/// Splits `stream` after each byte whose bit in `cuts` is set.
fn cut(stream: &[u8], cuts: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for position in 1..stream.len() {
        if cuts >> (position - 1) & 1 == 1 {
            pieces.push(&stream[from..position]);
            from = position;
        }
    }
    pieces.push(&stream[from..]);
    pieces
}

/// All streams of up to seven bytes, with all cuts, decode as the definition says.
#[test]
fn feed_every_short_stream_with_every_cut_equals_oracle() {
    let configs = configs(&[None, Some(0), Some(1), Some(3)]);
    for length in 0..=7_usize {
        for zeros in 0..1_usize << length {
            let byte = |position| b'a' * u8::from(zeros >> position & 1 == 0);
            let stream: Vec<u8> = (0..length).map(byte).collect();
            for &config in &configs {
                let expected = oracle(config, &stream);
                for cuts in 0..1_usize << length.saturating_sub(1) {
                    let pieces = cut(&stream, cuts);
                    assert_eq!(
                        expected,
                        decode(config, pieces.iter().copied()),
                        "{config:?} {pieces:?}"
                    );
                }
            }
        }
    }
}

/// Bytes that look random but are the same in every run (xorshift64).
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u16) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let below = self.0 % u64::from(bound);
        usize::try_from(below).expect("less than a u16")
    }

    /// A stream of frames with lengths around those at which the search changes.
    fn stream(&mut self) -> Vec<u8> {
        let mut stream = Vec::new();
        for _ in 0..self.below(40) {
            let longest = [2, 20, 70, 300_u16][self.below(4)];
            for _ in 0..self.below(longest) {
                stream.push(b'a' + u8::try_from(self.below(100)).expect("less than 100"));
            }
            let zeros = [1, 1, 1, 2, 100][self.below(5)];
            stream.resize(stream.len() + zeros, 0);
        }
        stream.truncate(stream.len() - self.below(30).min(stream.len()));
        stream
    }
}

/// Streams that mix frames and runs of all lengths decode as the definition says,
/// in pieces of any size.
#[test]
fn feed_long_streams_in_pieces_of_any_size_equals_oracle() {
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    let configs = configs(&[None, Some(0), Some(10), Some(64), Some(65), Some(200)]);
    for _ in 0..50 {
        let stream = noise.stream();
        for &config in &configs {
            let expected = oracle(config, &stream);
            for size in [1, 2, 63, 64, 65, 129, 1000, usize::MAX] {
                let outcome = decode(config, stream.chunks(size));
                assert_eq!(expected, outcome, "{config:?} {size} {stream:?}");
            }
        }
    }
}

/// A frame of exactly the limit passes, however small the pieces it comes in.
#[test]
fn feed_frame_of_max_size_in_small_pieces_is_whole() {
    let config = Config {
        max_size: Some(100_000),
        ..Config::default()
    };
    let mut stream = vec![b'x'; 100_000];
    stream.push(0);
    for size in [1, 1460, 65_536] {
        let outcome = decode(config, stream.chunks(size));

        assert_eq!([&stream[..100_000]], outcome.frames[..]);
        assert_eq!(None, outcome.error);
    }
}
