//! The command line.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::json::Line;
use crate::pattern::{MIN_SIZE, Shape};

pub(crate) const HELP: &str = "\
xs-load: load generator for servers that speak zero-terminated frames

Usage: xs-load WORKLOAD --target HOST:PORT [OPTIONS]

Workloads, and what the server must do:
  echo        send back every frame; frames are pipelined
  long        echo of 8 MiB frames sent in writes of 1460 bytes
  drip        echo of frames sent byte by byte, in turn over 100 connections
  round-trip  echo; one frame, wait for its reply, again: latency
  paced       echo; frames leave at fixed times, however late replies are: latency
  ingest      count frames and their bytes; at the end of input answer with
              <totals frames=\"N\" bytes=\"M\"/> and close
  relay       pair connections in the order of arrival and pass frames on in each pair
  broadcast   send every frame to all connections, the sender's included
  idle        echo; open connections, send one frame on each, hold them

Options:
  --target HOST:PORT   server under load (required)
  --size BYTES         size of a frame, delimiter excluded [32; long: 8388608]
  --connections N      connections [1; drip: 100; broadcast: 1000; relay counts pairs]
  --in-flight N        frames that may be unanswered, per sending connection
                       [4096, at most 4 MiB; long and drip: 2]
  --write-size BYTES   most bytes of one write [262144; long: 1460; drip: 1]
  --seconds S          length of the measurement [1]
  --warmup S           load before the measurement that does not count [0.3]
  --rate N             paced: frames a second over all connections [5000]
  --steps N,N,...      idle: hold this many connections, then this many, ...;
                       a line on standard input starts the next step [1000]
  --shape text|tree    what is inside the element that each frame is [text]
  --server-pid PID     process of the server, to print its use of the processor
  --timeout S          give up when nothing comes back for so long [10]
  -h, --help           print this

Prints one line of JSON per run, idle one per step. Exits with 1 when a reply is
missing or wrong.
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Echo,
    Long,
    Drip,
    RoundTrip,
    Paced,
    Ingest,
    Relay,
    Broadcast,
    Idle,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Long => "long",
            Self::Drip => "drip",
            Self::RoundTrip => "round-trip",
            Self::Paced => "paced",
            Self::Ingest => "ingest",
            Self::Relay => "relay",
            Self::Broadcast => "broadcast",
            Self::Idle => "idle",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [
            Self::Echo,
            Self::Long,
            Self::Drip,
            Self::RoundTrip,
            Self::Paced,
            Self::Ingest,
            Self::Relay,
            Self::Broadcast,
            Self::Idle,
        ]
        .into_iter()
        .find(|workload| workload.name() == name)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) workload: Workload,
    pub(crate) target: SocketAddr,
    pub(crate) size: usize,
    pub(crate) connections: usize,
    pub(crate) in_flight: u64,
    pub(crate) write_size: u64,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) rate: f64,
    pub(crate) steps: Vec<usize>,
    pub(crate) shape: Shape,
    pub(crate) server_pid: Option<u32>,
    pub(crate) timeout: Duration,
}

impl Options {
    /// Begins a line of output with what was asked for.
    pub(crate) fn describe(&self) -> Line {
        Line::default()
            .text("workload", self.workload.name())
            .text("target", &self.target.to_string())
            .integer("size", self.size as u64)
            .integer("connections", self.connections as u64)
    }
}

#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Options),
    Help,
}

/// What was given; the defaults depend on the workload.
#[derive(Debug, Default)]
struct Given {
    workload: Option<Workload>,
    target: Option<SocketAddr>,
    size: Option<usize>,
    connections: Option<usize>,
    in_flight: Option<u64>,
    write_size: Option<u64>,
    seconds: Option<f64>,
    warmup: Option<f64>,
    rate: Option<f64>,
    steps: Option<Vec<usize>>,
    shape: Option<Shape>,
    server_pid: Option<u32>,
    timeout: Option<f64>,
}

pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Parsed, lexopt::Error> {
    let mut given = Given::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Parsed::Help),
            Value(value) if given.workload.is_none() => given.workload = Some(workload(&value)?),
            Long("target") => given.target = Some(parser.value()?.parse_with(target)?),
            Long("size") => given.size = Some(parser.value()?.parse()?),
            Long("connections") => given.connections = Some(parser.value()?.parse()?),
            Long("in-flight") => given.in_flight = Some(parser.value()?.parse()?),
            Long("write-size") => given.write_size = Some(parser.value()?.parse()?),
            Long("seconds") => given.seconds = Some(parser.value()?.parse()?),
            Long("warmup") => given.warmup = Some(parser.value()?.parse()?),
            Long("rate") => given.rate = Some(parser.value()?.parse()?),
            Long("steps") => given.steps = Some(parser.value()?.parse_with(steps)?),
            Long("shape") => given.shape = Some(parser.value()?.parse_with(shape)?),
            Long("server-pid") => given.server_pid = Some(parser.value()?.parse()?),
            Long("timeout") => given.timeout = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    given.checked().map(Parsed::Run)
}

