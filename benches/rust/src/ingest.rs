//! Load in one direction: frames go in, and at the end the server says how many it saw.

use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::json::Line;
use crate::machine::Usage;
use crate::net::{self, Attempt, Fault};
use crate::options::Options;
use crate::pattern::Pattern;

struct Sender {
    socket: TcpStream,
    sent: u64,
    writable: bool,
    /// All is sent, and the input ended.
    ended: bool,
    answer: Vec<u8>,
    answered: bool,
}

/// Sends for the given time on new connections and waits for the totals.
///
/// The rate counts all frames from the first write to the last answer: so what
/// lies in the system's buffers when the sending ends is paid for, too. The
/// warm-up is a run of its own before.
pub(crate) fn run(options: &Options) -> Result<Line, Box<dyn Error>> {
    let pattern = Pattern::new(options.size, options.shape);
    if !options.warmup.is_zero() {
        Ingest::new(options, &pattern)?.run(options.warmup)?;
    }
    let mut ingest = Ingest::new(options, &pattern)?;
    let usage = Usage::start(options.server_pid);
    ingest.run(options.duration)?;
    let cost = usage.stop();
    let bytes: u64 = ingest.senders.iter().map(|sender| sender.sent).sum();
    let frames = bytes / pattern.frame();
    #[allow(
        clippy::cast_precision_loss,
        reason = "rates are printed with fewer digits than an f64 holds"
    )]
    let line = options
        .describe()
        .integer("write_size", options.write_size)
        .integer("frames", frames)
        .number("frames_per_second", frames as f64 / cost.seconds)
        .number("bytes_per_second", bytes as f64 / cost.seconds);
    Ok(cost.describe(line).flag("generator_bound", cost.bound()))
}

struct Ingest<'a> {
    options: &'a Options,
    pattern: &'a Pattern,
    poll: Poll,
    senders: Vec<Sender>,
}

impl<'a> Ingest<'a> {
    fn new(options: &'a Options, pattern: &'a Pattern) -> Result<Self, Box<dyn Error>> {
        let (poll, sockets) = net::connect_polled(options.target, options.connections)?;
        let mut senders = Vec::with_capacity(sockets.len());
        for socket in sockets {
            senders.push(Sender {
                socket,
                sent: 0,
                writable: true,
                ended: false,
                answer: Vec::new(),
                answered: false,
            });
        }
        Ok(Self {
            options,
            pattern,
            poll,
            senders,
        })
    }

    fn run(&mut self, duration: Duration) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + duration;
        let mut events = Events::with_capacity(1024);
        let mut progress = Instant::now();
        while self.senders.iter().any(|sender| !sender.answered) {
            let now = Instant::now();
            if now - progress >= self.options.timeout {
                return Err(self.stalled().into());
            }
            let finish = now >= end;
            let wait = if self.write_one_round(finish)? {
                Duration::ZERO
            } else if finish {
                self.options.timeout
            } else {
                (end - now).min(self.options.timeout)
            };
            net::wait(&mut self.poll, &mut events, wait)?;
            if !events.is_empty() {
                progress = Instant::now();
            }
            for event in &events {
                let index = event.token().0;
                self.senders[index].writable |= event.is_writable();
                if event.is_readable() || event.is_read_closed() {
                    self.read(index)?;
                }
            }
        }
        Ok(())
    }

    /// Writes once to every socket that takes it, or with `finish` ends the frame
    /// that is begun and then the input. Returns whether any would take more.
    fn write_one_round(&mut self, finish: bool) -> Result<bool, Fault> {
        let frame = self.pattern.frame();
        let mut more = false;
        for (index, sender) in self.senders.iter_mut().enumerate() {
            if sender.ended || !sender.writable {
                continue;
            }
            let limit = if finish {
                sender.sent.next_multiple_of(frame) - sender.sent
            } else {
                u64::MAX
            };
            if limit == 0 {
                let result = sender.socket.shutdown(Shutdown::Write);
                result.map_err(Fault::io(index))?;
                sender.ended = true;
                continue;
            }
            let limit = limit.min(self.options.write_size);
            let result = sender.socket.write(self.pattern.piece(sender.sent, limit));
            match Attempt::of(result, index)? {
                Attempt::Done(written) => sender.sent += written as u64,
                Attempt::Again => {}
                Attempt::Later => sender.writable = false,
            }
            more |= sender.writable;
        }
        Ok(more)
    }

    fn read(&mut self, index: usize) -> Result<(), Fault> {
        let sender = &mut self.senders[index];
        let mut buffer = [0; 256];
        loop {
            match Attempt::of(sender.socket.read(&mut buffer), index)? {
                Attempt::Done(0) => break,
                Attempt::Done(count) => sender.answer.extend_from_slice(&buffer[..count]),
                Attempt::Again => {}
                Attempt::Later => return Ok(()),
            }
        }
        let frames = sender.sent / self.pattern.frame();
        let bytes = sender.sent - frames;
        let expected = format!("<totals frames=\"{frames}\" bytes=\"{bytes}\"/>\0");
        if sender.answer != expected.as_bytes() {
            return Err(Fault::Totals {
                expected,
                found: String::from_utf8_lossy(&sender.answer).into_owned(),
            });
        }
        sender.answered = true;
        Ok(())
    }

    fn stalled(&self) -> Fault {
        Fault::Stalled {
            seconds: self.options.timeout.as_secs_f64(),
            missing: self
                .senders
                .iter()
                .filter(|sender| !sender.answered)
                .count() as u64,
        }
    }
}
