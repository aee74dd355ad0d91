//! What an operator can choose about reading the WAL. Pure.

use std::time::Duration;

use pgcdc_core::assembler::{EVENT_BYTES_MAX, EVENT_BYTES_MIN, TableFilter, TablePattern, ToastLimits};
use pgcdc_core::error::Kind;
use pgcdc_core::lsn::Lsn;
use serde::Deserialize;

use super::heartbeat;
use super::publication;
use super::spill::{Spill, SpillPlace};
use crate::manifest::quantity;
use crate::postgres::Error;

const NAME_BYTES_MAX: usize = 63;

/// The keys of the `wal` detector's config but for the endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The publication to read; may be left out with `all_tables`.
    pub publication: Option<String>,
    /// Make the publication, of all tables, if it is missing.
    pub all_tables: bool,
    /// Keep the slot, and with it the place in the WAL, over restarts.
    pub persistent_slot: bool,
    /// Name of the kept slot; default `pgcdc_<publication>`.
    pub slot_name: Option<String>,
    /// Where to start when nothing is stored, e.g. `16/B374D848`; not before what the slot has confirmed.
    pub start_lsn: Option<String>,
    /// Only tables that match one of these; none means all.
    pub include: Vec<String>,
    /// No table that matches one of these.
    pub exclude: Vec<String>,
    /// Envelopes show `transaction`.
    pub tx_metadata: bool,
    /// BEGIN and COMMIT events; implies `tx_metadata`.
    pub tx_markers: bool,
    /// Payloads show `schema` and `columns`.
    pub include_schema: bool,
    /// SCHEMA_CHANGE events.
    pub schema_events: bool,
    /// Fill in values that the server did not send, from memory.
    pub toast_cache: bool,
    /// How many rows `toast_cache` remembers.
    pub toast_cache_max_entries: usize,
    /// How much `toast_cache` remembers; bytes.
    pub toast_cache_max_bytes: usize,
    /// `any`; or `none`: nothing that was replicated from another server.
    pub origin: Origin,
    /// Deliver what `pg_logical_emit_message` writes (server 14 or later).
    pub messages: bool,
    /// `typed`: as `row_to_json` prints values; `text`: all of them strings, in the server's form.
    pub values: Values,
    /// A larger change is refused and dead-lettered; bytes.
    pub max_event_bytes: usize,
    /// A server that is silent for so long is asked, and given up after as long again; milliseconds.
    pub receive_timeout_ms: u64,
    /// Batches that wait for the host; bytes. When as many wait, reading pauses.
    pub read_ahead_bytes: usize,
    /// A slot that is further behind is warned of; bytes.
    pub slot_lag_warn: u64,
    /// Hand out what the tables hold already, before their changes.
    pub snapshot_first: bool,
    /// How long a slot that another client reads is waited for, e.g. `30s`; for ever if absent.
    pub slot_wait: Option<String>,
    /// Whether large transactions are received while they are in progress (server 14 or later).
    pub streaming: Streaming,
    /// What transactions in progress may take on the disk together; bytes.
    pub spill_max: u64,
    /// Where they are kept; without a place they are not asked for. The host's to say.
    #[serde(skip)]
    pub spill: Option<SpillPlace>,
    /// Standbys keep a copy of the slot, so that it survives a failover (server 17 or later).
    pub failover: bool,
    /// How often a sign of life is written to the database, e.g. `30s`; `0`: never.
    pub heartbeat_interval: Option<String>,
    /// By what; a named table if `heartbeat_table` is set, else a logical message.
    pub heartbeat: Option<By>,
    /// The table whose one row is updated.
    pub heartbeat_table: Option<String>,
    /// Deliver the signs of life, too.
    pub heartbeat_events: bool,
}

/// By what a sign of life is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// `pg_logical_emit_message`, outside of any transaction.
    Message,
    /// One row of a table.
    Table,
}

/// In which form values are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// As `row_to_json` prints them.
    #[default]
    Typed,
    /// All as strings.
    Text,
}

/// Whether large transactions are received while they are in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Streaming {
    /// If the server can.
    #[default]
    Auto,
    /// Never: the server keeps them until they commit.
    Off,
}

/// The first version that sends them.
const STREAMING_VERSION: u32 = 14;

