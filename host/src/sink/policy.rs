//! What the operator wants around a sink, in the host's own terms. A reload brings another one.

use std::time::Duration;

use pgcdc_core::{backoff, breaker, bucket, nack};

use crate::manifest::model;

/// What the operator wants around a sink.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Attempts after the first; none is without end.
    pub(crate) retries: Option<u32>,
    pub(crate) backoff: backoff::Settings,
    /// For one attempt; none is the component's own limit, after which the component is at fault.
    pub(crate) timeout: Option<Duration>,
    pub(crate) breaker: Option<breaker::Settings>,
    pub(crate) rate: Option<bucket::Settings>,
    pub(crate) window: Option<nack::Settings>,
}

impl Policy {
    /// As the manifest has it, with the nack window of its `dlq`.
    pub(crate) fn of(policy: &model::Policy, window: Option<nack::Settings>) -> Policy {
        let base = policy.backoff.base.unwrap_or(Duration::from_secs(1));
        let cap = policy.backoff.cap.unwrap_or(Duration::from_secs(32)).max(base);
        let rate = policy.rate_limit_per_second.filter(|rate| *rate > 0.0);
        let breaker = policy.breaker.filter(|breaker| breaker.failures > 0);
        Policy {
            retries: policy.retries,
            backoff: crate::backoff_settings(base, cap),
            timeout: policy.timeout,
            breaker: breaker
                .map(|breaker| breaker::Settings { failures: breaker.failures, reset: breaker.reset }),
            rate: rate.map(|rate_per_s| bucket::Settings { rate_per_s, burst: policy.rate_burst_events }),
            window,
        }
    }
}
