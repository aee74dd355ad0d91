//! What a server must be before anything is created on it, and what it says of the slot.

use std::time::Duration;

use pgcdc_core::error::Kind;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::resume::SlotFacts;
use postgres_protocol::escape::escape_literal;
use serde::Deserialize;

use super::health;
use crate::postgres::{Error, Session};

const OLDEST_VERSION: u32 = 12;
/// The first version whose standbys decode.
const STANDBY_VERSION: u32 = 16;

/// Facts about the server and the session's database.
#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) database: String,
    pub(super) database_oid: u32,
    pub(super) user: String,
    wal_level: String,
    pub(super) in_recovery: bool,
    wal_sender_timeout_ms: u64,
}

impl Server {
    /// How long the server waits for us before it hangs up; `None` for ever.
    pub(super) fn sender_timeout(&self) -> Option<Duration> {
        (self.wal_sender_timeout_ms > 0).then(|| Duration::from_millis(self.wal_sender_timeout_ms))
    }
}

const SERVER_SQL: &str = "\
SELECT pg_catalog.json_build_object(
    'database', d.datname,
    'database_oid', d.oid::bigint,
    'user', current_user,
    'wal_level', pg_catalog.current_setting('wal_level'),
    'in_recovery', pg_catalog.pg_is_in_recovery(),
    'wal_sender_timeout_ms', (SELECT s.setting::bigint FROM pg_catalog.pg_settings s WHERE s.name = 'wal_sender_timeout')
) FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

/// Looks at the server, and refuses one that cannot be read.
pub(super) async fn inspect(session: &Session) -> Result<Server, Error> {
    let server: Server = one_json(session, SERVER_SQL, "looking at the server")
        .await?
        .ok_or_else(|| Error::protocol(session.place(), "the server does not know its own database"))?;
    let version = session.major_version();
    if version < OLDEST_VERSION {
        let message = format!("{}: PostgreSQL {version} is older than {OLDEST_VERSION}", session.place());
        return Err(Error::unfit(Kind::Misconfigured, "server_too_old", message, "upgrade the server"));
    }
    if server.wal_level != "logical" {
        let message = format!("{}: wal_level is {}, not logical", session.place(), server.wal_level);
        let step = "run ALTER SYSTEM SET wal_level = 'logical'; and restart the server (managed services have a parameter for it, e.g. rds.logical_replication)";
        return Err(Error::unfit(Kind::Misconfigured, "wal_level", message, step));
    }
    if server.in_recovery && version < STANDBY_VERSION {
        let message = format!(
            "{}: this is a standby, and PostgreSQL {version} decodes only on a primary",
            session.place()
        );
        let step = "name the primary, or list all servers and set target_session_attrs=primary";
        return Err(Error::unfit(Kind::Unavailable, "standby", message, step));
    }
    Ok(server)
}

/// What `pg_replication_slots` says, whatever the version's columns are.
#[derive(Debug, Deserialize)]
struct SlotRow {
    failover: Option<bool>,
    plugin: Option<String>,
    #[serde(default, deserialize_with = "oid")]
    datoid: u32,
    confirmed_flush_lsn: Option<String>,
    wal_status: Option<String>,
    invalidation_reason: Option<String>,
    #[serde(default)]
    conflicting: Option<bool>,
    #[serde(default)]
    active: bool,
}

/// Oids come as JSON strings.
fn oid<'de, D: serde::Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    let text = Option::<String>::deserialize(input)?.unwrap_or_default();
    text.parse().or(Ok(0))
}

/// A slot that exists.
#[derive(Debug)]
pub(super) struct FoundSlot {
    pub(super) facts: SlotFacts,
    /// Somebody reads it.
    pub(super) active: bool,
    /// Standbys keep a copy of it; none before version 17.
    pub(super) failover: Option<bool>,
}

/// The slot, if it exists.
pub(super) async fn slot(session: &Session, name: &str) -> Result<Option<FoundSlot>, Error> {
    let sql = format!(
        "SELECT pg_catalog.row_to_json(s) FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = {}",
        escape_literal(name)
    );
    let row: Option<SlotRow> = one_json(session, &sql, "looking at the replication slot").await?;
    Ok(row.map(|row| {
        let invalidated = health::invalidated(
            row.invalidation_reason.as_deref(),
            row.wal_status.as_deref(),
            row.conflicting,
        );
        let facts = SlotFacts {
            confirmed: row.confirmed_flush_lsn.as_deref().and_then(|text| text.parse().ok()),
            plugin: row.plugin.unwrap_or_default(),
            database_oid: row.datoid,
            invalidated,
        };
        FoundSlot { facts, active: row.active, failover: row.failover }
    }))
}

