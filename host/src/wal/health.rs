//! Replication slots as the server shows them, for people and for the watch; and making and dropping one by hand.
//!
//! Which columns there are depends on the server's version, so a row is asked for as JSON, and what it lacks is absent.
//! Invariant: a slot that somebody reads is never dropped.

use pgcdc_core::error::Kind;
use postgres_protocol::escape::escape_literal;
use serde::{Deserialize, Serialize};

use super::server;
use crate::postgres::{Error, Session};

/// The first version with slots that standbys keep a copy of.
pub(crate) const FAILOVER_VERSION: u32 = 17;
/// How the names of slots begin that nobody named.
pub(crate) const PREFIX: &str = "pgcdc_";

/// One slot at one moment. Absent is what the server's version does not know, or what this role may not see.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SlotView {
    /// Its name.
    #[serde(alias = "slot_name")]
    pub name: String,
    /// The output plugin; absent for a physical slot.
    pub plugin: Option<String>,
    /// `logical` or `physical`.
    #[serde(alias = "slot_type")]
    pub kind: String,
    /// The database that it decodes.
    pub database: Option<String>,
    /// It dies with its session.
    pub temporary: bool,
    /// Somebody reads it.
    pub active: bool,
    /// The server process of who reads it.
    pub active_pid: Option<u32>,
    /// From here on the server keeps WAL.
    pub restart_lsn: Option<String>,
    /// Up to here everything was received for good.
    pub confirmed_flush_lsn: Option<String>,
    /// WAL that the server keeps for it; bytes.
    pub retained_bytes: Option<u64>,
    /// The server's WAL end minus what is confirmed; bytes.
    pub lag_bytes: Option<u64>,
    /// While it is read: how old the oldest is that is not confirmed, as the server measures it. Else for how long
    /// nobody has read it (server 17 or later).
    pub lag_seconds: Option<f64>,
    /// `reserved`, `extended`, `unreserved` or `lost` (server 13 or later).
    pub wal_status: Option<String>,
    /// Bytes that may still be written before the slot may be lost; absent without `max_slot_wal_keep_size`.
    pub safe_wal_size: Option<i64>,
    /// Since when nobody reads it (server 17 or later).
    pub inactive_since: Option<String>,
    /// Why it can never be read again (server 17 or later).
    pub invalidation_reason: Option<String>,
    /// On a standby: recovery has removed what it needs (server 16 or later).
    pub conflicting: Option<bool>,
    /// Standbys keep a copy of it (server 17 or later).
    pub failover: Option<bool>,
    /// It is a standby's copy (server 17 or later).
    pub synced: Option<bool>,
}

impl SlotView {
    /// Why the server can never hand out the slot's changes again, in its words.
    #[must_use]
    pub fn invalidated(&self) -> Option<String> {
        invalidated(self.invalidation_reason.as_deref(), self.wal_status.as_deref(), self.conflicting)
    }
}

/// Why a slot can never be read again. Which of these the server says depends on its version.
pub(super) fn invalidated(
    reason: Option<&str>,
    wal_status: Option<&str>,
    conflicting: Option<bool>,
) -> Option<String> {
    let lost = (wal_status == Some("lost")).then_some("wal_status is lost");
    let conflict = (conflicting == Some(true)).then_some("it conflicts with recovery");
    reason.or(lost).or(conflict).map(str::to_owned)
}

/// Which slots are meant.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Every one of the server.
    All,
    /// Those that pgcdc names by itself, and these.
    Ours(&'a [String]),
    /// This one.
    Named(&'a str),
}

/// The slots, by name.
pub async fn slots(session: &Session, which: Which<'_>) -> Result<Vec<SlotView>, Error> {
    let condition = match which {
        Which::All => "true".to_owned(),
        Which::Named(name) => format!("s.slot_name = {}", escape_literal(name)),
        Which::Ours(named) => {
            let named = named.iter().map(|name| format!(" OR s.slot_name = {}", escape_literal(name)));
            format!("pg_catalog.starts_with(s.slot_name, '{PREFIX}'){}", named.collect::<String>())
        }
    };
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(v.j ORDER BY v.j->>'slot_name'), '[]') FROM (
            SELECT pg_catalog.to_jsonb(s) || pg_catalog.jsonb_build_object(
                'retained_bytes', greatest(0, pg_catalog.pg_wal_lsn_diff(e.lsn, s.restart_lsn))::bigint,
                'lag_bytes', greatest(0, pg_catalog.pg_wal_lsn_diff(e.lsn, coalesce(s.confirmed_flush_lsn, s.restart_lsn)))::bigint,
                'lag_seconds', CASE WHEN s.active THEN CASE WHEN r.pid IS NOT NULL THEN extract(epoch FROM coalesce(r.flush_lag, '0'::interval))::float8 END
                    ELSE extract(epoch FROM pg_catalog.clock_timestamp() - (pg_catalog.to_jsonb(s)->>'inactive_since')::timestamptz)::float8 END) AS j
            FROM pg_catalog.pg_replication_slots s
            CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) e
            LEFT JOIN pg_catalog.pg_stat_replication r ON r.pid = s.active_pid
            WHERE {condition}) v"
    );
    Ok(server::one_json(session, &sql, "looking at replication slots").await?.unwrap_or_default())
}

