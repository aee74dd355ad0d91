//! What stands between a lane and its sink, as it is shown: breaker, nack window, and the component itself.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use pgcdc_core::breaker;
use serde_json::{Value, json};

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Running,
    /// It has ended, and the next one comes at once.
    Restarting,
    /// It keeps ending: the next one comes after a wait that grows.
    Quarantined,
}

impl Life {
    pub(crate) const ALL: [Life; 3] = [Life::Running, Life::Restarting, Life::Quarantined];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Life::Running => "running",
            Life::Restarting => "restarting",
            Life::Quarantined => "quarantined",
        }
    }
}

/// One sink's, written by its lane.
#[derive(Default)]
pub struct Guard {
    /// 0, 1, 2 as in the gauge; one more of each, so that 0 is no breaker.
    breaker: AtomicU8,
    paused: AtomicBool,
    life: AtomicU8,
    restarts: AtomicU64,
}

impl Guard {
    pub(crate) fn set_breaker(&self, state: Option<breaker::State>) {
        self.breaker.store(state.map_or(0, |state| state.number() + 1), Ordering::Relaxed);
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    fn breaker(&self) -> Option<&'static str> {
        let states = [breaker::State::Closed, breaker::State::Open, breaker::State::HalfOpen];
        let shown = self.breaker.load(Ordering::Relaxed).checked_sub(1)?;
        states.into_iter().find(|state| state.number() == shown).map(breaker::State::as_str)
    }

    pub(crate) fn life(&self) -> Life {
        let shown = self.life.load(Ordering::Relaxed);
        Life::ALL.into_iter().find(|life| *life as u8 == shown).unwrap_or(Life::Running)
    }

    /// As `/healthz` and `status` have it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "component": self.life().as_str(),
            "restarts": self.restarts.load(Ordering::Relaxed),
            "breaker": self.breaker(),
            "passed_by": self.paused.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_shown_in_words() {
        let guard = Guard::default();
        let of_nothing =
            json!({ "component": "running", "restarts": 0, "breaker": null, "passed_by": false });
        assert_eq!(guard.json(), of_nothing);
        guard.set_breaker(Some(breaker::State::HalfOpen));
        guard.set_life(Life::Quarantined);
        guard.set_paused(true);
        guard.restarted();
        let shown =
            json!({ "component": "quarantined", "restarts": 1, "breaker": "half-open", "passed_by": true });
        assert_eq!(guard.json(), shown);
    }
}
