//! What an operator can choose about how WAL becomes batches.

use super::pattern::TableFilter;
use crate::id::Origin;
use crate::lsn::Lsn;

/// The least that `max_event_bytes` may be.
pub const EVENT_BYTES_MIN: usize = 1 << 10;
/// The most that `max_event_bytes` may be: one such event still fits into a batch of its own.
pub const EVENT_BYTES_MAX: usize = 56 << 20;

/// In which form values are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    /// As `row_to_json` prints them.
    #[default]
    Typed,
    /// All as strings, in the server's text form.
    Text,
}

/// How much is remembered of values that may be stored out of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToastLimits {
    /// Rows.
    pub entries_max: usize,
    /// Keys, values and what it takes to find them, in bytes.
    pub bytes_max: usize,
}

/// How WAL becomes batches. None of it changes an event's key or id.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database, as it enters ids.
    pub origin: Origin,
    /// The name of the strand in the batches' headers.
    pub strand: String,
    /// The source as envelopes print it.
    pub source: &'static str,
    /// The first transaction that commits at this position or later begins a batch of its own.
    pub cut_at: Option<Lsn>,
    /// Payloads show `schema` and `columns`.
    pub include_schema: bool,
    /// Envelopes show `transaction`.
    pub tx_metadata: bool,
    /// BEGIN and COMMIT events; implies `tx_metadata`.
    pub tx_markers: bool,
    /// SCHEMA_CHANGE events.
    pub schema_events: bool,
    /// Fills in values that the server did not send, from memory.
    pub toast_cache: Option<ToastLimits>,
    /// Leaves out transactions that were replicated from another server.
    pub local_only: bool,
    /// In which form values are shown.
    pub values: Values,
    /// Logical messages with this prefix are not shown; empty shows all.
    pub quiet_prefix: String,
    /// Which tables' changes are wanted.
    pub tables: TableFilter,
    /// A change with more bytes in the stream is refused, in bytes.
    pub max_event_bytes: usize,
    /// A batch of so many bytes is full.
    pub batch_bytes: usize,
    /// A batch of so many events is full.
    pub batch_events: usize,
}

/// A setting that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}; it must be {min} to {max}")]
pub struct BadSetting {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub value: usize,
    /// The least possible.
    pub min: usize,
    /// The most possible.
    pub max: usize,
}

impl Settings {
    /// The defaults, for one database.
    #[must_use]
    pub fn new(origin: Origin) -> Settings {
        Settings {
            origin,
            strand: "wal".into(),
            source: "wal_replication",
            cut_at: None,
            include_schema: false,
            tx_metadata: false,
            tx_markers: false,
            schema_events: false,
            toast_cache: None,
            local_only: false,
            values: Values::Typed,
            quiet_prefix: String::new(),
            tables: TableFilter::default(),
            max_event_bytes: 16 << 20,
            batch_bytes: 1 << 20,
            batch_events: 4_096,
        }
    }

    /// Whether all limits are possible ones.
    pub fn check(&self) -> Result<(), BadSetting> {
        let limits = [
            ("max_event_bytes", self.max_event_bytes, EVENT_BYTES_MIN, EVENT_BYTES_MAX),
            ("batch_bytes", self.batch_bytes, 1, 16 << 20),
            ("batch_events", self.batch_events, 1, 32_768),
            ("the length of the strand's name", self.strand.len(), 1, 255),
        ];
        for (name, value, min, max) in limits {
            if !(min..=max).contains(&value) {
                return Err(BadSetting { name, value, min, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_work_are_named() {
        let mut settings = Settings::new(Origin { system_identifier: 1, database_oid: 1 });
        assert_eq!(settings.check(), Ok(()));
        settings.max_event_bytes = 57 << 20;
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "max_event_bytes is 59768832; it must be 1024 to 58720256");
    }
}
