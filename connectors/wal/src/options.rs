//! What an operator may say, and what of it the host is told.

use std::time::Duration;

use pgcdc_sdk::config::{Json, Place, Schema, Value};
use pgcdc_sdk::{ByteSize, Config, Endpoint, Result};

/// The schema, for the most part: the host reads the options itself.
#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
struct Settings {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres", flag = "db")]
    db: Endpoint,
    /// The publication to read. It must exist unless `all_tables` makes it.
    #[config(flag = "publication")]
    publication: Option<String>,
    /// Make a publication of all tables if it is not there.
    #[config(default = false, flag = "all-tables")]
    all_tables: bool,
    /// Keep a replication slot on the server, so that nothing is missed between two runs.
    #[config(default = false, flag = "persistent-slot")]
    persistent_slot: bool,
    /// The name of the slot; `pgcdc_<publication>` if not set.
    #[config(flag = "slot-name")]
    slot_name: Option<String>,
    /// Where to start if nothing is stored: an LSN such as 0/16B3748, not before what the slot has confirmed.
    start_lsn: Option<String>,
    /// Only tables like these: `schema.table`, `*` for any part.
    #[config(default = [])]
    include: Vec<String>,
    /// No tables like these.
    #[config(default = [])]
    exclude: Vec<String>,
    /// Events show their transaction.
    #[config(default = false, flag = "tx-metadata")]
    tx_metadata: bool,
    /// Events for the begin and the end of a transaction; implies `tx_metadata`.
    #[config(default = false, flag = "tx-markers")]
    tx_markers: bool,
    /// Payloads show `schema` and `columns`.
    #[config(default = false, flag = "include-schema")]
    include_schema: bool,
    /// Events for what `pg_logical_emit_message` writes (server 14 or later).
    #[config(default = false)]
    messages: bool,
    /// Values as `row_to_json` prints them, or all as text.
    #[config(default = "typed")]
    values: Values,
    /// A larger event is read past and dead-lettered.
    #[config(default = "16MiB")]
    max_event_bytes: ByteSize,
    /// A server that is silent for so many milliseconds is asked, and given up after as long again.
    #[config(default = 30000, min = 1000)]
    receive_timeout_ms: u64,
    /// How much may be read ahead of the sinks.
    #[config(default = "8MiB")]
    read_ahead_bytes: ByteSize,
    /// A slot that is further behind is warned of.
    #[config(default = "100MiB", flag = "slot-lag-warn")]
    slot_lag_warn: ByteSize,
    /// Begin with the rows that the published tables hold already.
    #[config(default = false, flag = "snapshot-first")]
    snapshot_first: bool,
    /// How long a slot that another client reads is waited for; if not set, for as long as it takes.
    #[config(flag = "slot-wait")]
    slot_wait: Option<Duration>,
}

#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
enum Values {
    Typed,
    Text,
}

/// The endpoint, and everything else as JSON for the host.
#[derive(Debug)]
pub struct Options {
    pub(crate) db: Endpoint,
    pub(crate) rest: String,
}

impl Config for Options {}

impl Value for Options {
    const SCHEMA: &'static Schema = Settings::SCHEMA;

    fn decode(value: &Json, place: &Place<'_>) -> Result<Self> {
        let db = value.get("db").ok_or_else(|| place.inside("db").expected("a database"))?;
        let db = Endpoint::decode(db, &place.inside("db"))?;
        let mut rest = value.clone();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove("db");
        }
        Ok(Self { db, rest: rest.to_string() })
    }
}
