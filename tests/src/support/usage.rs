//! What processes cost: CPU seconds of ended children, CPU and memory of a living one.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// User and system time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Time spent in the process's own code.
    pub user: Duration,
    /// Time that the kernel spent for it.
    pub system: Duration,
}

impl Cpu {
    /// What all children that have been waited for have used so far, to the microsecond.
    #[must_use]
    pub fn of_ended_children() -> Self {
        let usage =
            getrusage(UsageWho::RUSAGE_CHILDREN).unwrap_or_else(|error| panic!("getrusage failed: {error}"));
        Self { user: duration(usage.user_time()), system: duration(usage.system_time()) }
    }

    /// The difference to an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    /// The share of it that is `part` of `whole`.
    #[must_use]
    pub fn scaled(self, part: u64, whole: u64) -> Self {
        let share = |time: Duration| {
            let nanos = time.as_nanos() * u128::from(part) / u128::from(whole.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        Self { user: share(self.user), system: share(self.system) }
    }

    /// User and system time together, in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        (self.user + self.system).as_secs_f64()
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_usec());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// `VmRSS` or `VmHWM` (the peak) of a living process in bytes; `None` without /proc.
#[must_use]
pub fn memory_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What the living threads of a process have used so far, to the nanosecond; `None` without /proc.
#[must_use]
pub fn cpu_of_threads(pid: u32) -> Option<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        nanos += stat.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}
