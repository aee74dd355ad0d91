//! What `pgcdc doctor` looks at: everything about a server, a role and a publication that decides whether its WAL can be
//! read, and for how long. It only looks; what it means is judged elsewhere.
//!
//! Invariant: nothing is changed on the server, and no session outlives the look.

use postgres_protocol::escape::escape_literal;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::connection::Connection;
use super::health::{self, SlotView, Which};
use super::publication::{self, Publication};
use super::server::one_json;
use crate::postgres::{Error, Params, Session};

/// Transactions that are named at most.
const NAMED_MAX: usize = 10;

/// One look at a server.
#[derive(Debug)]
pub struct Examined {
    /// Host and port.
    pub place: String,
    /// The port that was dialled, if it was TCP.
    pub port: Option<u16>,
    /// The server's major version.
    pub version: u32,
    /// The server, the role and what runs.
    pub server: ServerFacts,
    /// A login for replication, as pgcdc does it.
    pub replication: Result<(), Error>,
    /// The publication, if one is meant: none if it is not there.
    pub publication: Option<Option<Publication>>,
    /// Published tables that the role may not read.
    pub unreadable: Vec<String>,
    /// Every slot of the server.
    pub slots: Vec<SlotView>,
}

/// The server, the role and what runs, as one query sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServerFacts {
    /// The session's database.
    pub database: String,
    /// The session's role.
    pub user: String,
    /// It may do anything.
    pub superuser: bool,
    /// It may make publications and schemas in this database.
    pub may_create: bool,
    /// It may write logical messages.
    pub may_emit: bool,
    /// It sees other roles' sessions.
    pub sees_all: bool,
    /// The server is a standby.
    pub in_recovery: bool,
    /// The port that the server itself listens on; none on a Unix socket.
    pub port: Option<u16>,
    /// Values as the server keeps them, in their base unit.
    pub settings: BTreeMap<String, String>,
    /// Slots of any kind.
    pub slots_used: u64,
    /// Replication connections.
    pub senders_used: u64,
    /// Of these, standbys and their like.
    pub standbys: u64,
    /// Sessions whose transaction has written something, oldest first.
    pub writing: Vec<Writing>,
    /// Prepared transactions, oldest first.
    pub prepared: Vec<Prepared>,
}

/// A session whose transaction has written something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Writing {
    /// The server process.
    pub pid: u32,
    /// Its role.
    pub user: Option<String>,
    /// What it calls itself.
    pub application: Option<String>,
    /// `active`, `idle in transaction`, …
    pub state: Option<String>,
    /// Since its begin; seconds.
    pub age_s: u64,
}

/// A transaction that was prepared and not ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Prepared {
    /// Its name.
    pub gid: String,
    /// Who prepared it.
    pub owner: String,
    /// The database in which it has to be ended.
    pub database: String,
    /// Since it was prepared; seconds.
    pub age_s: u64,
}

const SERVER_SQL: &str = "\
SELECT pg_catalog.json_build_object(
    'database', pg_catalog.current_database(),
    'user', current_user,
    'superuser', (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user),
    'may_create', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
    'may_emit', pg_catalog.has_function_privilege((SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.proname = 'pg_logical_emit_message' AND p.proargtypes[2] = 'text'::regtype
        AND p.pronamespace = 'pg_catalog'::regnamespace ORDER BY p.oid LIMIT 1), 'EXECUTE'),
    'sees_all', pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'),
    'in_recovery', pg_catalog.pg_is_in_recovery(),
    'port', pg_catalog.inet_server_port(),
    'settings', (SELECT pg_catalog.json_object_agg(s.name, s.setting) FROM pg_catalog.pg_settings s WHERE s.name IN (
        'wal_level', 'max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size', 'wal_sender_timeout',
        'idle_replication_slot_timeout', 'synchronous_standby_names', 'synchronized_standby_slots', 'max_connections')),
    'slots_used', (SELECT count(*) FROM pg_catalog.pg_replication_slots),
    'senders_used', (SELECT count(*) FROM pg_catalog.pg_stat_replication),
    'standbys', (SELECT count(*) FROM pg_catalog.pg_stat_replication r WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')),
    'writing', (SELECT coalesce(pg_catalog.json_agg(w ORDER BY w.age_s DESC), '[]') FROM (
        SELECT a.pid, a.usename AS user, a.application_name AS application, a.state,
            extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint AS age_s
        FROM pg_catalog.pg_stat_activity a
        WHERE a.backend_xid IS NOT NULL AND a.xact_start IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
        ORDER BY a.xact_start LIMIT 10) w),
    'prepared', (SELECT coalesce(pg_catalog.json_agg(p ORDER BY p.age_s DESC), '[]') FROM (
        SELECT x.gid, x.owner, x.database, extract(epoch FROM pg_catalog.clock_timestamp() - x.prepared)::bigint AS age_s
        FROM pg_catalog.pg_prepared_xacts x ORDER BY x.prepared LIMIT 10) p))";

/// Looks at everything. The error is that there is no session at all.
pub async fn examine(params: &Params, publication: Option<&str>) -> Result<Examined, Error> {
    let session = Session::open(params).await?;
    let server: Option<ServerFacts> = one_json(&session, SERVER_SQL, "looking at the server").await?;
    let server =
        server.ok_or_else(|| Error::protocol(session.place(), "the server says nothing of itself"))?;
    let slots = health::slots(&session, Which::All).await?;
    let (publication, unreadable) = match publication {
        None => (None, Vec::new()),
        Some(name) => (Some(publication::find(&session, name).await?), unreadable(&session, name).await?),
    };
    let replication = match Connection::open(params).await {
        Ok(mut connection) => connection.identify().await.map(drop),
        Err(error) => Err(error),
    };
    Ok(Examined {
        place: session.place().to_owned(),
        port: session.place().rsplit_once(':').and_then(|(_, port)| port.parse().ok()),
        version: session.major_version(),
        server,
        replication,
        publication,
        unreadable,
        slots,
    })
}

/// Quoted names of published tables that the role may not read.
async fn unreadable(session: &Session, publication: &str) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', t.schemaname, t.tablename) FROM pg_catalog.pg_publication_tables t
        WHERE t.pubname = {} AND NOT (pg_catalog.has_schema_privilege(t.schemaname, 'USAGE')
            AND pg_catalog.has_any_column_privilege(pg_catalog.format('%I.%I', t.schemaname, t.tablename), 'SELECT'))
        ORDER BY 1 LIMIT {}",
        escape_literal(publication),
        NAMED_MAX + 1
    );
    let rows = session.rows(&sql, "looking at rights on tables").await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