impl Given {
    fn checked(self) -> Result<Options, lexopt::Error> {
        let workload = self
            .workload
            .ok_or("no workload given, see xs-load --help")?;
        let target = self.target.ok_or("--target HOST:PORT is missing")?;
        let size = self.size.unwrap_or(match workload {
            Workload::Long => 8 * 1024 * 1024,
            _ => 32,
        });
        if size < MIN_SIZE {
            return Err(format!("--size must be at least {MIN_SIZE}, not {size}").into());
        }
        let in_flight = self.in_flight.unwrap_or(match workload {
            Workload::Long | Workload::Drip => 2,
            _ => (4 * 1024 * 1024 / (size as u64 + 1)).clamp(1, 4096),
        });
        let write_size = self.write_size.unwrap_or(match workload {
            Workload::Long => 1460,
            Workload::Drip => 1,
            _ => 256 * 1024,
        });
        let connections = self.connections.unwrap_or(match workload {
            Workload::Drip => 100,
            Workload::Broadcast => 1000,
            _ => 1,
        });
        let steps = self.steps.unwrap_or_else(|| vec![1000]);
        if steps.is_empty() || !steps.is_sorted() {
            return Err("--steps must be ascending counts of connections".into());
        }
        if connections == 0 || in_flight == 0 || write_size == 0 {
            return Err("--connections, --in-flight and --write-size must be at least 1".into());
        }
        Ok(Options {
            workload,
            target,
            size,
            connections,
            in_flight,
            write_size,
            duration: seconds("--seconds", self.seconds.unwrap_or(1.0))?,
            warmup: seconds("--warmup", self.warmup.unwrap_or(0.3))?,
            rate: positive("--rate", self.rate.unwrap_or(5000.0))?,
            steps,
            shape: self.shape.unwrap_or(Shape::Text),
            server_pid: self.server_pid,
            timeout: seconds("--timeout", self.timeout.unwrap_or(10.0))?,
        })
    }
}

fn workload(value: &OsString) -> Result<Workload, lexopt::Error> {
    let name = value.to_string_lossy();
    Workload::from_name(&name)
        .ok_or_else(|| format!("unknown workload {name}, see xs-load --help").into())
}

fn target(value: &str) -> Result<SocketAddr, String> {
    value
        .to_socket_addrs()
        .map_err(|error| error.to_string())?
        .next()
        .ok_or_else(|| "no address found".to_owned())
}

fn steps(value: &str) -> Result<Vec<usize>, std::num::ParseIntError> {
    value.split(',').map(str::parse).collect()
}

fn shape(value: &str) -> Result<Shape, String> {
    match value {
        "text" => Ok(Shape::Text),
        "tree" => Ok(Shape::Tree),
        _ => Err("neither text nor tree".to_owned()),
    }
}

fn seconds(name: &str, value: f64) -> Result<Duration, lexopt::Error> {
    Duration::try_from_secs_f64(value).map_err(|error| format!("{name} {value}: {error}").into())
}

fn positive(name: &str, value: f64) -> Result<f64, lexopt::Error> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(format!("{name} must be positive, not {value}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Parsed, parse};

    fn parsed(arguments: &str) -> Result<Options, String> {
        let arguments = std::iter::once("xs-load").chain(arguments.split(' '));
        match parse(lexopt::Parser::from_iter(arguments)) {
            Ok(Parsed::Run(options)) => Ok(options),
            Ok(Parsed::Help) => Err("help".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn error(arguments: &str) -> String {
        parsed(arguments).map_or_else(|error| error, |options| format!("{options:?}"))
    }

    #[test]
    fn parse_long_and_drip_set_their_own_sizes() {
        let long = parsed("long --target 127.0.0.1:9");
        let drip = parsed("drip --target 127.0.0.1:9 --size 100");

        assert_eq!(
            Ok((8_388_608, 1460)),
            long.map(|options| (options.size, options.write_size))
        );
        assert_eq!(
            Ok((100, 1, 100)),
            drip.map(|options| (options.size, options.write_size, options.connections))
        );
    }

    #[test]
    fn parse_default_window_is_at_most_four_megabytes() {
        let small = parsed("echo --target 127.0.0.1:9");
        let large = parsed("echo --target 127.0.0.1:9 --size 65535");

        assert_eq!(Ok(4096), small.map(|options| options.in_flight));
        assert_eq!(Ok(64), large.map(|options| options.in_flight));
    }

    #[test]
    fn parse_nonsense_names_the_option() {
        assert_eq!("help", error("--help"));
        assert!(error("echo").contains("--target"));
        assert!(error("shout --target 127.0.0.1:9").contains("unknown workload shout"));
        assert!(error("echo --target 127.0.0.1:9 --size 3").contains("--size"));
        assert!(error("echo --target 127.0.0.1:9 --seconds -1").contains("--seconds"));
        assert!(error("paced --target 127.0.0.1:9 --rate 0").contains("--rate"));
        assert!(error("idle --target 127.0.0.1:9 --steps 5,3").contains("--steps"));
        assert!(error("echo --target 127.0.0.1:9 --in-flight 0").contains("--in-flight"));
    }
}