/// Whose changes are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// All.
    #[default]
    Any,
    /// Those that were made on this server.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            publication: None,
            all_tables: false,
            persistent_slot: false,
            slot_name: None,
            start_lsn: None,
            include: Vec::new(),
            exclude: Vec::new(),
            tx_metadata: false,
            tx_markers: false,
            include_schema: false,
            schema_events: false,
            toast_cache: false,
            toast_cache_max_entries: 100_000,
            toast_cache_max_bytes: 64 << 20,
            origin: Origin::Any,
            messages: false,
            values: Values::Typed,
            max_event_bytes: 16 << 20,
            receive_timeout_ms: 30_000,
            read_ahead_bytes: 4 << 20,
            slot_lag_warn: 104_857_600,
            snapshot_first: false,
            slot_wait: None,
            streaming: Streaming::Auto,
            spill_max: 64 << 30,
            spill: None,
            failover: false,
            heartbeat_interval: None,
            heartbeat: None,
            heartbeat_table: None,
            heartbeat_events: false,
        }
    }
}

/// The options, checked and with their defaults worked out.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) publication: String,
    /// `None`: a temporary slot.
    pub(super) slot: Option<String>,
    pub(super) start: Option<Lsn>,
    pub(super) tables: TableFilter,
    pub(super) silence: Duration,
    pub(super) toast_cache: Option<ToastLimits>,
    pub(super) heartbeat: Option<heartbeat::Plan>,
}

impl Options {
    /// How long to wait for a slot that another client reads; `None`: for ever.
    pub(crate) fn slot_wait(&self) -> Result<Option<Duration>, Error> {
        let read = |text: &String| {
            quantity::duration(text).ok_or_else(|| bad("`slot_wait` must be a duration such as 30s or 0"))
        };
        self.slot_wait.as_ref().map(read).transpose()
    }

    /// What keeps transactions in progress; `None` if they are not to be asked for.
    pub(super) fn spill(&self, server_version: u32) -> Option<Spill> {
        let wanted = self.streaming == Streaming::Auto && server_version >= STREAMING_VERSION;
        self.spill.clone().filter(|_| wanted).map(|place| Spill::new(place, self.spill_max))
    }

    /// The publication that is read, if the options name one.
    pub(crate) fn publication_name(&self) -> Option<String> {
        match self.publication.as_deref() {
            Some(name) if !name.is_empty() => Some(name.to_owned()),
            _ => self.all_tables.then(|| publication::ALL.to_owned()),
        }
    }

    /// The slot that stays, if there is one.
    pub(crate) fn kept_slot(&self) -> Option<String> {
        self.slot(&self.publication_name()?).ok().flatten()
    }

    pub(super) fn plan(&self) -> Result<Plan, Error> {
        let Some(publication) = self.publication_name() else {
            return Err(bad(
                "the WAL detector requires a publication: set `publication`, or `all_tables: true`",
            ));
        };
        if publication.len() > NAME_BYTES_MAX || publication.contains('\0') {
            return Err(bad("`publication` is not a name: at most 63 bytes, no zero byte"));
        }
        let start = match self.start_lsn.as_deref() {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|error| bad(format!("`start_lsn` is {error}")))?),
        };
        if !(EVENT_BYTES_MIN..=EVENT_BYTES_MAX).contains(&self.max_event_bytes) {
            return Err(bad(format!("`max_event_bytes` must be {EVENT_BYTES_MIN} to {EVENT_BYTES_MAX}")));
        }
        if !(100..=3_600_000).contains(&self.receive_timeout_ms) {
            return Err(bad("`receive_timeout_ms` must be 100 to 3600000"));
        }
        if !(1 << 16..=1 << 30).contains(&self.read_ahead_bytes) {
            return Err(bad("`read_ahead_bytes` must be 65536 to 1073741824"));
        }
        if self.snapshot_first && start.is_some() {
            return Err(bad("`snapshot_first` begins where its snapshot is, so `start_lsn` has to go"));
        }
        let slot = self.slot(&publication)?;
        let toast_cache = self.toast_limits()?;
        self.slot_wait()?;
        if self.failover && slot.is_none() {
            return Err(bad("`failover` is for a slot that is kept: set `persistent_slot: true` with it"));
        }
        let heartbeat = heartbeat::plan(self)?;
        let tables = TableFilter {
            include: patterns("include", &self.include)?,
            exclude: patterns("exclude", &self.exclude)?,
        };
        let silence = Duration::from_millis(self.receive_timeout_ms);
        Ok(Plan { publication, slot, start, tables, silence, toast_cache, heartbeat })
    }

    fn toast_limits(&self) -> Result<Option<ToastLimits>, Error> {
        if !self.toast_cache {
            return Ok(None);
        }
        if self.origin == Origin::None {
            return Err(bad(
                "`toast_cache` would miss what `origin: none` leaves out, and fill in old values: use one of them",
            ));
        }
        let limits =
            ToastLimits { entries_max: self.toast_cache_max_entries, bytes_max: self.toast_cache_max_bytes };
        if !(1..=100_000_000).contains(&limits.entries_max) {
            return Err(bad("`toast_cache_max_entries` must be 1 to 100000000"));
        }
        if !(1 << 16..=1 << 40).contains(&limits.bytes_max) {
            return Err(bad("`toast_cache_max_bytes` must be 65536 to 1099511627776"));
        }
        Ok(Some(limits))
    }

    fn slot(&self, publication: &str) -> Result<Option<String>, Error> {
        if !self.persistent_slot {
            return match self.slot_name {
                Some(_) => {
                    Err(bad("`slot_name` is for a slot that is kept: set `persistent_slot: true` with it"))
                }
                None => Ok(None),
            };
        }
        let name = self.slot_name.clone().unwrap_or_else(|| format!("pgcdc_{publication}"));
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) {
            return Ok(Some(name));
        }
        let what = if self.slot_name.is_some() {
            "`slot_name`"
        } else {
            "the publication's name gives no slot name; set `slot_name`:"
        };
        Err(bad(format!("{what} must be 1 to 63 of a-z, 0-9 and _")))
    }
}

