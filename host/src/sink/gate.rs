//! What a delivery passes on its way out: nack window, breaker, rate limit, and the size that attempts have time for.
//! Pure: times are durations since the lane began.
//!
//! Invariants. Asking changes nothing that counts; only what has started, and what came of it, does. Every attempt counts, the
//! first like the others: to the other side they are the same.

use std::time::Duration;

use pgcdc_core::breaker::{self, Breaker};
use pgcdc_core::bucket::Bucket;
use pgcdc_core::nack::{self, Window};

use super::policy::Policy;

/// May the next events be delivered?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// At most so many of them.
    Go { events_max: u32 },
    /// Not before this time.
    Until(Duration),
    /// Not before what is under way has come back.
    AfterAnswers,
    /// They are to be dead-lettered instead.
    Skip,
}

/// What came of a delivery, in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) durable: u32,
    /// Dead letters, whatever for.
    pub(super) dead: u32,
    pub(super) said: Said,
}

/// What a delivery says about the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Said {
    /// It works: something was durable, or was looked at and refused.
    Works,
    /// It does not: nothing got through.
    Fails,
    /// Nothing: it was not asked.
    #[default]
    Nothing,
}

/// What a delivery has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) opened: bool,
    pub(super) closed: bool,
    pub(super) exceeded: bool,
    pub(super) resumed: bool,
}

pub(super) struct Gate {
    window: Option<Window>,
    breaker: Option<Breaker>,
    bucket: Option<Bucket>,
    /// Events that one attempt has time for, as far as is known.
    piece_max: u32,
    /// Since when the next events wait for tokens.
    waiting_since: Option<Duration>,
}

impl Gate {
    pub(super) fn new() -> Gate {
        Gate { window: None, breaker: None, bucket: None, piece_max: u32::MAX, waiting_since: None }
    }

    /// Other settings; what is there keeps its state.
    pub(super) fn tune(&mut self, policy: &Policy, now: Duration) {
        tune(&mut self.window, policy.window, Window::new, Window::tune);
        tune(&mut self.breaker, policy.breaker, Breaker::new, Breaker::tune);
        let of = |settings| Bucket::new(settings, now);
        tune(&mut self.bucket, policy.rate, of, |bucket, settings| bucket.tune(settings, now));
        if policy.timeout.is_none() {
            self.piece_max = u32::MAX;
        }
        if policy.rate.is_none() {
            self.waiting_since = None;
        }
    }

    /// May so many events be delivered now? `alone`: nothing else is under way.
    pub(super) fn may(&mut self, events: u32, alone: bool, now: Duration) -> May {
        let mut events_max = self.piece_max;
        match self.window.as_mut().map_or(nack::May::Go, |window| window.may(now)) {
            nack::May::Go => {}
            _ if !alone => return May::AfterAnswers,
            nack::May::Probe => events_max = 1,
            nack::May::Skip => return May::Skip,
        }
        match self.breaker.map_or(breaker::May::Go, |breaker| breaker.may(now)) {
            breaker::May::Go => {}
            breaker::May::Until(at) => return May::Until(at),
            breaker::May::Probe if alone => events_max = 1,
            breaker::May::Probe | breaker::May::AfterProbe => return May::AfterAnswers,
        }
        if let Some(bucket) = &mut self.bucket {
            events_max = events_max.min(bucket.burst());
            let wait = bucket.wait(events.min(events_max), now);
            if !wait.is_zero() {
                self.waiting_since.get_or_insert(now);
                return May::Until(now + wait);
            }
        }
        May::Go { events_max }
    }

