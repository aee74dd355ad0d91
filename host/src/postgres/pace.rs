//! When to let bytes gather in the kernel. Pure: times and counts in, a decision out.

use std::time::Duration;

/// The rate is taken over at least this long.
const WINDOW: Duration = Duration::from_millis(4);
/// A backlog is what brings so much in a window: 4 MiB a second.
const BACKLOG_BYTES: u128 = 16 << 10;

/// Watches how fast bytes come.
#[derive(Debug)]
pub(super) struct Pace {
    /// Since the start of the window.
    bytes: u128,
    start: Duration,
    backlog: bool,
}

impl Pace {
    /// `now` is any clock that only moves forward.
    pub(super) fn new(now: Duration) -> Self {
        Self { bytes: 0, start: now, backlog: false }
    }

    /// So many bytes were read; 0 if there were none. Tells whether a backlog streams by.
    pub(super) fn read(&mut self, bytes: usize, now: Duration) -> bool {
        self.bytes += bytes as u128;
        let elapsed = now.saturating_sub(self.start);
        if elapsed >= WINDOW {
            self.backlog = self.bytes * WINDOW.as_nanos() >= BACKLOG_BYTES * elapsed.as_nanos();
            (self.bytes, self.start) = (0, now);
        }
        self.backlog
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(step: Duration, bytes: usize, count: u32) -> bool {
        let mut pace = Pace::new(Duration::ZERO);
        (1..=count).fold(false, |_, n| pace.read(bytes, step * n))
    }

    #[test]
    fn only_a_stream_is_a_backlog() {
        assert!(after(Duration::from_micros(10), 200, 5_000));
        assert!(!after(Duration::from_millis(1), 500, 5_000));
        assert!(!after(Duration::from_secs(1), 250_000, 10));
    }

    #[test]
    fn a_backlog_ends() {
        let mut pace = Pace::new(Duration::ZERO);
        assert!(pace.read(1 << 20, Duration::from_millis(5)));
        assert!(pace.read(0, Duration::from_millis(6)));
        assert!(!pace.read(0, Duration::from_millis(50)));
    }
}