/// One look at how the slot fares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lag {
    /// The server's WAL end minus what the slot has confirmed; bytes.
    pub lag_bytes: u64,
    /// `reserved`, `extended`, `unreserved` or `lost`; empty before version 13.
    pub wal_status: String,
    /// The publication's oid, or 0 if it is gone.
    pub publication_oid: u32,
    /// The server's WAL end at this look, as text.
    #[serde(default)]
    pub end_lsn: String,
    /// WAL that the server keeps for the slot; bytes.
    #[serde(default)]
    pub retained_bytes: Option<u64>,
    /// Bytes that may still be written before the slot may be lost; absent without `max_slot_wal_keep_size`.
    #[serde(default)]
    pub safe_wal_size: Option<i64>,
    /// Why the slot can never be read again (server 17 or later).
    #[serde(default)]
    pub invalidation_reason: Option<String>,
}

impl Lag {
    /// The server's WAL end at this look; 0 if it said none.
    pub fn end(&self) -> Lsn {
        self.end_lsn.parse().unwrap_or(Lsn::ZERO)
    }
}

/// Asks for [`Lag`]; `None` if the slot does not exist.
pub(super) async fn lag(session: &Session, slot: &str, publication: &str) -> Result<Option<Lag>, Error> {
    let status = if session.major_version() >= 13 { "coalesce(s.wal_status, '')" } else { "''" };
    let sql = format!(
        "SELECT pg_catalog.json_build_object(
            'lag_bytes', greatest(0, pg_catalog.pg_wal_lsn_diff(e.lsn, coalesce(s.confirmed_flush_lsn, s.restart_lsn)))::bigint,
            'end_lsn', e.lsn,
            'wal_status', {status},
            'retained_bytes', greatest(0, pg_catalog.pg_wal_lsn_diff(e.lsn, s.restart_lsn))::bigint,
            'safe_wal_size', pg_catalog.to_jsonb(s)->'safe_wal_size',
            'invalidation_reason', pg_catalog.to_jsonb(s)->'invalidation_reason',
            'publication_oid', coalesce((SELECT p.oid::bigint FROM pg_catalog.pg_publication p WHERE p.pubname = {}), 0)
        ) FROM pg_catalog.pg_replication_slots s, (SELECT
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) e
        WHERE s.slot_name = {}",
        escape_literal(publication),
        escape_literal(slot)
    );
    one_json(session, &sql, "measuring the lag").await
}

/// Who reads the slot, in words; `None` if nobody does by now.
pub(super) async fn holder(session: &Session, slot: &str) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Holder {
        pid: u32,
        application: Option<String>,
        address: Option<String>,
        since: Option<String>,
    }
    let sql = format!(
        "SELECT pg_catalog.json_build_object('pid', s.active_pid, 'application', a.application_name,
            'address', pg_catalog.host(a.client_addr), 'since', pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
        FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
        WHERE s.active_pid IS NOT NULL AND s.slot_name = {}",
        escape_literal(slot)
    );
    let holder: Option<Holder> = one_json(session, &sql, "looking for the slot's reader").await?;
    Ok(holder.map(|Holder { pid, application, address, since }| {
        let application = application.filter(|name| !name.is_empty()).unwrap_or_else(|| "not named".into());
        let address = address.unwrap_or_else(|| "the server's own machine".into());
        let since = since.map(|since| format!(", connected since {since} UTC")).unwrap_or_default();
        format!("PID {pid}, application_name {application}, from {address}{since}")
    }))
}

/// The first cell of the first row, read as JSON.
pub(super) async fn one_json<T: for<'de> Deserialize<'de>>(
    session: &Session,
    sql: &str,
    doing: &'static str,
) -> Result<Option<T>, Error> {
    let rows = session.rows(sql, doing).await?;
    let Some(text) = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()) else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            Err(Error::protocol(session.place(), format!("{doing}: the answer makes no sense: {error}")))
        }
    }
}
