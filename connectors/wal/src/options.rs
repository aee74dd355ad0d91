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
    /// Events for what changes in a table's shape: columns, types, key, name. What changes while pgcdc is not connected is not seen.
    #[config(default = false, flag = "schema-events")]
    schema_events: bool,
    /// Fill in values that an update did not touch and the server did not send, from memory.
    #[config(default = false, flag = "toast-cache")]
    toast_cache: bool,
    /// How many rows the toast cache remembers.
    #[config(default = 100000, min = 1, flag = "toast-cache-max-entries")]
    toast_cache_max_entries: u64,
    /// How much the toast cache remembers.
    #[config(default = "64MiB", flag = "toast-cache-max-bytes")]
    toast_cache_max_bytes: ByteSize,
    /// Changes of any origin, or none that were replicated from another server: so two that copy to each other do not echo.
    #[config(default = "any", flag = "origin")]
    origin: Origin,
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
    #[config(default = "4MiB")]
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
    /// Large transactions are received while they are in progress, if the server can (14 or later), and kept until they
    /// commit. `off`: the server keeps them, and sends them whole.
    #[config(default = "auto")]
    streaming: Streaming,
    /// How much of them may be on the disk, under the state directory. The source stops at more.
    #[config(default = "64GiB")]
    spill_max: ByteSize,
    /// Standbys keep a copy of the slot, so that it survives a failover (server 17 or later).
    #[config(default = false, flag = "failover")]
    failover: bool,
    /// How often a sign of life is written to the database; 0 never.
    #[config(default = "30s", flag = "heartbeat-interval")]
    heartbeat_interval: Duration,
    /// By what: a logical message, or a table; if not set, a table if `heartbeat_table` is.
    heartbeat: Option<Heartbeat>,
    /// The table whose one row is updated; made if it is not there.
    #[config(flag = "heartbeat-table")]
    heartbeat_table: Option<String>,
    /// Deliver the signs of life, too.
    #[config(default = false)]
    heartbeat_events: bool,
}

#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
enum Heartbeat {
    Message,
    Table,
}

#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
enum Values {
    Typed,
    Text,
}

#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
enum Streaming {
    Auto,
    Off,
}

#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
enum Origin {
    Any,
    None,
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
        let (db, rest) = Endpoint::and_the_rest(value, "db", place)?;
        Ok(Self { db, rest })
    }
}
