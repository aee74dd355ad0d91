//! What an operator can choose about a snapshot of its own. Pure.

use pgcdc_core::assembler::{EVENT_BYTES_MAX, EVENT_BYTES_MIN};
use pgcdc_core::error::Kind;
use pgcdc_core::snapshot::name::TableName;
use serde::Deserialize;

use crate::postgres::Error;
use crate::wal::Values;

/// The keys of the `snapshot` detector's config but for the endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// `table` or `schema.table`.
    pub(crate) tables: Vec<String>,
    /// SQL; only rows for which it is true, of every table.
    #[serde(rename = "where")]
    pub(crate) filter: Option<String>,
    /// Rows of a batch, at most.
    pub(crate) batch_size: usize,
    /// Payloads show `schema` and `columns`.
    pub(crate) include_schema: bool,
    /// In which form values are shown.
    pub(crate) values: Values,
    /// A larger row is refused and dead-lettered; bytes.
    pub(crate) max_event_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            filter: None,
            batch_size: 4_096,
            include_schema: false,
            values: Values::Typed,
            max_event_bytes: 16 << 20,
        }
    }
}

impl Options {
    /// The tables, each once.
    pub(crate) fn check(&self) -> Result<Vec<TableName>, Error> {
        let mut tables: Vec<TableName> = Vec::with_capacity(self.tables.len());
        for text in &self.tables {
            let table = text.parse().map_err(|error| bad(format!("`tables`: {error}")))?;
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        if tables.is_empty() {
            return Err(bad("a snapshot needs a table: name it under `tables`, or with --table"));
        }
        if !(EVENT_BYTES_MIN..=EVENT_BYTES_MAX).contains(&self.max_event_bytes) {
            return Err(bad(format!("`max_event_bytes` must be {EVENT_BYTES_MIN} to {EVENT_BYTES_MAX}")));
        }
        if !(1..=32_768).contains(&self.batch_size) {
            return Err(bad("`batch_size` must be 1 to 32768"));
        }
        Ok(tables)
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::unfit(Kind::Misconfigured, "bad_option", message, "correct the detector's config")
}
