//! The nack window: when too many of the last deliveries ended as dead letters, the sink is passed by for a while.
//!
//! Invariants. Only what a delivery came to is recorded, never what a filter dropped or a transform failed on. Whoever is passed by
//! is probed again and again, so that it comes back by itself; and what is long ago does not count.

use std::collections::VecDeque;
use std::time::Duration;

/// From the last dead letter to a probe.
pub const PROBE_AFTER: Duration = Duration::from_secs(10);
/// An outcome counts for so long.
pub const AGE_MAX: Duration = Duration::from_secs(600);
/// No window is larger.
pub const SIZE_MAX: u32 = 65_536;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Outcomes that are looked at; 1 or more.
    pub size: u32,
    /// Dead letters among them that are too many; 1 or more.
    pub threshold: u32,
}

impl Settings {
    /// With half the size as the threshold, if none is given.
    #[must_use]
    pub fn new(size: u32, threshold: Option<u32>) -> Settings {
        let size = size.clamp(1, SIZE_MAX);
        Settings { size, threshold: threshold.unwrap_or(size / 2).clamp(1, size) }
    }
}

/// What is to be done with the next events?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// They are delivered.
    Go,
    /// One is delivered, to see.
    Probe,
    /// They are dead-lettered undelivered.
    Skip,
}

/// See the file's head. Times are durations since any fixed moment.
#[derive(Clone, Debug)]
pub struct Window {
    settings: Settings,
    /// When, and whether it was a dead letter; oldest first.
    outcomes: VecDeque<(Duration, bool)>,
    nacks: u32,
    exceeded: bool,
    last_nack: Duration,
}

impl Window {
    /// Empty.
    #[must_use]
    pub fn new(settings: Settings) -> Window {
        Window { settings, outcomes: VecDeque::new(), nacks: 0, exceeded: false, last_nack: Duration::ZERO }
    }

    /// Other settings, the same outcomes as far as they fit.
    pub fn tune(&mut self, settings: Settings) {
        self.settings = settings;
        self.trim();
        self.exceeded = self.nacks >= settings.threshold;
    }

    fn trim(&mut self) {
        while self.outcomes.len() > self.settings.size as usize {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, true)) = self.outcomes.pop_front() {
            self.nacks -= 1;
        }
    }

    /// What to do with the next events.
    pub fn may(&mut self, now: Duration) -> May {
        while self.outcomes.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= AGE_MAX) {
            self.forget_oldest();
        }
        self.exceeded &= self.nacks >= self.settings.threshold;
        match self.exceeded {
            false => May::Go,
            true if now.saturating_sub(self.last_nack) >= PROBE_AFTER => May::Probe,
            true => May::Skip,
        }
    }

    /// A delivery came to so many delivered and so many dead letters. Whether that has made it too many.
    pub fn record(&mut self, delivered: u32, dead: u32, now: Duration) -> bool {
        if self.exceeded && delivered > 0 && dead == 0 {
            // The probe got through: what was before it says nothing any more.
            (self.nacks, self.exceeded) = (0, false);
            self.outcomes.clear();
        }
        let (size, was) = (self.settings.size, self.exceeded);
        let outcomes = [(delivered, false), (dead, true)];
        for (count, nack) in outcomes {
            for _ in 0..count.min(size) {
                self.outcomes.push_back((now, nack));
                self.nacks += u32::from(nack);
                self.trim();
            }
        }
        if dead > 0 {
            self.last_nack = now;
        }
        self.exceeded = self.exceeded || self.nacks >= self.settings.threshold;
        self.exceeded && !was
    }

    /// Whether the sink is passed by.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_threshold_is_half_unless_said() {
        assert_eq!(Settings::new(100, None).threshold, 50);
        assert_eq!(Settings::new(1, None).threshold, 1);
        assert_eq!(Settings::new(10, Some(99)).threshold, 10);
        assert_eq!(Settings::new(0, Some(0)), Settings { size: 1, threshold: 1 });
    }

    #[test]
    fn too_many_dead_letters_pass_it_by_and_a_probe_brings_it_back() {
        let mut window = Window::new(Settings { size: 4, threshold: 3 });
        assert!(!window.record(2, 2, SECOND));
        assert!(window.record(1, 1, SECOND), "the oldest success has left");
        assert_eq!(window.may(2 * SECOND), May::Skip);
        assert_eq!(window.may(11 * SECOND), May::Probe);
        assert!(!window.record(0, 1, 12 * SECOND));
        assert!(!window.record(0, 0, 13 * SECOND), "nothing came of it: it decides nothing");
        assert_eq!(window.may(13 * SECOND), May::Skip);
        assert_eq!(window.may(22 * SECOND), May::Probe);
        window.record(1, 0, 23 * SECOND);
        assert_eq!(window.may(23 * SECOND), May::Go);
        assert!(!window.record(0, 2, 23 * SECOND), "it starts afresh");
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut window = Window::new(Settings { size: 10, threshold: 2 });
        window.record(0, 1, SECOND);
        window.may(SECOND + AGE_MAX);
        assert!(!window.record(0, 1, SECOND + AGE_MAX));
        assert!(window.record(0, 1, SECOND + AGE_MAX));
        assert_eq!(window.may(SECOND + 2 * AGE_MAX), May::Go, "without a probe, too");
    }

    #[test]
    fn a_new_size_keeps_the_latest() {
        let mut window = Window::new(Settings { size: 10, threshold: 10 });
        window.record(0, 3, SECOND);
        window.record(3, 0, SECOND);
        window.tune(Settings { size: 4, threshold: 2 });
        assert!(!window.is_exceeded());
        window.tune(Settings { size: 4, threshold: 1 });
        assert!(window.is_exceeded());
    }

    proptest! {
        #[test]
        fn it_is_exceeded_exactly_by_the_dead_letters_among_the_last(
            size in 1_u32..20,
            threshold in 1_u32..20,
            outcomes in proptest::collection::vec((0_u32..4, 0_u32..4), 0..60),
        ) {
            let settings = Settings { size, threshold: threshold.min(size) };
            let mut window = Window::new(settings);
            let mut all: Vec<bool> = Vec::new();
            for (delivered, dead) in outcomes {
                if window.is_exceeded() {
                    break;
                }
                window.record(delivered, dead, SECOND);
                all.extend((0..delivered).map(|_| false).chain((0..dead).map(|_| true)));
                let last = &all[all.len().saturating_sub(size as usize)..];
                let dead = last.iter().filter(|nack| **nack).count() as u32;
                prop_assert_eq!(window.is_exceeded(), dead >= settings.threshold);
            }
        }
    }
}
