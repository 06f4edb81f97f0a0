//! Closed-loop latency: one frame, its reply, the next frame.
//!
//! Between two servers this gives a ratio with little noise. It does not show
//! what a burst or a pause does to those who come next: see [`crate::paced`].

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::json::Line;
use crate::machine::Usage;
use crate::net::{self, Fault};
use crate::options::Options;
use crate::pattern::Pattern;
use crate::samples::Samples;

/// Runs the load and describes it. With several connections each has its turn.
pub(crate) fn run(options: &Options) -> Result<Line, Box<dyn Error>> {
    let pattern = Pattern::new(options.size, options.shape);
    let mut streams = net::connect_all(options.target, options.connections)?;
    for stream in &streams {
        stream.set_read_timeout(Some(options.timeout))?;
    }
    let mut samples = Samples::default();
    let mut position = 0;
    exchange(
        options.warmup,
        &pattern,
        &mut streams,
        &mut position,
        &mut samples,
    )?;
    samples.clear();
    let usage = Usage::start(options.server_pid);
    exchange(
        options.duration,
        &pattern,
        &mut streams,
        &mut position,
        &mut samples,
    )?;
    let cost = usage.stop();
    let line = samples.describe(cost.describe(options.describe()), "");
    Ok(line.flag("generator_bound", cost.bound()))
}

/// Exchanges frames for `duration`; all connections are at the same `position`.
fn exchange(
    duration: Duration,
    pattern: &Pattern,
    streams: &mut [TcpStream],
    position: &mut u64,
    samples: &mut Samples,
) -> Result<(), Fault> {
    let mut reply = reply_buffer(pattern);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        for (index, stream) in streams.iter_mut().enumerate() {
            let start = Instant::now();
            one(index, stream, pattern, *position, &mut reply)?;
            samples.add(start.elapsed());
        }
        *position += pattern.frame();
    }
    Ok(())
}

/// Room for one reply and a byte that must not come.
pub(crate) fn reply_buffer(pattern: &Pattern) -> Vec<u8> {
    vec![0; pattern.piece(0, pattern.frame()).len() + 1]
}

/// Exchanges the frame at `position` of the stream.
pub(crate) fn one(
    index: usize,
    stream: &mut TcpStream,
    pattern: &Pattern,
    position: u64,
    reply: &mut [u8],
) -> Result<(), Fault> {
    let goal = position + pattern.frame();
    stream
        .write_all(pattern.piece(position, pattern.frame()))
        .map_err(Fault::io(index))?;
    let mut received = position;
    while received < goal {
        let count = stream.read(reply).map_err(Fault::io(index))?;
        if count == 0 {
            return Err(Fault::Closed {
                connection: index,
                received,
            });
        }
        pattern
            .check(received, &reply[..count])
            .map_err(|mismatch| Fault::Wrong {
                connection: index,
                frame: pattern.frame(),
                mismatch,
            })?;
        received += count as u64;
        if received > goal {
            return Err(Fault::Surplus {
                connection: index,
                received,
            });
        }
    }
    Ok(())
}
