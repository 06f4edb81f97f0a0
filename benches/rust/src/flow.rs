//! Pipelined load: echo, relay and broadcast, with many frames in flight.
//!
//! All three are streams from a sender to one or more receivers. They differ in
//! who sends, and in whose progress lets a sender go on: that is [`Topology`].

use std::collections::VecDeque;
use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::json::Line;
use crate::machine::{Cost, Usage};
use crate::net::{self, Attempt, Fault};
use crate::options::Options;
use crate::pattern::Pattern;

/// Who sends to whom.
pub(crate) trait Topology {
    /// Sockets to open for `--connections`.
    fn sockets(&self, connections: usize) -> usize {
        connections
    }

    /// Whether socket `index` of `sockets` sends.
    fn sends(&self, index: usize, sockets: usize) -> bool;

    /// Whether socket `index` receives.
    fn receives(&self, _index: usize) -> bool {
        true
    }

    /// The sender whose stream socket `index` receives.
    fn sender(&self, index: usize, sockets: usize) -> usize;

    /// Receivers of each sender's stream.
    fn receivers(&self, _sockets: usize) -> u64 {
        1
    }
}

/// Every connection receives what it sent.
pub(crate) struct Echo;

impl Topology for Echo {
    fn sends(&self, _index: usize, _sockets: usize) -> bool {
        true
    }

    fn sender(&self, index: usize, _sockets: usize) -> usize {
        index
    }
}

/// Sockets 0 and 1 are a pair, 2 and 3, and so on: the first sends, the second receives.
pub(crate) struct Relay;

impl Topology for Relay {
    fn sockets(&self, connections: usize) -> usize {
        2 * connections
    }

    fn sends(&self, index: usize, _sockets: usize) -> bool {
        index % 2 == 0
    }

    fn receives(&self, index: usize) -> bool {
        index % 2 == 1
    }

    fn sender(&self, index: usize, _sockets: usize) -> usize {
        index - index % 2
    }
}

/// One sends, all receive. The sender connects last: when the server hears from
/// it, it has accepted all others.
pub(crate) struct Broadcast;

impl Topology for Broadcast {
    fn sends(&self, index: usize, sockets: usize) -> bool {
        index == sockets - 1
    }

    fn sender(&self, _index: usize, sockets: usize) -> usize {
        sockets - 1
    }

    fn receivers(&self, sockets: usize) -> u64 {
        sockets as u64
    }
}

/// One socket, and its place in the stream that it sends and the one it receives.
struct Endpoint {
    socket: TcpStream,
    sent: u64,
    received: u64,
    /// The last write was not cut short.
    writable: bool,
    /// Waits in the queue of senders.
    queued: bool,
}

/// A sender's frames that not all receivers have yet.
struct Progress {
    /// Frames that all receivers have.
    complete: u64,
    /// How many receivers have the frame `complete + index`.
    partial: VecDeque<u64>,
}

struct Flow<'a, T> {
    options: &'a Options,
    topology: &'a T,
    pattern: Pattern,
    poll: Poll,
    endpoints: Vec<Endpoint>,
    progress: Vec<Progress>,
    /// Senders that may write now, served in turn.
    queue: VecDeque<usize>,
    buffer: Vec<u8>,
    /// Bytes received by all.
    received: u64,
    /// No new frames are begun.
    stopping: bool,
}

/// Runs the load and describes it.
///
/// Warm-up and measurement each end with the last reply, so that the rate is
/// simply all frames by all time, also where one frame takes longer than
/// `--seconds`.
pub(crate) fn run(options: &Options, topology: &impl Topology) -> Result<Line, Box<dyn Error>> {
    let mut flow = Flow::new(options, topology)?;
    if !options.warmup.is_zero() {
        flow.run_for(options.warmup)?;
    }
    let before = flow.received;
    let usage = Usage::start(options.server_pid);
    flow.run_for(options.duration)?;
    let cost = usage.stop();
    Ok(flow.describe(flow.received - before, &cost))
}

impl<'a, T: Topology> Flow<'a, T> {
    fn new(options: &'a Options, topology: &'a T) -> Result<Self, Box<dyn Error>> {
        let count = topology.sockets(options.connections);
        let (poll, sockets) = net::connect_polled(options.target, count)?;
        let endpoints = sockets.into_iter().map(|socket| Endpoint {
            socket,
            sent: 0,
            received: 0,
            writable: true,
            queued: false,
        });
        Ok(Self {
            options,
            topology,
            pattern: Pattern::new(options.size, options.shape),
            poll,
            progress: (0..count)
                .map(|_| Progress {
                    complete: 0,
                    partial: VecDeque::new(),
                })
                .collect(),
            endpoints: endpoints.collect(),
            queue: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
            received: 0,
            stopping: false,
        })
    }

    /// Keeps the load up for `duration`, then ends the frames that are begun and
    /// waits for all replies.
    fn run_for(&mut self, duration: Duration) -> Result<(), Box<dyn Error>> {
        self.stopping = false;
        for index in 0..self.endpoints.len() {
            self.enqueue(index);
        }
        let end = Instant::now() + duration;
        self.turn_until(|_, now| now >= end, Some(end))?;
        self.stopping = true;
        self.turn_until(|flow, _| flow.missing() == 0, None)
    }

