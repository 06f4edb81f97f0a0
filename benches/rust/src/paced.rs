//! Open-loop latency: frames leave at fixed times, however late the replies are.
//!
//! A latency runs from the time at which a frame was *meant* to leave. A server
//! that stops for a while delays all frames of that while, and each of them
//! counts: nothing waits for a reply and so spares the server the question
//! ("coordinated omission").
//!
//! The generator does not sleep: waking up would add tens of microseconds of its
//! own to every frame. Its core is busy by design, so what tells whether the
//! figures are its own is how late it sent, which is printed too.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::json::Line;
use crate::machine::Usage;
use crate::net::{self, Attempt, Fault};
use crate::options::Options;
use crate::pattern::Pattern;
use crate::samples::Samples;

/// Sends later than this at the 99th percentile make a run the generator's own.
const LATE: f64 = 50.0;

struct Channel {
    socket: TcpStream,
    sent: u64,
    /// The place in the stream up to which frames are due.
    due: u64,
    received: u64,
    /// When the frames that have no reply yet were meant to leave.
    intended: VecDeque<Instant>,
}

struct Paced<'a> {
    options: &'a Options,
    pattern: Pattern,
    poll: Poll,
    channels: Vec<Channel>,
    buffer: Vec<u8>,
    latencies: Samples,
    lateness: Samples,
    /// Frames meant to leave before this do not count.
    counts_from: Instant,
}

/// Runs the load and describes it.
pub(crate) fn run(options: &Options) -> Result<Line, Box<dyn Error>> {
    let mut paced = Paced::new(options)?;
    let usage = Usage::start(options.server_pid);
    paced.run()?;
    let cost = usage.stop();
    let line = options.describe().number("rate", options.rate);
    let line = paced.latencies.describe(cost.describe(line), "");
    let late = paced.lateness.sorted_percentile(0.99);
    Ok(line
        .number("late_p99_us", late)
        .flag("generator_bound", late > LATE))
}

impl<'a> Paced<'a> {
    fn new(options: &'a Options) -> Result<Self, Box<dyn Error>> {
        let (poll, sockets) = net::connect_polled(options.target, options.connections)?;
        let mut channels = Vec::with_capacity(sockets.len());
        for socket in sockets {
            channels.push(Channel {
                socket,
                sent: 0,
                due: 0,
                received: 0,
                intended: VecDeque::new(),
            });
        }
        Ok(Self {
            options,
            pattern: Pattern::new(options.size, options.shape),
            poll,
            channels,
            buffer: vec![0; 256 * 1024],
            latencies: Samples::default(),
            lateness: Samples::default(),
            counts_from: Instant::now(),
        })
    }

    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        self.counts_from = start + self.options.warmup;
        let end = self.counts_from + self.options.duration;
        let mut events = Events::with_capacity(1024);
        let mut number = 0_u32;
        let mut waiting = 0;
        loop {
            // Frame by frame: the last one's lateness must not wait for a poll.
            let intended = start + Duration::from_secs_f64(f64::from(number) / self.options.rate);
            let now = Instant::now();
            if intended < end && now >= intended {
                self.send(number as usize % self.channels.len(), intended, now)?;
                number += 1;
                waiting += 1;
                continue;
            }
            if intended >= end && waiting == 0 {
                return Ok(());
            }
            if now > end + self.options.timeout {
                return Err(Fault::Stalled {
                    seconds: self.options.timeout.as_secs_f64(),
                    missing: waiting,
                }
                .into());
            }
            net::wait(&mut self.poll, &mut events, Duration::ZERO)?;
            for event in &events {
                let index = event.token().0;
                if event.is_writable() {
                    self.write(index)?;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    waiting -= self.read(index)?;
                }
            }
        }
    }

    fn send(&mut self, index: usize, intended: Instant, now: Instant) -> Result<(), Fault> {
        if intended >= self.counts_from {
            self.lateness.add(now - intended);
        }
        let channel = &mut self.channels[index];
        channel.due += self.pattern.frame();
        channel.intended.push_back(intended);
        self.write(index)
    }

    fn write(&mut self, index: usize) -> Result<(), Fault> {
        let channel = &mut self.channels[index];
        while channel.sent < channel.due {
            let piece = self.pattern.piece(channel.sent, channel.due - channel.sent);
            match Attempt::of(channel.socket.write(piece), index)? {
                Attempt::Done(written) => channel.sent += written as u64,
                Attempt::Again => {}
                // The frames stay due, and their clock runs.
                Attempt::Later => break,
            }
        }
        Ok(())
    }

    /// Reads all that is there and returns the number of replies completed.
    fn read(&mut self, index: usize) -> Result<u64, Fault> {
        let frame = self.pattern.frame();
        let channel = &mut self.channels[index];
        let mut replies = 0;
        loop {
            let result = channel.socket.read(&mut self.buffer);
            let count = match Attempt::of(result, index)? {
                Attempt::Done(count) => count,
                Attempt::Again => continue,
                Attempt::Later => return Ok(replies),
            };
            let now = Instant::now();
            let before = channel.received;
            if count == 0 {
                return Err(Fault::Closed {
                    connection: index,
                    received: before,
                });
            }
            channel.received += count as u64;
            if channel.received > channel.sent {
                return Err(Fault::Surplus {
                    connection: index,
                    received: channel.received,
                });
            }
            self.pattern
                .check(before, &self.buffer[..count])
                .map_err(|mismatch| Fault::Wrong {
                    connection: index,
                    frame,
                    mismatch,
                })?;
            let completed = channel.received / frame - before / frame;
            for _ in 0..completed {
                if let Some(intended) = channel.intended.pop_front() {
                    if intended >= self.counts_from {
                        self.latencies.add(now - intended);
                    }
                }
            }
            replies += completed;
        }
    }
}
