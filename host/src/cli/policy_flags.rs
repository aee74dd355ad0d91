//! Flags for what the host does around each sink: `--webhook-retries`, `--webhook-on-full`, …
//! Every sink has the same, because the host owns them.

use crate::manifest::model::{Breaker, OnFull, Policy};
use crate::manifest::quantity;
use crate::manifest::read_sink::BREAKER_RESET_DEFAULT;

/// One of the host's settings around a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFlag {
    /// Attempts after the first.
    Retries,
    /// For one attempt.
    Timeout,
    /// What a full lane does.
    OnFull,
    /// Bytes on the disk for a full lane.
    Overflow,
    /// Failures in a row that open the circuit breaker.
    BreakerFailures,
    /// How long it stays open.
    BreakerReset,
    /// Events a second.
    RateLimit,
    /// Events at once after a pause.
    RateBurst,
}

impl PolicyFlag {
    /// All of them, with the end of the flag's name, the kind of value, and help.
    pub(super) const ALL: [(PolicyFlag, &'static str, &'static str, &'static str); 8] = [
        (PolicyFlag::Retries, "retries", "N", "Attempts after the first"),
        (PolicyFlag::Timeout, "timeout", "DURATION", "For one attempt"),
        (PolicyFlag::OnFull, "on-full", "WORD", "What a full lane does: block, shed or fail"),
        (PolicyFlag::Overflow, "overflow", "SIZE", "Space on the disk for a full lane; 0 for none"),
        (
            PolicyFlag::BreakerFailures,
            "cb-failures",
            "N",
            "Failures in a row that open the circuit breaker; 0: none",
        ),
        (PolicyFlag::BreakerReset, "cb-reset", "DURATION", "How long the circuit breaker stays open"),
        (PolicyFlag::RateLimit, "rate-limit", "NUMBER", "Events a second; 0: as they come"),
        (PolicyFlag::RateBurst, "rate-burst", "N", "Events at once after a pause; 0: what a second brings"),
    ];

    /// Sets it. The error says what is wanted.
    pub(super) fn set(self, policy: &mut Policy, text: &str) -> Result<(), &'static str> {
        const COUNT: &str = "a whole number";
        const TIME: &str = "a duration of more than 0, such as 10s";
        let time = || quantity::duration(text).filter(|time| !time.is_zero()).ok_or(TIME);
        let count = || text.parse::<u32>().map_err(|_| COUNT);
        // One of the two flags may come without the other; no failures is no breaker.
        let breaker = policy.breaker.unwrap_or(Breaker { failures: 0, reset: BREAKER_RESET_DEFAULT });
        match self {
            PolicyFlag::BreakerFailures => policy.breaker = Some(Breaker { failures: count()?, ..breaker }),
            PolicyFlag::BreakerReset => policy.breaker = Some(Breaker { reset: time()?, ..breaker }),
            PolicyFlag::RateLimit => {
                let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
                policy.rate_limit_per_second =
                    Some(rate.ok_or("a number of events a second, 0 or more")?).filter(|rate| *rate > 0.0);
            }
            PolicyFlag::RateBurst => policy.rate_burst_events = Some(count()?).filter(|burst| *burst > 0),
            PolicyFlag::Retries => policy.retries = Some(text.parse().map_err(|_| COUNT)?),
            PolicyFlag::Timeout => policy.timeout = Some(time()?),
            PolicyFlag::OnFull => {
                policy.on_full = Some(OnFull::from_word(text).ok_or("block, shed or fail")?);
            }
            PolicyFlag::Overflow => {
                policy.overflow_bytes =
                    Some(quantity::bytes(text).ok_or("a size such as 1GiB, or 0 for none")?);
            }
        }
        Ok(())
    }
}