fn patterns(key: &str, texts: &[String]) -> Result<Vec<TablePattern>, Error> {
    let parse = |text: &String| text.parse().map_err(|error| bad(format!("`{key}`: {error}")));
    texts.iter().map(parse).collect()
}

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::unfit(Kind::Misconfigured, "bad_option", message, "correct the detector's config")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<Plan, String> {
        let options: Options = serde_json::from_str(json).map_err(|error| error.to_string())?;
        options.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_worked_out() {
        let names = |json| plan(json).map(|plan| (plan.publication, plan.slot));
        assert_eq!(names(r#"{"all_tables":true}"#), Ok(("all".into(), None)));
        assert_eq!(
            names(r#"{"publication":"p","persistent_slot":true}"#),
            Ok(("p".into(), Some("pgcdc_p".into())))
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (json, part) in [
            ("{}", "requires a publication"),
            (r#"{"publication":"P","persistent_slot":true}"#, "set `slot_name`"),
            (r#"{"publication":"p","slot_name":"s"}"#, "persistent_slot"),
            (r#"{"publication":"p","start_lsn":"x"}"#, "start_lsn"),
            (r#"{"publication":"p","include":["a.b.c.d"]}"#, "include"),
            (r#"{"publication":"p","values":"binary"}"#, "unknown variant"),
            (r#"{"publication":"p","start_lsn":"0/1","snapshot_first":true}"#, "start_lsn"),
            (r#"{"publicaton":"p"}"#, "unknown field"),
            (r#"{"publication":"p","streaming":"parallel"}"#, "unknown variant"),
            (r#"{"publication":"p","origin":"some"}"#, "unknown variant"),
            (r#"{"publication":"p","origin":"none","toast_cache":true}"#, "use one of them"),
            (
                r#"{"publication":"p","toast_cache":true,"toast_cache_max_entries":0}"#,
                "toast_cache_max_entries",
            ),
            (r#"{"publication":"p","toast_cache":true,"toast_cache_max_bytes":1}"#, "toast_cache_max_bytes"),
            (r#"{"publication":"p","failover":true}"#, "persistent_slot"),
            (r#"{"publication":"p","heartbeat_interval":"often"}"#, "heartbeat_interval"),
            (r#"{"publication":"p","heartbeat_interval":"10ms"}"#, "at least 100ms"),
            (r#"{"publication":"p","heartbeat_events":true}"#, "messages: true"),
            (r#"{"publication":"p","heartbeat_table":"a.b.c"}"#, "heartbeat_table"),
            (r#"{"publication":"p","heartbeat_table":"x; drop"}"#, "heartbeat_table"),
            (r#"{"publication":"p","heartbeat":"message","heartbeat_table":"t"}"#, "leave one of them out"),
        ] {
            let error = plan(json).expect_err(json);
            assert!(error.contains(part), "{error}");
        }
    }
}
