//! What an operator may say.

use std::time::Duration;

use pgcdc_sdk::{Config, Endpoint};

/// Which table, and how it is read.
#[derive(Debug, Config)]
pub struct Options {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres", flag = "db")]
    pub(crate) db: Endpoint,
    /// The table, or schema.table; `pgcdc init --adapter outbox` prints it.
    #[config(default = "pgcdc_outbox", min = 1, max = 127)]
    pub(crate) table: String,
    /// How long to wait before looking again, once there was nothing more.
    #[config(default = "500ms")]
    pub(crate) poll_interval: Duration,
    /// The most rows that are read at once.
    #[config(default = 100, min = 1, max = 10000)]
    pub(crate) batch_size: u32,
    /// Keep a row that was delivered, and write the time into it, instead of deleting it.
    #[config(default = false)]
    pub(crate) keep_processed: bool,
    /// Into how many parts keys are hashed. Each part has one reader, and several pgcdc may have different ones; it is to
    /// be the same number for all of them.
    #[config(default = 1, min = 1, max = 256)]
    pub(crate) partitions: u32,
    /// How many parts this pgcdc takes at most, so that others have some; all that are free if absent.
    #[config(min = 1, max = 256)]
    pub(crate) partitions_max: Option<u32>,
    /// What comes before the value of the channel's column.
    #[config(default = "", max = 255)]
    pub(crate) channel_prefix: String,
    /// What the columns are called, where it is not what `pgcdc init` makes.
    #[config(default = {})]
    pub(crate) columns: Columns,
}

/// Names of columns.
#[derive(Debug, Config)]
pub struct Columns {
    /// What identifies a row, and its event: a UUID, or anything unique.
    #[config(default = "id", min = 1, max = 63)]
    pub(crate) id: String,
    /// Where the event goes; `aggregatetype` with Debezium.
    #[config(default = "channel", min = 1, max = 63)]
    pub(crate) channel: String,
    /// What happened; `type` with Debezium.
    #[config(default = "operation", min = 1, max = 63)]
    pub(crate) operation: String,
    /// The payload, JSON or text.
    #[config(default = "payload", min = 1, max = 63)]
    pub(crate) payload: String,
    /// Rows with the same value stay in order; `aggregateid` with Debezium. A table need not have it.
    #[config(default = "key", min = 1, max = 63)]
    pub(crate) key: String,
    /// A number that ascends as rows are inserted, which is the order of delivery. Without it that is the time, then the id.
    #[config(default = "seq", min = 1, max = 63)]
    pub(crate) seq: String,
    /// When the row was made. A table need not have it.
    #[config(default = "created_at", min = 1, max = 63)]
    pub(crate) created_at: String,
    /// When the row was delivered; what has a time there is not read. Only `keep_processed` needs it.
    #[config(default = "processed_at", min = 1, max = 63)]
    pub(crate) processed_at: String,
}