    fn turn_until(
        &mut self,
        done: impl Fn(&Self, Instant) -> bool,
        end: Option<Instant>,
    ) -> Result<(), Box<dyn Error>> {
        let mut events = Events::with_capacity(1024);
        let mut progressed = (self.received, Instant::now());
        loop {
            let now = Instant::now();
            if done(self, now) {
                return Ok(());
            }
            if self.received != progressed.0 {
                progressed = (self.received, now);
            } else if now - progressed.1 >= self.options.timeout {
                return Err(Fault::Stalled {
                    seconds: self.options.timeout.as_secs_f64(),
                    missing: self.missing().div_ceil(self.pattern.frame()),
                }
                .into());
            }
            self.write_one_round()?;
            let wait = if self.queue.is_empty() {
                let stalled = progressed.1 + self.options.timeout;
                let wake = end.map_or(stalled, |end| end.min(stalled));
                wake.saturating_duration_since(now)
            } else {
                Duration::ZERO
            };
            net::wait(&mut self.poll, &mut events, wait)?;
            for event in &events {
                let index = event.token().0;
                if event.is_writable() {
                    self.endpoints[index].writable = true;
                    self.enqueue(index);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(index)?;
                }
            }
        }
    }

    /// Bytes that are still to be received, including those not sent yet.
    fn missing(&self) -> u64 {
        let sockets = self.endpoints.len();
        self.endpoints
            .iter()
            .enumerate()
            .filter(|(index, _)| self.topology.receives(*index))
            .map(|(index, endpoint)| {
                let sender = self.topology.sender(index, sockets);
                let goal = self.endpoints[sender]
                    .sent
                    .next_multiple_of(self.pattern.frame());
                goal - endpoint.received
            })
            .sum()
    }

    /// The place in its stream up to which a sender may write.
    fn allowance(&self, index: usize) -> u64 {
        let frame = self.pattern.frame();
        if self.stopping {
            return self.endpoints[index].sent.next_multiple_of(frame);
        }
        (self.progress[index].complete + self.options.in_flight) * frame
    }

    fn enqueue(&mut self, index: usize) {
        let endpoint = &self.endpoints[index];
        if self.topology.sends(index, self.endpoints.len())
            && endpoint.writable
            && !endpoint.queued
            && endpoint.sent < self.allowance(index)
        {
            self.endpoints[index].queued = true;
            self.queue.push_back(index);
        }
    }

    /// Lets every sender that can write do so once.
    fn write_one_round(&mut self) -> Result<(), Fault> {
        for _ in 0..self.queue.len() {
            let Some(index) = self.queue.pop_front() else {
                break;
            };
            self.endpoints[index].queued = false;
            let allowance = self.allowance(index);
            let endpoint = &mut self.endpoints[index];
            let limit = (allowance - endpoint.sent).min(self.options.write_size);
            if limit == 0 {
                continue;
            }
            let piece = self.pattern.piece(endpoint.sent, limit);
            match Attempt::of(endpoint.socket.write(piece), index)? {
                Attempt::Done(written) => endpoint.sent += written as u64,
                Attempt::Again => {}
                Attempt::Later => endpoint.writable = false,
            }
            self.enqueue(index);
        }
        Ok(())
    }

    /// Reads all that is there, and checks it.
    fn read(&mut self, index: usize) -> Result<(), Fault> {
        let sender = self.topology.sender(index, self.endpoints.len());
        loop {
            let result = self.endpoints[index].socket.read(&mut self.buffer);
            let count = match Attempt::of(result, index)? {
                Attempt::Done(count) => count,
                Attempt::Again => continue,
                Attempt::Later => return Ok(()),
            };
            let received = self.endpoints[index].received;
            if count == 0 {
                return Err(Fault::Closed {
                    connection: index,
                    received,
                });
            }
            let after = received + count as u64;
            if !self.topology.receives(index) || after > self.endpoints[sender].sent {
                return Err(Fault::Surplus {
                    connection: index,
                    received: after,
                });
            }
            self.pattern
                .check(received, &self.buffer[..count])
                .map_err(|mismatch| Fault::Wrong {
                    connection: index,
                    frame: self.pattern.frame(),
                    mismatch,
                })?;
            self.endpoints[index].received = after;
            self.received += count as u64;
            self.note(sender, received, after);
            self.enqueue(sender);
            // A short read has emptied the socket: the next bytes make a new event.
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Notes that one receiver of `sender`'s stream went from byte `from` to byte `to`.
    fn note(&mut self, sender: usize, from: u64, to: u64) {
        let frame = self.pattern.frame();
        let receivers = self.topology.receivers(self.endpoints.len());
        let progress = &mut self.progress[sender];
        if receivers == 1 {
            progress.complete = to / frame;
            return;
        }
        for number in from / frame..to / frame {
            // A receiver is at or past every complete frame, and within the window.
            let Ok(place) = usize::try_from(number - progress.complete) else {
                unreachable!("the window is a count of frames in memory");
            };
            if place >= progress.partial.len() {
                progress.partial.resize(place + 1, 0);
            }
            progress.partial[place] += 1;
            if place == 0 && progress.partial[0] == receivers {
                progress.partial.pop_front();
                progress.complete += 1;
            }
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "rates are printed with fewer digits than an f64 holds"
    )]
    fn describe(&self, received: u64, cost: &Cost) -> Line {
        let frames = received / self.pattern.frame();
        let line = self
            .options
            .describe()
            .integer("in_flight", self.options.in_flight)
            .integer("write_size", self.options.write_size)
            .integer("frames", frames)
            .number("frames_per_second", frames as f64 / cost.seconds)
            .number("bytes_per_second", received as f64 / cost.seconds);
        cost.describe(line).flag("generator_bound", cost.bound())
    }
}
