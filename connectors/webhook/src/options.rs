//! What an operator may say.

use std::collections::BTreeMap;
use std::time::Duration;

use pgcdc_sdk::{ByteSize, Config, Endpoint, Secret};

/// Where to, and how.
#[derive(Debug, Config)]
pub struct Options {
    /// Where events are posted.
    #[config(endpoint = "http", flag = "url", short = "u")]
    pub(crate) url: Endpoint,
    /// Headers for every request; they may replace those that pgcdc sets.
    #[config(default = {})]
    pub(crate) headers: BTreeMap<String, String>,
    /// Signs every body: `X-PGCDC-Signature: sha256=` and the HMAC in hex.
    #[config(flag = "signing-key")]
    pub(crate) signing_key: Option<Secret>,
    /// For one request, from the first byte to the last.
    #[config(default = "10s")]
    pub(crate) timeout: Duration,
    /// How many requests may be under way at once.
    #[config(default = 16, min = 1, max = 256)]
    pub(crate) in_flight: u32,
    /// One event a request (`none`), or many as a `json_array` or as `ndjson`.
    #[config(default = "none")]
    pub(crate) batch: Batching,
    /// The most events in one request of many.
    #[config(default = 4096, min = 1, max = 65536)]
    pub(crate) batch_events_max: u32,
    /// The largest body of one request of many; a larger event has a request of its own.
    #[config(default = "4MiB")]
    pub(crate) batch_bytes_max: ByteSize,
}

/// How many events a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Batching {
    /// One.
    None,
    /// Many, as a JSON array of envelopes.
    JsonArray,
    /// Many, one envelope a line.
    Ndjson,
}
