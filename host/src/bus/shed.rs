//! How often losses are logged: at once, then every ten seconds with the count since. Time is passed in.

use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

/// The losses of one lane.
#[derive(Default)]
pub(super) struct Shed {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Shed {
    /// So many events more are lost. What is to be said of it now, if anything.
    pub(super) fn lost(&mut self, events: u64, now: Instant) -> Option<u64> {
        self.unsaid += events;
        self.due(now)
    }

    /// The losses that were not said yet, if it is time.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let quiet = self.said_at.is_some_and(|at| now.saturating_duration_since(at) < EVERY);
        if quiet || self.unsaid == 0 {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_said_once_and_rarely() {
        let (mut shed, start) = (Shed::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(shed.due(at(0)), None);
        assert_eq!(shed.lost(3, at(0)), Some(3));
        let said: Vec<u64> = (1..=40_000).filter_map(|ms| shed.lost(1, at(ms))).collect();
        assert_eq!(said, [10_000; 4]);
        shed.lost(7, at(40_001));
        assert_eq!(shed.due(at(49_999)), None);
        assert_eq!(shed.due(at(50_000)), Some(7));
        assert_eq!(shed.due(at(70_000)), None);
    }
}
