//! What an operator may say, and what of it the host is told.

use pgcdc_sdk::config::{Json, Place, Schema, Value};
use pgcdc_sdk::{ByteSize, Config, Endpoint, Result};

/// The schema, for the most part: the host reads the options itself.
#[derive(Config)]
#[allow(dead_code, reason = "only the schema is used")]
struct Settings {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres", flag = "db")]
    db: Endpoint,
    /// The tables: `table` or `schema.table`, double quotes around what has a dot in it.
    #[config(flag = "table", min = 1)]
    tables: Vec<String>,
    /// Only rows for which this SQL is true; it holds for every table, and is trusted.
    #[config(name = "where", flag = "where")]
    filter: Option<String>,
    /// So many rows a batch at most.
    #[config(default = 4096, min = 1, max = 32768, flag = "batch-size")]
    batch_size: u32,
    /// Payloads show `schema` and `columns`.
    #[config(default = false, flag = "include-schema")]
    include_schema: bool,
    /// Values as `row_to_json` prints them, or all as text.
    #[config(default = "typed")]
    values: Values,
    /// A larger row is read past and dead-lettered.
    #[config(default = "16MiB")]
    max_event_bytes: ByteSize,
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
        let (db, rest) = Endpoint::and_the_rest(value, "db", place)?;
        Ok(Self { db, rest })
    }
}