    /// So many events go. How long they have waited for tokens.
    pub(super) fn started(&mut self, events: u32, now: Duration) -> Duration {
        if let Some(breaker) = &mut self.breaker {
            breaker.started();
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take(events, now);
        }
        self.waiting_since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// May what is held be flushed, which delivers it? It is the probe, if one is due.
    pub(super) fn may_flush(&self, now: Duration) -> Result<(), Duration> {
        match self.breaker.map_or(breaker::May::Go, |breaker| breaker.may(now)) {
            breaker::May::Until(at) => Err(at),
            _ => Ok(()),
        }
    }

    /// What is held is being flushed.
    pub(super) fn flushing(&mut self) {
        if let Some(breaker) = &mut self.breaker {
            breaker.started();
        }
    }

    /// A delivery has come back.
    pub(super) fn came(&mut self, came: Came, now: Duration) -> Changed {
        let mut changed = Changed::default();
        if let Some(breaker) = &mut self.breaker {
            match came.said {
                Said::Fails => changed.opened = breaker.failed(now),
                Said::Works => changed.closed = breaker.delivered(),
                Said::Nothing => {}
            }
        }
        if let Some(window) = &mut self.window {
            let was = window.is_exceeded();
            changed.exceeded = window.record(came.durable, came.dead, now);
            changed.resumed = was && !window.is_exceeded();
        }
        changed
    }

    /// An attempt with so many events ran out of time: the next have half as many.
    pub(super) fn too_slow(&mut self, events: u32) {
        self.piece_max = (events / 2).max(1);
    }

    /// An attempt with so many events was in time: the next may have more.
    pub(super) fn in_time(&mut self, events: u32) {
        if events >= self.piece_max {
            self.piece_max = self.piece_max.saturating_mul(2);
        }
    }

    /// The instance has ended: a probe has come to nothing.
    pub(super) fn probe_lost(&mut self) {
        if let Some(breaker) = &mut self.breaker {
            breaker.probe_lost();
        }
    }

    pub(super) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    pub(super) fn passes_by(&self) -> Option<bool> {
        self.window.as_ref().map(Window::is_exceeded)
    }
}

fn tune<T, S>(
    part: &mut Option<T>,
    settings: Option<S>,
    new: impl FnOnce(S) -> T,
    tune: impl FnOnce(&mut T, S),
) {
    match (part.as_mut(), settings) {
        (_, None) => *part = None,
        (None, Some(settings)) => *part = Some(new(settings)),
        (Some(part), Some(settings)) => tune(part, settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(breaker: Option<(u32, u64)>, rate: Option<(f64, u32)>, window: Option<(u32, u32)>) -> Policy {
        let manifest = model::Policy {
            rate_limit_per_second: rate.map(|(rate, _)| rate),
            rate_burst_events: rate.map(|(_, burst)| burst),
            breaker: breaker
                .map(|(failures, reset_s)| model::Breaker { failures, reset: Duration::from_secs(reset_s) }),
            ..model::Policy::default()
        };
        Policy::of(&manifest, window.map(|(size, threshold)| nack::Settings { size, threshold }))
    }

    fn gate(policy: &Policy) -> Gate {
        let mut gate = Gate::new();
        gate.tune(policy, Duration::ZERO);
        gate
    }

    const FAILED: Came = Came { durable: 0, dead: 0, said: Said::Fails };
    const ALL: May = May::Go { events_max: u32::MAX };

    #[test]
    fn nothing_is_in_the_way_unless_asked_for() {
        let mut gate = gate(&policy(None, None, None));
        assert_eq!(gate.may(4_096, false, SECOND), ALL);
        for _ in 0..1_000 {
            assert_eq!(gate.came(FAILED, SECOND), Changed::default());
        }
        assert_eq!(gate.may(4_096, false, SECOND), ALL);
    }

    #[test]
    fn a_probe_is_one_event_alone() {
        let mut gate = gate(&policy(Some((1, 10)), None, None));
        assert!(gate.came(FAILED, SECOND).opened);
        assert_eq!(gate.may(9, true, SECOND), May::Until(11 * SECOND));
        assert_eq!(gate.may_flush(SECOND), Err(11 * SECOND));
        assert_eq!(gate.may(9, false, 11 * SECOND), May::AfterAnswers);
        assert_eq!(gate.may(9, true, 11 * SECOND), May::Go { events_max: 1 });
        gate.started(1, 11 * SECOND);
        assert_eq!(gate.may(9, false, 11 * SECOND), May::AfterAnswers);
        gate.probe_lost();
        assert_eq!(gate.may(9, true, 11 * SECOND), May::Go { events_max: 1 });
        gate.started(1, 11 * SECOND);
        assert!(
            gate.came(Came { durable: 0, dead: 1, said: Said::Works }, 12 * SECOND).closed,
            "refused is an answer"
        );
        assert_eq!(gate.may(9, true, 12 * SECOND), ALL);
    }

    #[test]
    fn a_breaker_that_waits_for_a_token_is_not_stuck() {
        let mut gate = gate(&policy(Some((1, 10)), Some((1.0, 1)), None));
        gate.started(1, Duration::ZERO);
        gate.came(FAILED, Duration::ZERO);
        gate.started(1, 10 * SECOND);
        gate.came(FAILED, 10 * SECOND);
        gate.started(1, 20 * SECOND);
        gate.probe_lost();
        assert_eq!(gate.may(1, true, 20 * SECOND), May::Until(21 * SECOND));
        assert_eq!(gate.may(1, true, 21 * SECOND), May::Go { events_max: 1 });
        assert_eq!(gate.started(1, 21 * SECOND), SECOND);
    }

    #[test]
    fn new_settings_keep_what_is_known() {
        let mut gate = gate(&policy(Some((1, 10)), Some((10.0, 10)), Some((4, 2))));
        gate.came(FAILED, SECOND);
        gate.came(Came { durable: 0, dead: 2, said: Said::Fails }, SECOND);
        gate.tune(&policy(Some((5, 3)), Some((1.0, 10)), Some((4, 1))), SECOND);
        assert_eq!(gate.passes_by(), Some(true));
        assert_eq!(gate.breaker().map(Breaker::state), Some(breaker::State::Open));
        assert_eq!(gate.may_flush(SECOND), Err(4 * SECOND));
        gate.tune(&policy(None, None, None), SECOND);
        assert_eq!(gate.may(9, true, SECOND), ALL);
    }

    #[test]
    fn attempts_that_are_too_slow_become_smaller_and_grow_again() {
        let mut gate = gate(&policy(None, None, None));
        gate.too_slow(100);
        assert_eq!(gate.may(100, true, SECOND), May::Go { events_max: 50 });
        gate.too_slow(1);
        assert_eq!(gate.may(100, true, SECOND), May::Go { events_max: 1 });
        gate.in_time(1);
        gate.in_time(1);
        assert_eq!(gate.may(100, true, SECOND), May::Go { events_max: 2 });
    }
}
