//! Opening connections, and the words for what goes wrong on them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::pattern::Mismatch;

/// Connections from one source address: well below the 28,232 ports that Linux
/// hands out, so that those of an earlier run may still be waiting.
const PER_SOURCE: usize = 10_000;

/// Opens `count` connections, one after the other, so that a server accepts
/// them in this order.
///
/// Many connections to a loopback server come from several loopback addresses,
/// since one address has too few ports. After every few there is a pause: a
/// server's queue of connections to accept may be as short as 100, and what does
/// not fit is tried again by the system only after a second.
pub(crate) fn connect_all(target: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    connect_more(target, count, &mut streams)?;
    Ok(streams)
}

/// As [`connect_all`], for an event loop: each socket's token is its place.
pub(crate) fn connect_polled(
    target: SocketAddr,
    count: usize,
) -> io::Result<(Poll, Vec<mio::net::TcpStream>)> {
    let poll = Poll::new()?;
    let mut sockets = Vec::with_capacity(count);
    for (index, stream) in connect_all(target, count)?.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut socket = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut socket, Token(index), interest)?;
        sockets.push(socket);
    }
    Ok((poll, sockets))
}

/// What an attempt to read or write on a non-blocking socket came to.
pub(crate) enum Attempt {
    Done(usize),
    /// Interrupted by a signal: at once again.
    Again,
    /// The next event says when.
    Later,
}

impl Attempt {
    pub(crate) fn of(result: io::Result<usize>, connection: usize) -> Result<Self, Fault> {
        match result {
            Ok(count) => Ok(Self::Done(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Self::Later),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Self::Again),
            Err(error) => Err(Fault::Io { connection, error }),
        }
    }
}

/// Waits for events; a signal counts as none.
pub(crate) fn wait(poll: &mut Poll, events: &mut Events, timeout: Duration) -> io::Result<()> {
    match poll.poll(events, Some(timeout)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}

/// Opens connections until `streams` holds `count`.
pub(crate) fn connect_more(
    target: SocketAddr,
    count: usize,
    streams: &mut Vec<TcpStream>,
) -> io::Result<()> {
    while streams.len() < count {
        if streams.len() % 32 == 31 {
            thread::sleep(Duration::from_millis(2));
        }
        let stream = connect(target, streams.len()).map_err(|error| {
            let text = format!("connection {} to {target}: {error}", streams.len() + 1);
            io::Error::new(error.kind(), text)
        })?;
        streams.push(stream);
    }
    Ok(())
}

fn connect(target: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if target.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && number >= PER_SOURCE {
        let host = u8::try_from(1 + number / PER_SOURCE).unwrap_or(u8::MAX);
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
        socket.bind(&source.into())?;
    }
    // Every write is to leave at once: what is merged must be the server's doing.
    socket.set_tcp_nodelay(true)?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

/// Why a run is worth nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A reply differs from what was sent.
    Wrong {
        connection: usize,
        frame: u64,
        mismatch: Mismatch,
    },
    /// The server closed the connection, or part of it, before all replies were there.
    Closed { connection: usize, received: u64 },
    /// More bytes came back than were sent.
    Surplus { connection: usize, received: u64 },
    /// Nothing came back for the time of `--timeout`.
    Stalled { seconds: f64, missing: u64 },
    /// The server's account of what it was sent is wrong.
    Totals { expected: String, found: String },
    /// The system reports an error.
    Io { connection: usize, error: io::Error },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong {
                connection,
                frame,
                mismatch,
            } => write!(
                f,
                "wrong reply on connection {connection}: frame {} at byte {} of the stream has \
                 {:#04x} where {:#04x} was sent",
                mismatch.position / frame,
                mismatch.position,
                mismatch.found,
                mismatch.expected,
            ),
            Self::Closed {
                connection,
                received,
            } => write!(
                f,
                "the server closed connection {connection} after {received} bytes of replies, \
                 with others missing"
            ),
            Self::Surplus {
                connection,
                received,
            } => write!(
                f,
                "connection {connection} received {received} bytes, more than were sent"
            ),
            Self::Stalled { seconds, missing } => write!(
                f,
                "nothing came back for {seconds} s (--timeout), with {missing} frames missing"
            ),
            Self::Totals { expected, found } => {
                write!(f, "the server counted {found} where {expected} were sent")
            }
            Self::Io { connection, error } => write!(f, "connection {connection}: {error}"),
        }
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(crate) fn io(connection: usize) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { connection, error }
    }
}
