//! A token bucket: so many events a second in the long run, and at most a burst at once.
//!
//! Invariants. In any time t no more than `burst + rate · t` tokens are given, plus what one request exceeds the burst by: a
//! request that is larger than the bucket goes when the bucket is full, and leaves a debt that those behind it wait for. So the
//! long-run rate is exact, whatever the sizes.

use std::time::Duration;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Events a second; finite and more than 0.
    pub rate_per_s: f64,
    /// Events at once after a pause, 1 or more; if absent, what a second brings, rounded up.
    pub burst: Option<u32>,
}

impl Settings {
    /// Events at once after a pause; never 0, which would let nothing through.
    #[must_use]
    pub fn burst(&self) -> u32 {
        let of_a_second = self.rate_per_s.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
        self.burst.unwrap_or(of_a_second).max(1)
    }
}

/// See the file's head. Times are durations since any fixed moment.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    settings: Settings,
    /// Less than 0 is a debt.
    tokens: f64,
    filled: Duration,
}

/// Tokens that rounding may have eaten. Less than a millionth of an event.
const ROUNDING: f64 = 1e-6;
/// The longest wait; what is longer is asked for again.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(settings: Settings, now: Duration) -> Bucket {
        Bucket { settings, tokens: f64::from(settings.burst()), filled: now }
    }

    /// Another rate from now on. Debts stay; what is saved up stays as far as the new burst allows.
    pub fn tune(&mut self, settings: Settings, now: Duration) {
        self.fill(now);
        self.settings = settings;
        self.tokens = self.tokens.min(f64::from(settings.burst()));
    }

    fn fill(&mut self, now: Duration) {
        let passed_s = now.saturating_sub(self.filled).as_secs_f64();
        let tokens = self.tokens + passed_s * self.settings.rate_per_s;
        self.tokens = tokens.min(f64::from(self.settings.burst()));
        self.filled = self.filled.max(now);
    }

    /// How long until so many events may go; zero is now. Changes nothing that can be seen: say [`Bucket::take`] when they go.
    pub fn wait(&mut self, events: u32, now: Duration) -> Duration {
        self.fill(now);
        let missing = f64::from(events.min(self.settings.burst())) - self.tokens;
        if missing <= ROUNDING {
            return Duration::ZERO;
        }
        let wait = Duration::try_from_secs_f64(missing / self.settings.rate_per_s).unwrap_or(WAIT_MAX);
        // Never a wait of nothing for something that is missing.
        wait.clamp(Duration::from_micros(1), WAIT_MAX)
    }

    /// So many events go.
    pub fn take(&mut self, events: u32, now: Duration) {
        self.fill(now);
        self.tokens -= f64::from(events);
    }

    /// The most that may go at once without a debt.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.settings.burst()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(rate_per_s: f64, burst: Option<u32>) -> Settings {
        Settings { rate_per_s, burst }
    }

    #[test]
    fn a_burst_is_never_nothing() {
        assert_eq!(settings(0.2, None).burst(), 1);
        assert_eq!(settings(2.5, None).burst(), 3);
        assert_eq!(settings(1e30, None).burst(), u32::MAX);
        assert_eq!(settings(9.0, Some(0)).burst(), 1);
        assert_eq!(Bucket::new(settings(9.0, Some(7)), Duration::ZERO).burst(), 7);
    }

    #[test]
    fn more_than_the_burst_goes_from_a_full_bucket_and_leaves_a_debt() {
        let mut bucket = Bucket::new(settings(10.0, Some(5)), Duration::ZERO);
        assert_eq!(bucket.wait(25, Duration::ZERO), Duration::ZERO);
        bucket.take(25, Duration::ZERO);
        assert_eq!(bucket.wait(1, Duration::ZERO), Duration::from_millis(2_100));
        assert_eq!(bucket.wait(1, Duration::from_millis(2_100)), Duration::ZERO);
    }

    #[test]
    fn a_new_rate_keeps_the_debt() {
        let mut bucket = Bucket::new(settings(10.0, Some(5)), Duration::ZERO);
        bucket.take(15, Duration::ZERO);
        bucket.tune(settings(1.0, Some(2)), Duration::ZERO);
        assert_eq!(bucket.wait(1, Duration::ZERO), Duration::from_secs(11));
        bucket.tune(settings(1.0, Some(2)), Duration::from_secs(100));
        assert_eq!(bucket.wait(2, Duration::from_secs(100)), Duration::ZERO);
        bucket.take(2, Duration::from_secs(100));
        assert_eq!(bucket.wait(1, Duration::from_secs(100)), Duration::from_secs(1));
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(settings(10.0, Some(1)), Duration::from_secs(9));
        bucket.take(1, Duration::from_secs(9));
        assert_eq!(bucket.wait(1, Duration::from_secs(3)), Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_its_tokens(
            rate in 0.1_f64..10_000.0,
            burst in proptest::option::of(1_u32..5_000),
            requests in proptest::collection::vec((1_u32..6_000, 0_u64..50), 1..60),
        ) {
            let settings = settings(rate, burst);
            let mut bucket = Bucket::new(settings, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut gone: Vec<(Duration, f64)> = Vec::new();
            for (events, idle_ms) in requests {
                now += Duration::from_millis(idle_ms);
                // Whoever waits as told goes at the second asking.
                let wait = bucket.wait(events, now);
                now += wait;
                if !wait.is_zero() {
                    now += Duration::from_nanos(1_000);
                    prop_assert_eq!(bucket.wait(events, now), Duration::ZERO);
                }
                bucket.take(events, now);
                gone.push((now, f64::from(events)));
            }
            for from in 0..gone.len() {
                let mut sum = 0.0;
                for (at, events) in &gone[from..] {
                    sum += events;
                    let over = (events - f64::from(settings.burst())).max(0.0);
                    let span_s = (*at - gone[from].0).as_secs_f64();
                    let allowed = f64::from(settings.burst()) + rate * span_s + over;
                    prop_assert!(sum <= allowed + 1e-3, "{sum} in {span_s} s, {allowed} would do");
                }
            }
        }

        #[test]
        fn whoever_never_pauses_gets_the_whole_rate(rate in 0.1_f64..1_000.0, sizes in proptest::collection::vec(1_u32..500, 20..50)) {
            let mut bucket = Bucket::new(settings(rate, None), Duration::ZERO);
            let (mut now, mut sum) = (Duration::ZERO, 0.0);
            for events in &sizes {
                now += bucket.wait(*events, now);
                bucket.take(*events, now);
                sum += f64::from(*events);
            }
            let last = f64::from(*sizes.last().unwrap());
            // All but the last, at most, was waited for.
            prop_assert!(now.as_secs_f64() <= sum / rate + 1e-3, "slower than the rate");
            let burst = f64::from(settings(rate, None).burst());
            prop_assert!(now.as_secs_f64() >= (sum - burst.max(last)) / rate - 1e-3, "faster than the rate");
        }
    }
}
