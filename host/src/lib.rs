//! pgcdc, the native host: a small process that owns what must be fast or must never be wrong, and runs
//! every connector as a sandboxed component. host/README.md is the map of the rooms.

mod ack;
pub mod admin;
mod batch;
mod bus;
pub mod certify;
pub mod cli;
pub mod component;
mod console;
mod dlq;
mod egress;
mod fault;
mod files;
pub mod manifest;
pub mod pipeline;
pub mod postgres;
mod sink;
mod snapshot;
mod source;
mod store;
mod transform;
pub mod wal;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A random number, good enough to spread waits.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(now_us())
}

/// A random number that no two calls of any process share.
pub(crate) fn random_wide() -> u128 {
    let [high, low] = [(); 2].map(|()| RandomState::new().hash_one(std::process::id()));
    u128::from(high) << 64 | u128::from(low)
}

/// Now, microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Now, as RFC 3339 in UTC.
pub(crate) fn now_rfc3339() -> String {
    let mut text = Vec::with_capacity(32);
    pgcdc_layout::json::write_time(&mut text, now_us());
    String::from_utf8(text).unwrap_or_default()
}

/// Full-jitter waits between these bounds, small again after a healthy minute.
pub(crate) fn backoff_settings(base: Duration, cap: Duration) -> pgcdc_core::backoff::Settings {
    pgcdc_core::backoff::Settings { base, cap, healthy_after: Duration::from_secs(60) }
}
