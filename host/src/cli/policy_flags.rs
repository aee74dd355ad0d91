//! Flags for what the host does around each sink: `--webhook-retries`, `--webhook-rate-limit`, …
//! Every sink has the same, because the host owns them.

use crate::manifest::model::{Breaker, OnFull, Policy};
use crate::manifest::quantity;
use std::time::Duration;

/// One of the host's settings around a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFlag {
    /// Attempts after the first.
    Retries,
    /// For one attempt.
    Timeout,
    /// Events a second.
    RateLimit,
    /// Events at once.
    RateBurst,
    /// Failures in a row that open the breaker.
    BreakerFailures,
    /// How long it stays open.
    BreakerReset,
    /// What a full lane does.
    OnFull,
}

impl PolicyFlag {
    /// All of them, with the end of the flag's name, the kind of value, and help.
    pub(super) const ALL: [(PolicyFlag, &'static str, &'static str, &'static str); 7] = [
        (PolicyFlag::Retries, "retries", "N", "Attempts after the first"),
        (PolicyFlag::Timeout, "timeout", "DURATION", "For one attempt"),
        (PolicyFlag::RateLimit, "rate-limit", "N", "Events a second; 0 is no limit"),
        (PolicyFlag::RateBurst, "rate-burst", "N", "Events at once after a pause"),
        (
            PolicyFlag::BreakerFailures,
            "cb-failures",
            "N",
            "Failures in a row that open the circuit breaker; 0 never",
        ),
        (PolicyFlag::BreakerReset, "cb-reset", "DURATION", "How long the circuit breaker stays open"),
        (PolicyFlag::OnFull, "on-full", "WORD", "What a full lane does: block or drop"),
    ];

    /// Sets it. The error says what is wanted.
    pub(super) fn set(self, policy: &mut Policy, text: &str) -> Result<(), &'static str> {
        const COUNT: &str = "a whole number";
        const TIME: &str = "a duration of more than 0, such as 10s";
        let time = || quantity::duration(text).filter(|time| !time.is_zero()).ok_or(TIME);
        match self {
            PolicyFlag::Retries => policy.retries = Some(text.parse().map_err(|_| COUNT)?),
            PolicyFlag::Timeout => policy.timeout = Some(time()?),
            PolicyFlag::RateLimit => {
                let rate: f64 = text.parse().map_err(|_| "a number")?;
                if !rate.is_finite() || rate < 0.0 {
                    return Err("a number of 0 or more");
                }
                policy.rate_limit_per_second = (rate > 0.0).then_some(rate);
            }
            PolicyFlag::RateBurst => {
                let burst: u32 = text.parse().map_err(|_| COUNT)?;
                policy.rate_burst_events = (burst > 0).then_some(burst);
            }
            PolicyFlag::BreakerFailures => {
                let failures: u32 = text.parse().map_err(|_| COUNT)?;
                let reset = policy.breaker.map_or(RESET_DEFAULT, |breaker| breaker.reset);
                policy.breaker = (failures > 0).then_some(Breaker { failures, reset });
            }
            PolicyFlag::BreakerReset => {
                let reset = time()?;
                match &mut policy.breaker {
                    Some(breaker) => breaker.reset = reset,
                    None => return Err("the number of failures, too (…-cb-failures)"),
                }
            }
            PolicyFlag::OnFull => {
                let choices = [OnFull::Block, OnFull::Drop];
                let choice = choices.into_iter().find(|choice| choice.as_str() == text);
                policy.on_full = Some(choice.ok_or("block or drop")?);
            }
        }
        Ok(())
    }
}

const RESET_DEFAULT: Duration = Duration::from_secs(60);
