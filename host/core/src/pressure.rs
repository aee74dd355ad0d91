//! Backpressure from a slot's lag: in which zone a source is, what its reader waits for, and which lanes are spared.
//!
//! | zone | while | the reader | lanes that are shed |
//! |---|---|---|---|
//! | green | lag < warn | reads | none |
//! | yellow | warn ≤ lag < critical, and not after red | waits up to the throttle before each portion | best-effort |
//! | red | from lag ≥ critical on, until lag < warn | one portion in flight at a time | best-effort and normal |
//!
//! Invariants:
//! - From red there is no way to yellow: what has filled up works off down to `warn` before it is let go.
//! - A lane is shed only if the operator marked it: `critical` and no word at all are never shed.
//! - No wait is for ever. It ends as soon as nothing is in flight, since then waiting has nothing more to give: the slot
//!   advances through what is read, delivered and confirmed, and not through standing still. It also ends when nothing
//!   has been settled for the patience, because a sink may be holding out for more, or be down for long.
//!
//! Times are durations since any fixed moment, passed in.

use std::time::Duration;

/// How pressed a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// The lag is of no concern.
    #[default]
    Green,
    /// The lag has reached the warning.
    Yellow,
    /// The lag was critical, and is not below the warning yet.
    Red,
}

/// What a lane is worth under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Gets everything, whatever the lag; so does a lane that nobody gave a priority.
    Critical,
    /// Gets nothing in the red zone.
    Normal,
    /// Gets nothing in the yellow and red zones.
    BestEffort,
}

/// The bounds of the zones, and of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    warn_bytes: u64,
    critical_bytes: u64,
    throttle_max: Duration,
    patience: Duration,
}

/// The bounds make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSettings {
    /// A threshold of nothing is always reached.
    #[error("backpressure.{0} must be > 0")]
    Zero(&'static str),
    /// There must be room for the yellow zone.
    #[error("backpressure.critical_threshold ({critical_bytes}) must be > warn_threshold ({warn_bytes})")]
    Order {
        /// Bytes.
        critical_bytes: u64,
        /// Bytes.
        warn_bytes: u64,
    },
}

/// What has become of the batches that a reader handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Batches handed on, ever.
    pub handed: u64,
    /// Of those, how many every lane has answered for, contiguously.
    pub settled: u64,
}

impl Zone {
    /// As the gauge shows it: 0, 1, 2.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Zone::Green => 0,
            Zone::Yellow => 1,
            Zone::Red => 2,
        }
    }

    /// For status and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Zone::Green => "green",
            Zone::Yellow => "yellow",
            Zone::Red => "red",
        }
    }

    /// Whether a lane of this priority gets nothing now.
    #[must_use]
    pub fn sheds(self, priority: Option<Priority>) -> bool {
        match priority {
            None | Some(Priority::Critical) => false,
            Some(Priority::Normal) => self == Zone::Red,
            Some(Priority::BestEffort) => self != Zone::Green,
        }
    }
}

impl Priority {
    /// Every spelling.
    pub const WORDS: &'static [&'static str] = &["critical", "normal", "best-effort"];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::Normal => "normal",
            Priority::BestEffort => "best-effort",
        }
    }

    /// From its spelling.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Priority> {
        [Priority::Critical, Priority::Normal, Priority::BestEffort].into_iter().find(|p| p.as_str() == word)
    }
}

impl Settings {
    /// Checks the bounds. `patience`: after so long without anything settled, a wait has failed.
    pub fn new(
        warn_bytes: u64,
        critical_bytes: u64,
        throttle_max: Duration,
        patience: Duration,
    ) -> Result<Settings, BadSettings> {
        if warn_bytes == 0 {
            return Err(BadSettings::Zero("warn_threshold"));
        }
        if critical_bytes == 0 {
            return Err(BadSettings::Zero("critical_threshold"));
        }
        if critical_bytes <= warn_bytes {
            return Err(BadSettings::Order { critical_bytes, warn_bytes });
        }
        Ok(Settings { warn_bytes, critical_bytes, throttle_max, patience })
    }

