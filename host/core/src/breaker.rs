//! A circuit breaker: leaves the other side alone once nothing gets through.
//!
//! ```text
//!          `failures` in a row            `reset` since the last failure
//! closed ─────────────────────► open ◄──────────────────────────────► half-open
//!    ▲                                     the probe has failed           │
//!    └────────────────────────────────────────────────────────────────────┘
//!                           the probe was delivered
//! ```
//!
//! Invariants. While it is open nothing starts. While it is half-open exactly one delivery, the probe, is under way.
//! Deliveries that were under way when it opened neither close it nor make it wait less: only the probe closes it.

use std::time::Duration;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failed deliveries in a row that open it; 1 or more.
    pub failures: u32,
    /// From the last failure to the probe.
    pub reset: Duration,
}

/// As it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Deliveries go.
    Closed,
    /// None goes.
    Open,
    /// One goes, to see.
    HalfOpen,
}

impl State {
    /// 0, 1, 2: for a gauge.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            State::Closed => 0,
            State::Open => 1,
            State::HalfOpen => 2,
        }
    }

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half-open",
        }
    }
}

/// May a delivery start?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Yes.
    Go,
    /// Yes, as the one probe: as little as can be.
    Probe,
    /// Not before this time.
    Until(Duration),
    /// Not before the probe has come back.
    AfterProbe,
}

/// See the file's head. Times are durations since any fixed moment.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    failures: u32,
    last_failure: Duration,
}

impl Breaker {
    /// Closed.
    #[must_use]
    pub fn new(settings: Settings) -> Breaker {
        Breaker { settings, state: State::Closed, failures: 0, last_failure: Duration::ZERO }
    }

    /// Other settings, the same state: what is open stays so, for the new time.
    pub fn tune(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Whether a delivery may start now. Changes nothing: say [`Breaker::started`] when it does.
    #[must_use]
    pub fn may(&self, now: Duration) -> May {
        match self.state {
            State::Closed => May::Go,
            State::HalfOpen => May::AfterProbe,
            State::Open => match self.last_failure.saturating_add(self.settings.reset) {
                at if at > now => May::Until(at),
                _ => May::Probe,
            },
        }
    }

    /// A delivery has started that [`Breaker::may`] let go.
    pub fn started(&mut self) {
        if self.state == State::Open {
            self.state = State::HalfOpen;
        }
    }

    /// Something got through. Whether that has closed it.
    pub fn delivered(&mut self) -> bool {
        match self.state {
            State::Open => false,
            was => {
                (self.state, self.failures) = (State::Closed, 0);
                was == State::HalfOpen
            }
        }
    }

    /// Nothing got through. Whether that has opened it.
    pub fn failed(&mut self, now: Duration) -> bool {
        self.last_failure = self.last_failure.max(now);
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            State::Closed => self.failures >= self.settings.failures.max(1),
            State::HalfOpen => true,
            State::Open => false,
        };
        if opens {
            self.state = State::Open;
        }
        opens
    }

    /// The probe came to nothing that says how the other side is; the next one may go at once.
    pub fn probe_lost(&mut self) {
        if self.state == State::HalfOpen {
            self.state = State::Open;
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(Settings { failures, reset: 10 * SECOND })
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        let mut breaker = breaker(3);
        assert!(!breaker.failed(SECOND) && !breaker.failed(SECOND));
        breaker.delivered();
        assert!(!breaker.failed(SECOND) && !breaker.failed(SECOND) && breaker.failed(SECOND));
        assert_eq!((breaker.state(), breaker.failures()), (State::Open, 3));
    }

    #[test]
    fn states_have_a_number_and_a_word_each() {
        let states = [State::Closed, State::Open, State::HalfOpen];
        assert_eq!(states.map(State::number), [0, 1, 2]);
        assert_eq!(states.map(State::as_str), ["closed", "open", "half-open"]);
    }

    #[test]
    fn one_probe_after_the_last_failure_decides() {
        let mut breaker = breaker(1);
        assert!(breaker.failed(SECOND));
        assert!(!breaker.failed(5 * SECOND), "what was under way only moves the time");
        assert_eq!(breaker.may(14 * SECOND), May::Until(15 * SECOND));
        assert_eq!(breaker.may(15 * SECOND), May::Probe);
        breaker.started();
        assert_eq!(breaker.may(99 * SECOND), May::AfterProbe);
        assert!(breaker.failed(16 * SECOND));
        assert_eq!(breaker.may(25 * SECOND), May::Until(26 * SECOND));
        breaker.started();
        assert!(breaker.delivered());
        assert_eq!((breaker.may(SECOND), breaker.failures()), (May::Go, 0));
    }

    #[test]
    fn a_success_that_was_under_way_does_not_close_it() {
        let mut breaker = breaker(1);
        breaker.failed(SECOND);
        assert!(!breaker.delivered());
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn a_new_time_counts_from_the_last_failure() {
        let mut breaker = breaker(1);
        breaker.failed(SECOND);
        breaker.tune(Settings { failures: 9, reset: 2 * SECOND });
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.may(2 * SECOND), May::Until(3 * SECOND));
        assert_eq!(breaker.may(3 * SECOND), May::Probe);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Passes(u64),
        Starts,
        Delivers,
        Fails,
        Loses,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1_u64..20).prop_map(Step::Passes),
            Just(Step::Starts),
            Just(Step::Delivers),
            Just(Step::Fails),
            Just(Step::Loses),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against what the head of the file says, kept in the plainest form: a list of what happened.
        #[test]
        fn whatever_happens_it_keeps_its_word(steps in steps(), failures in 1_u32..5) {
            let mut breaker = breaker(failures);
            let (mut now, mut in_flight, mut row, mut last_failure) = (SECOND, 0_u32, 0_u32, SECOND);
            for step in steps {
                let before = breaker.state();
                match step {
                    Step::Passes(seconds) => now += Duration::from_secs(seconds),
                    Step::Starts => match breaker.may(now) {
                        May::Go => {
                            prop_assert_eq!(before, State::Closed);
                            breaker.started();
                            in_flight += 1;
                        }
                        May::Probe => {
                            prop_assert!(now >= last_failure + 10 * SECOND);
                            // The lane probes with nothing else under way.
                            in_flight = 1;
                            breaker.started();
                            prop_assert_eq!(breaker.may(now), May::AfterProbe);
                        }
                        May::Until(at) => prop_assert_eq!(at, last_failure + 10 * SECOND),
                        May::AfterProbe => prop_assert_eq!(before, State::HalfOpen),
                    },
                    Step::Delivers if in_flight > 0 => {
                        in_flight -= 1;
                        let closed = breaker.delivered();
                        prop_assert_eq!(closed, before == State::HalfOpen);
                        if before != State::Open { row = 0 }
                    }
                    Step::Fails if in_flight > 0 => {
                        in_flight -= 1;
                        (row, last_failure) = (row + 1, now);
                        let opened = breaker.failed(now);
                        let opens = before == State::HalfOpen || before == State::Closed && row >= failures;
                        prop_assert_eq!(opened, opens);
                        if before == State::Open { prop_assert_eq!(breaker.state(), State::Open) }
                    }
                    Step::Loses if before == State::HalfOpen => {
                        in_flight = 0;
                        breaker.probe_lost();
                        prop_assert_eq!(breaker.state(), State::Open);
                    }
                    _ => {}
                }
            }
        }
    }
}
