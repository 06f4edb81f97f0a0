//! What the generator itself takes from the machine.

use std::fs;
use std::time::{Duration, Instant};

use crate::json::Line;

/// Processor time over a stretch of a run.
#[derive(Debug)]
pub(crate) struct Usage {
    started: Instant,
    cpu: Option<Duration>,
    core: Option<Ticks>,
    server: Option<u32>,
    server_cpu: Option<Duration>,
}

/// Ticks of the only core on which this process may run.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    idle: u64,
    total: u64,
}

/// What a stretch cost, as shares of one core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// Processor time of this process per second.
    pub(crate) cpu: Option<f64>,
    /// Idle share of the core to which this process is pinned.
    pub(crate) core_idle: Option<f64>,
    /// Processor time of the server per second.
    pub(crate) server_cpu: Option<f64>,
}

impl Usage {
    /// Starts to count; with the process of the `server` for that, too.
    pub(crate) fn start(server: Option<u32>) -> Self {
        Self {
            server,
            server_cpu: server.and_then(cpu_time_of),
            core: only_core().and_then(ticks),
            cpu: cpu_time(),
            started: Instant::now(),
        }
    }

    pub(crate) fn stop(&self) -> Cost {
        let seconds = self.started.elapsed().as_secs_f64();
        let per_second =
            |(now, then): (Duration, Duration)| now.saturating_sub(then).as_secs_f64() / seconds;
        let cpu = cpu_time().zip(self.cpu).map(per_second);
        let server_cpu = self.server.and_then(cpu_time_of).zip(self.server_cpu);
        let core_idle = only_core().and_then(ticks).zip(self.core).map(
            |(now, then)| // The kernel's account of waiting for disks may go backwards.
 share(now.idle.saturating_sub(then.idle), now.total - then.total),
        );
        Cost {
            seconds,
            cpu,
            core_idle,
            server_cpu: server_cpu.map(per_second),
        }
    }
}

impl Cost {
    /// Less than a fifth of the generator's core was idle, so that the figure
    /// may be the generator's and not the server's.
    ///
    /// The core counts when the process is pinned to one, since the kernel's
    /// share of loopback traffic and other programs run there too; otherwise
    /// this process alone.
    pub(crate) fn bound(&self) -> bool {
        match (self.core_idle, self.cpu) {
            (Some(idle), _) => idle < 0.2,
            (None, Some(cpu)) => cpu > 0.8,
            (None, None) => false,
        }
    }

    pub(crate) fn describe(&self, line: Line) -> Line {
        line.number("seconds", self.seconds)
            .maybe("generator_cpu", self.cpu)
            .maybe("generator_core_idle", self.core_idle)
            .maybe("server_cpu", self.server_cpu)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a share needs three digits, not nineteen"
)]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The number of the core to which this process is pinned, if it is to one.
fn only_core() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().parse().ok()
}

fn ticks(core: usize) -> Option<Ticks> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let name = format!("cpu{core}");
    let line = stat
        .lines()
        .find(|line| line.split(' ').next() == Some(&name))?;
    // user nice system idle iowait irq softirq steal; guest times are part of user's.
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    Some(Ticks {
        idle: fields.get(3)? + fields.get(4)?,
        total: fields.iter().sum(),
    })
}

#[cfg(unix)]
fn cpu_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(
        time.tv_sec.try_into().ok()?,
        time.tv_nsec.try_into().ok()?,
    ))
}

#[cfg(not(unix))]
fn cpu_time() -> Option<Duration> {
    None
}

/// Processor time of another process: of the threads that it has now.
fn cpu_time_of(process: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let mut nanos = 0;
    for task in tasks {
        // A thread that ends meanwhile has no file any more.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else {
            continue;
        };
        nanos += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

/// Lets this process open as many sockets as the system allows it.
///
/// A failure is no error here: if the limit matters, opening a socket says so.
#[cfg(unix)]
pub(crate) fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

#[cfg(not(unix))]
pub(crate) fn raise_open_files_limit() {}

#[cfg(test)]
mod tests {
    use super::{Cost, Usage};

    fn cost(cpu: Option<f64>, core_idle: Option<f64>) -> Cost {
        Cost {
            seconds: 1.0,
            cpu,
            core_idle,
            server_cpu: None,
        }
    }

    #[test]
    fn bound_pinned_looks_at_the_core() {
        assert!(cost(Some(0.5), Some(0.19)).bound());
        assert!(!cost(Some(0.9), Some(0.2)).bound());
    }

    #[test]
    fn bound_not_pinned_looks_at_the_process() {
        assert!(cost(Some(0.81), None).bound());
        assert!(!cost(Some(0.79), None).bound());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn stop_tells_what_this_process_and_the_server_took() {
        let usage = Usage::start(Some(std::process::id()));
        while usage.started.elapsed().as_millis() < 20 {}

        let cost = usage.stop();

        assert!(cost.cpu.is_some_and(|cpu| cpu > 0.0), "{cost:?}");
        assert!(cost.server_cpu.is_some_and(|cpu| cpu > 0.0), "{cost:?}");
    }

    #[test]
    fn stop_without_a_server_says_nothing_of_it() {
        assert!(Usage::start(None).stop().server_cpu.is_none());
    }
}