    /// The zone after another look at the lag.
    #[must_use]
    pub fn next(&self, from: Zone, lag_bytes: u64) -> Zone {
        match from {
            _ if lag_bytes >= self.critical_bytes => Zone::Red,
            _ if lag_bytes < self.warn_bytes => Zone::Green,
            Zone::Red => Zone::Red,
            Zone::Green | Zone::Yellow => Zone::Yellow,
        }
    }

    /// The longest wait before a portion: grows from nothing at `warn` to the greatest at `critical`.
    #[must_use]
    pub fn throttle(&self, zone: Zone, lag_bytes: u64) -> Duration {
        match zone {
            Zone::Green => Duration::ZERO,
            Zone::Red => self.throttle_max,
            Zone::Yellow => {
                let into = lag_bytes.saturating_sub(self.warn_bytes) as f64;
                let band = (self.critical_bytes - self.warn_bytes) as f64;
                self.throttle_max.mul_f64((into / band).clamp(0.0, 1.0))
            }
        }
    }
}

/// The wait before one portion.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    settings: Settings,
    began: Duration,
    /// How long the throttle lasts; not for the red zone.
    throttle: Duration,
    settled: u64,
    /// When something was settled last, or the wait began.
    moved: Duration,
}

impl Hold {
    /// Begins to wait.
    #[must_use]
    pub fn begin(settings: Settings, zone: Zone, lag_bytes: u64, now: Duration, flight: Flight) -> Hold {
        let throttle = settings.throttle(zone, lag_bytes);
        Hold { settings, began: now, throttle, settled: flight.settled, moved: now }
    }

