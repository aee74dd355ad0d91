//! When to let bytes gather in the kernel. Pure: times and counts in, a decision out.
//!
//! A walsender dribbles two rows a packet, and reading each packet costs ten times what decoding does.
//! While a backlog streams by, the socket therefore wakes us only for a bite, or after [`CAP`]; when
//! changes come one by one, every packet wakes us at once.

use std::time::Duration;

/// What is worth waking up for while a backlog lasts.
pub(super) const BITE_BYTES: usize = 64 << 10;
/// The longest that bytes gather.
pub(super) const CAP: Duration = Duration::from_millis(1);
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

    /// So many bytes were read.
    pub(super) fn read(&mut self, bytes: usize, now: Duration) {
        self.bytes += bytes as u128;
        let elapsed = now.saturating_sub(self.start);
        if elapsed >= WINDOW {
            self.backlog = self.bytes * WINDOW.as_nanos() >= BACKLOG_BYTES * elapsed.as_nanos();
            (self.bytes, self.start) = (0, now);
        }
    }

    /// Does a backlog stream by?
    pub(super) fn backlog(&self) -> bool {
        self.backlog
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(step: Duration, bytes: usize, count: u32) -> bool {
        let mut pace = Pace::new(Duration::ZERO);
        (1..=count).for_each(|n| pace.read(bytes, step * n));
        pace.backlog()
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
        pace.read(1 << 20, Duration::from_millis(5));
        assert!(pace.backlog());
        pace.read(100, Duration::from_millis(50));
        assert!(!pace.backlog());
    }
}
