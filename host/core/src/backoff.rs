//! How long to wait before the next attempt: full jitter, `max(100 ms, random in [0, min(cap, base ·
//! 2^attempt)))`.
//!
//! Attempts are counted from 0, those of a request from 1, and begin anew after a healthy time, so that a connection which breaks once
//! a day is not treated like one that has been failing all day.

use std::time::Duration;

/// No wait is shorter.
pub const WAIT_MIN: Duration = Duration::from_millis(100);

/// What decides the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The upper end of the first wait.
    pub base: Duration,
    /// The upper end of every wait.
    pub cap: Duration,
    /// After so long without a failure, attempts begin anew.
    pub healthy_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
        }
    }
}

/// Counts the failures of one thing.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    settings: Settings,
    first: u32,
    attempt: u32,
}

impl Backoff {
    /// No failure so far.
    #[must_use]
    pub fn new(settings: Settings) -> Backoff {
        Backoff { settings, first: 0, attempt: 0 }
    }

    /// For the retries of a request: the first of them is attempt 1.
    #[must_use]
    pub fn of_requests(settings: Settings) -> Backoff {
        Backoff { settings, first: 1, attempt: 1 }
    }

    /// Other bounds, the same count.
    pub fn tune(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// It failed, after having been well for that long. How long to wait; `random` is any 64 random bits.
    pub fn failed(&mut self, healthy_for: Duration, random: u64) -> Duration {
        if healthy_for >= self.settings.healthy_after {
            self.attempt = self.first;
        }
        let wait = wait(self.settings, self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        wait
    }

    /// It has shown that it is well: a first message arrived, a delivery was durable.
    pub fn succeeded(&mut self) {
        self.attempt = self.first;
    }

    /// How many failures in a row.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt - self.first
    }
}

/// A wait, but no longer than a quarter of what the outage has lasted so far, or `least`: what was away for a moment is found again in a
/// moment, and what is away for long is not asked often.
#[must_use]
pub fn within(wait: Duration, away_for: Duration, least: Duration) -> Duration {
    wait.min((away_for / 4).max(least))
}

/// The wait before attempt n + 1, from 64 random bits.
#[must_use]
pub fn wait(settings: Settings, attempt: u32, random: u64) -> Duration {
    let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
    let end = settings.base.saturating_mul(factor).min(settings.cap);
    let end_us = u64::try_from(end.as_micros()).unwrap_or(u64::MAX);
    let part_us = (u128::from(random) * u128::from(end_us)) >> 64;
    Duration::from_micros(part_us as u64).max(WAIT_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap() {
        let mut backoff = Backoff::new(Settings::default());
        let longest: Vec<u128> =
            (0..7).map(|_| backoff.failed(Duration::ZERO, u64::MAX).as_millis()).collect();
        assert_eq!(longest, [999, 1_999, 3_999, 7_999, 15_999, 29_999, 29_999]);
        assert_eq!(backoff.attempt(), 7);
    }

    #[test]
    fn a_short_outage_has_short_waits() {
        let s = Duration::from_secs;
        assert_eq!(within(s(4), s(2), s(1)), s(1));
        assert_eq!(within(s(4), s(12), s(1)), s(3));
        assert_eq!(within(s(4), s(60), s(1)), s(4));
        assert_eq!(within(WAIT_MIN, s(60), s(1)), WAIT_MIN);
    }

    #[test]
    fn the_shortest_wait_is_a_tenth_of_a_second() {
        assert_eq!(wait(Settings::default(), 3, 0), WAIT_MIN);
    }

    #[test]
    fn a_healthy_time_or_a_success_begins_anew() {
        let mut backoff = Backoff::new(Settings::default());
        for _ in 0..9 {
            backoff.failed(Duration::ZERO, 0);
        }
        assert!(backoff.failed(Duration::from_secs(60), u64::MAX) < Duration::from_secs(1));
        for _ in 0..9 {
            backoff.failed(Duration::ZERO, 0);
        }
        backoff.succeeded();
        assert!(backoff.failed(Duration::ZERO, u64::MAX) < Duration::from_secs(1));
    }

    #[test]
    fn retries_of_a_request_begin_one_step_later_and_new_bounds_keep_the_count() {
        let mut backoff = Backoff::of_requests(Settings::default());
        assert_eq!(backoff.failed(Duration::ZERO, u64::MAX).as_millis(), 1_999);
        assert_eq!(backoff.attempt(), 1);
        backoff.tune(Settings { base: Duration::from_secs(2), ..Settings::default() });
        assert_eq!(backoff.failed(Duration::ZERO, u64::MAX).as_millis(), 7_999);
        backoff.succeeded();
        assert_eq!(backoff.attempt(), 0);
        assert_eq!(backoff.failed(Duration::ZERO, u64::MAX).as_millis(), 3_999);
    }

    #[test]
    fn no_number_is_too_large() {
        let settings = Settings { base: Duration::MAX, cap: Duration::MAX, ..Settings::default() };
        assert!(wait(settings, u32::MAX, u64::MAX) > Duration::from_secs(1));
        assert!(wait(Settings::default(), 31, u64::MAX) < Duration::from_secs(30));
        assert!(wait(Settings::default(), 32, u64::MAX) < Duration::from_secs(30));
    }
}