    /// `None`: read on. Otherwise look again after that time at the latest, and whenever the zone or the flight has
    /// changed.
    pub fn left(&mut self, zone: Zone, now: Duration, flight: Flight) -> Option<Duration> {
        if flight.settled > self.settled {
            (self.settled, self.moved) = (flight.settled, now);
        }
        let end = match zone {
            _ if flight.settled >= flight.handed => return None,
            Zone::Green => return None,
            Zone::Yellow => self.began + self.throttle,
            Zone::Red => self.moved + self.settings.patience,
        };
        end.checked_sub(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZONES: [Zone; 3] = [Zone::Green, Zone::Yellow, Zone::Red];

    #[test]
    fn zones_have_a_word_each() {
        assert_eq!(ZONES.map(Zone::as_str), ["green", "yellow", "red"]);
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn settings() -> Settings {
        Settings::new(100, 200, ms(500), ms(1_000)).unwrap()
    }

    #[test]
    fn red_ends_only_below_the_warning() {
        let lags = [0, 99, 100, 199, 200, 199, 100, 99, 100, 500, 0];
        let mut zone = Zone::Green;
        let zones: Vec<u8> = lags
            .iter()
            .map(|lag| {
                zone = settings().next(zone, *lag);
                zone.number()
            })
            .collect();
        assert_eq!(zones, [0, 0, 1, 1, 2, 2, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_throttle_grows_through_the_yellow_zone() {
        let throttle = |lag| settings().throttle(Zone::Yellow, lag).as_millis();
        assert_eq!([100, 150, 200, 999].map(throttle), [0, 250, 500, 500]);
        assert_eq!(settings().throttle(Zone::Red, 150), ms(500));
        assert_eq!(settings().throttle(Zone::Green, 150), Duration::ZERO);
    }

    #[test]
    fn only_what_was_marked_is_shed() {
        let shed = |priority| ZONES.map(|zone| zone.sheds(priority));
        assert_eq!(shed(None), [false, false, false]);
        assert_eq!(shed(Some(Priority::Critical)), [false, false, false]);
        assert_eq!(shed(Some(Priority::Normal)), [false, false, true]);
        assert_eq!(shed(Some(Priority::BestEffort)), [false, true, true]);
        for word in Priority::WORDS {
            assert_eq!(Priority::from_word(word).map(Priority::as_str), Some(*word));
        }
        assert_eq!(Priority::from_word("best_effort"), None);
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        let new = |warn, critical| Settings::new(warn, critical, ms(1), ms(1)).map(|_| ());
        assert_eq!(new(0, 5), Err(BadSettings::Zero("warn_threshold")));
        assert_eq!(new(5, 0), Err(BadSettings::Zero("critical_threshold")));
        assert_eq!(new(5, 5), Err(BadSettings::Order { critical_bytes: 5, warn_bytes: 5 }));
        assert_eq!(new(5, 6), Ok(()));
    }

    #[test]
    fn a_pause_ends_when_nothing_is_in_flight_or_nothing_moves() {
        let flight = |settled| Flight { handed: 4, settled };
        let mut hold = Hold::begin(settings(), Zone::Red, 300, ms(0), flight(1));
        assert_eq!(hold.left(Zone::Red, ms(900), flight(1)), Some(ms(100)));
        assert_eq!(hold.left(Zone::Red, ms(950), flight(2)), Some(ms(1_000)));
        assert_eq!(hold.left(Zone::Red, ms(1_949), flight(2)), Some(ms(1)));
        assert_eq!(hold.left(Zone::Red, ms(1_950), flight(2)), None);
        assert_eq!(hold.left(Zone::Red, ms(10), flight(4)), None);
        assert_eq!(hold.left(Zone::Green, ms(10), flight(3)), None);
    }

    #[test]
    fn a_throttle_waits_no_longer_than_there_is_something_in_flight() {
        let flight = |settled| Flight { handed: 4, settled };
        let mut hold = Hold::begin(settings(), Zone::Yellow, 150, ms(0), flight(1));
        assert_eq!(hold.left(Zone::Yellow, ms(50), flight(3)), Some(ms(200)));
        assert_eq!(hold.left(Zone::Yellow, ms(250), flight(3)), None);
        assert_eq!(hold.left(Zone::Yellow, ms(60), flight(4)), None);
    }

    proptest! {
        #[test]
        fn zones_follow_the_lag_with_hysteresis(warn in 1_u64..1_000, band in 1_u64..1_000,
            lags in prop::collection::vec(0_u64..3_000, 1..200)) {
            let settings = Settings::new(warn, warn + band, ms(500), ms(1)).unwrap();
            let mut zone = Zone::Green;
            for lag in lags {
                let next = settings.next(zone, lag);
                prop_assert_eq!(next == Zone::Green, lag < warn);
                prop_assert!(lag < warn + band || next == Zone::Red);
                prop_assert!(zone != Zone::Red || next != Zone::Yellow, "red let go into yellow");
                prop_assert!(next != Zone::Red || zone == Zone::Red || lag >= warn + band);
                zone = next;
            }
        }

        #[test]
        fn a_throttle_is_bounded_and_grows_with_the_lag(warn in 1_u64..u64::MAX / 2, band in 1_u64..u64::MAX / 2,
            low in any::<u64>(), high in any::<u64>()) {
            let settings = Settings::new(warn, warn + band, ms(500), ms(1)).unwrap();
            let (low, high) = (low.min(high), low.max(high));
            for zone in ZONES {
                prop_assert!(settings.throttle(zone, high) <= ms(500));
                prop_assert!(settings.throttle(zone, low) <= settings.throttle(zone, high));
            }
        }

        /// Whatever sinks do, reading goes on: a hold lasts at most one patience for every batch that is settled
        /// meanwhile, and one more.
        #[test]
        fn no_hold_is_for_ever(open in 1_u64..20, zone in 1_usize..3, settle_at in prop::collection::vec(0_u64..30_000, 0..20)) {
            let zone = ZONES[zone];
            let mut hold = Hold::begin(settings(), zone, 150, ms(0), Flight { handed: open, settled: 0 });
            let (mut now, mut waits) = (ms(0), 0);
            loop {
                let settled = settle_at.iter().filter(|at| ms(**at) <= now).count() as u64;
                let Some(left) = hold.left(zone, now, Flight { handed: open, settled: settled.min(open) }) else { break };
                prop_assert!(left <= ms(1_000));
                now += left;
                waits += 1;
                prop_assert!(waits <= open + 1, "still waiting after {waits} waits");
            }
            prop_assert!(now <= ms(1_000) * (open as u32 + 1));
        }
    }
}
