//! The codec crate beside tokio-util's `AnyDelimiterCodec`, in process.
//!
//! Both get the same reads and hand out each frame as an owned `Bytes`, as servers
//! on tokio take them; the crate once more as slices, which is all that a server
//! needs that answers at once, and as a relay that copies each frame to a buffer. Prints a line of JSON for each cell and round.

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{AnyDelimiterCodec, Decoder as _};
use xmlsocket_codec::{Config, Decoder};

const FRAMES: [usize; 7] = [8, 32, 128, 512, 4096, 65536, 1 << 20];
const READS: [usize; 2] = [1460, 65536];
const LIMIT: usize = 1 << 21;
const VOLUME: usize = 4 << 20;
const ROUNDS: usize = 15;

/// What a contender saw of a stream: frames, bytes, and a sum over their first bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    frames: usize,
    bytes: usize,
    sum: usize,
}

impl Seen {
    fn take(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len();
        self.sum += usize::from(frame[0]);
    }
}

fn decoder() -> Decoder {
    Decoder::with_config(Config {
        max_size: Some(LIMIT as u64),
        ..Config::default()
    })
}

fn slices(stream: &[u8], read: usize) -> Seen {
    let mut seen = Seen::default();
    let mut decoder = decoder();
    for data in stream.chunks(read) {
        decoder
            .feed(data, |frame| seen.take(black_box(frame)))
            .expect("no frame is too big");
    }
    seen
}

fn owned(stream: &[u8], read: usize) -> Seen {
    let mut seen = Seen::default();
    let mut decoder = decoder();
    for data in stream.chunks(read) {
        decoder
            .feed(data, |frame| {
                seen.take(&black_box(Bytes::copy_from_slice(frame)));
            })
            .expect("no frame is too big");
    }
    seen
}

/// Passes every frame on, without an object of its own, as a relay or a filter would.
fn relay(stream: &[u8], read: usize) -> Seen {
    let mut seen = Seen::default();
    let mut decoder = decoder();
    let mut out = Vec::with_capacity(2 * read);
    for data in stream.chunks(read) {
        decoder
            .feed(data, |frame| {
                seen.take(frame);
                out.extend_from_slice(frame);
                out.push(0);
            })
            .expect("no frame is too big");
        black_box(&out);
        out.clear();
    }
    seen
}

fn tokio_util(stream: &[u8], read: usize) -> Seen {
    let mut seen = Seen::default();
    let mut codec = AnyDelimiterCodec::new_with_max_length(vec![0], vec![0], LIMIT);
    let mut buffer = BytesMut::with_capacity(read);
    for data in stream.chunks(read) {
        // A socket would write there itself; the crate does not copy at all here,
        // so this much is in its favour (a tenth at most).
        buffer.extend_from_slice(data);
        while let Some(frame) = codec.decode(&mut buffer).expect("no frame is too big") {
            seen.take(&black_box(frame));
        }
    }
    seen
}

type Contender = (&'static str, fn(&[u8], usize) -> Seen);

fn main() {
    let contenders: [Contender; 4] = [
        ("crate, slices", slices),
        ("crate, relay", relay),
        ("crate, Bytes", owned),
        ("tokio-util", tokio_util),
    ];
    for read in READS {
        for frame in FRAMES {
            let count = (VOLUME / (frame + 1)).max(2);
            let mut stream = Vec::with_capacity(count * (frame + 1));
            for number in 0..count {
                stream.resize(stream.len() + frame, b'A' + (number % 26) as u8);
                stream.push(0);
            }
            let expected = Seen {
                frames: count,
                bytes: count * frame,
                sum: (0..count).map(|number| usize::from(b'A') + number % 26).sum(),
            };
            for round in 0..ROUNDS {
                for (name, split) in contenders {
                    let start = Instant::now();
                    let seen = split(black_box(&stream), read);
                    let taken = start.elapsed();
                    assert_eq!(expected, seen, "{name} loses frames");
                    let ns = taken.as_secs_f64() * 1e9 / count as f64;
                    println!(
                        r#"{{"frame":{frame},"read":{read},"round":{round},"name":"{name}","ns":{ns:.3}}}"#
                    );
                }
            }
        }
    }
}