/// The one slot of this name.
pub async fn slot(session: &Session, name: &str) -> Result<SlotView, Error> {
    let found = slots(session, Which::Named(name)).await?.into_iter().next();
    found.ok_or_else(|| {
        let message = format!("{}: there is no slot {name}", session.place());
        Error::unfit(
            Kind::Gone,
            "slot_missing",
            message,
            "see `pgcdc slot list --all` for those that there are",
        )
    })
}

/// Makes a slot for pgoutput, from the present on; returns where it starts. `failover`: standbys keep a copy.
pub async fn create(session: &Session, name: &str, failover: bool) -> Result<String, Error> {
    let version = session.major_version();
    if failover {
        check_failover(session.place(), version)?;
    }
    // Arguments of later versions are named only where they are needed.
    let more = if failover { ", failover => true" } else { "" };
    let sql = format!(
        "SELECT lsn::text FROM pg_catalog.pg_create_logical_replication_slot({}, 'pgoutput'{more})",
        escape_literal(name)
    );
    let rows = session.rows(&sql, "creating the replication slot").await?;
    let start = rows.into_iter().flatten().flatten().next();
    start.ok_or_else(|| Error::protocol(session.place(), "the slot was created without a starting point"))
}

/// A server that cannot keep a slot over a failover is refused by name.
pub(crate) fn check_failover(place: &str, version: u32) -> Result<(), Error> {
    if version >= FAILOVER_VERSION {
        return Ok(());
    }
    let message =
        format!("{place}: PostgreSQL {version} has no failover slots, which come with {FAILOVER_VERSION}");
    let step = "leave failover out; after a failover, copy the tables anew, or upgrade the server";
    Err(Error::unfit(Kind::Misconfigured, "failover_unsupported", message, step))
}

/// Drops a slot that nobody reads; returns what it was.
pub async fn remove(session: &Session, name: &str) -> Result<SlotView, Error> {
    let found = slot(session, name).await?;
    if found.active {
        return Err(in_use(session, name).await);
    }
    let sql = format!("SELECT pg_catalog.pg_drop_replication_slot({})", escape_literal(name));
    match session.rows(&sql, "dropping the replication slot").await {
        Ok(_) => Ok(found),
        // Somebody took it between the look and the drop.
        Err(error) if error.sqlstate() == Some("55006") => Err(in_use(session, name).await),
        Err(error) => Err(error),
    }
}

async fn in_use(session: &Session, name: &str) -> Error {
    let holder = server::holder(session, name).await.ok().flatten();
    let holder = holder.unwrap_or_else(|| "gone by now".into());
    let pid = holder.strip_prefix("PID ").and_then(|rest| rest.split(',').next()).unwrap_or("its PID");
    let step = format!(
        "stop that client, then drop the slot; if it cannot be stopped: SELECT pg_terminate_backend({pid});"
    );
    Error::unfit(
        Kind::Conflict,
        "slot_active",
        format!("slot {name} is active: it is read by {holder}"),
        step,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_any_version_can_be_read() {
        let old: SlotView = serde_json::from_str(
            r#"{"slot_name":"s","slot_type":"logical","plugin":"pgoutput","active":false,"xmin":null,"retained_bytes":5}"#,
        )
        .unwrap();
        assert_eq!((old.name.as_str(), old.retained_bytes, old.failover), ("s", Some(5), None));
        assert_eq!(old.invalidated(), None);
        let new: SlotView = serde_json::from_str(
            r#"{"slot_name":"s","slot_type":"logical","wal_status":"lost","invalidation_reason":"idle_timeout","failover":true,"synced":false,"later":1}"#,
        )
        .unwrap();
        assert_eq!((new.invalidated().as_deref(), new.failover), (Some("idle_timeout"), Some(true)));
        let lost = SlotView { wal_status: Some("lost".into()), ..SlotView::default() };
        assert!(lost.invalidated().is_some());
    }

    #[test]
    fn a_server_without_failover_slots_is_named() {
        let error = check_failover("h:1", 16).unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 16") && error.contains("17"), "{error}");
        assert!(check_failover("h:1", 17).is_ok());
    }
}
