//! Rows that are there already: of tables that an operator names, or of a publication, in front of its stream.
//!
//! ```text
//!  tables ─► look.rs: shapes ─┐
//!  slot ──► exported snapshot ─┴─► read.rs: COPY, table by table ─► queue ─► batches, a strand for each table
//!                                                                              │
//!  WAL ─► … before its position ────────────────────► join.rs ◄───────────────┘ then … ─► WAL behind it
//! ```
//!
//! Invariants:
//! - **I8** A snapshot that joins a stream is one that a slot exported. It sees what commits before the slot's consistent
//!   point, and nothing else; its rows stand in the stream exactly there, whatever was delivered before.
//! - Rows are decoded by the code that decodes the WAL ([`pgcdc_core::assembler`]).
//! - What was read is stored only when every lane has it. After a crash, what is left is read in a new snapshot, which
//!   stands at its own, later point of the stream.
//! - A row that a policy hides, a table that was rewritten meanwhile: an error, never missing rows.

mod join;
mod line;
mod look;
mod options;
mod read;

use std::sync::Arc;
use std::time::Instant;

use pgcdc_core::assembler::{Settings, Subject, Values as CoreValues};
use pgcdc_core::error::Kind;
use pgcdc_core::id::Origin;
use pgcdc_core::snapshot::{SOURCE, record};
use tokio::task::JoinSet;

pub(crate) use join::{Joined, Joint, Plan};
pub(crate) use options::Options;
pub(crate) use read::{End, Piece};

use crate::postgres::{Error, Params, Session};
use crate::wal::Values;
use crate::wal::queue::Queue;
use read::{Job, Moment, Reader};

/// Tables that are being read. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Reading {
    queue: Arc<Queue<Piece, End>>,
    /// How many rows the server thinks there are; `None` if that means nothing.
    pub(crate) estimate: Option<u64>,
    facts: String,
    _task: JoinSet<()>,
}

impl Reading {
    fn start(reader: Reader, estimate: Option<u64>, facts: String) -> Reading {
        let queue = Arc::clone(&reader.queue);
        let mut task = JoinSet::new();
        task.spawn(reader.run());
        Reading { queue, estimate, facts, _task: task }
    }

    /// What has gathered, at least one piece; or why no more comes. Safe to drop and call again.
    pub(crate) async fn next(&self) -> Result<Vec<Piece>, End> {
        self.queue.drain().await.unwrap_or(Err(End::Done))
    }

    /// JSON, for a connector.
    pub(crate) fn facts(&self) -> &str {
        &self.facts
    }
}

/// Reads tables in one transaction of their own.
pub(crate) async fn open(params: &Params, options: Options) -> Result<Reading, Error> {
    let began = Instant::now();
    let names = options.check()?;
    let (session, mut line) =
        tokio::try_join!(Session::open(params), line::Line::open(params, options.max_event_bytes))?;
    let first = look::named(&session, &names).await?;
    line.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "beginning a snapshot").await?;
    // Locks first: the transaction's eyes open with its first question, and what is locked is what it was then.
    for shape in first.iter().filter(|shape| matches!(shape.kind, 'r' | 'p')) {
        line.command(&read::lock(shape), "locking a table").await?;
    }
    line.command(read::PINS, "setting up a snapshot's transaction").await?;
    let mut shapes = look::named(&session, &names).await?;
    let (origin, subject) = here(&mut line, &session).await?;
    for shape in &mut shapes {
        shape.filter.clone_from(&options.filter);
    }
    let known = options.filter.is_none().then_some(());
    let estimate = known.and_then(|()| shapes.iter().map(|shape| u64::try_from(shape.estimate).ok()).sum());
    let tables: Vec<String> = shapes.iter().map(|shape| shape.table().to_string()).collect();
    tracing::info!(tables = tables.join(", "), point = %subject.point, rows_estimated = estimate, "snapshot begins");
    let facts = serde_json::json!({
        "server": session.place(), "tables": tables, "position": subject.point.to_string(),
    });
    let settings = settings(origin, options.include_schema, options.values, options.max_event_bytes);
    let settings = Settings { batch_events: options.batch_size, ..settings };
    let jobs = shapes.into_iter().map(|shape| Job { shape, after: Vec::new(), rows: 0 }).collect();
    let queue = Arc::new(Queue::new(read::BOUNDS));
    let reader = Reader { line, session, moment: Moment::Own, subject, settings, jobs, queue, began };
    Ok(Reading::start(reader, estimate, facts.to_string()))
}

fn settings(origin: Origin, include_schema: bool, values: Values, max_event_bytes: usize) -> Settings {
    let mut settings = Settings::new(origin);
    settings.source = SOURCE;
    settings.include_schema = include_schema;
    settings.max_event_bytes = max_event_bytes;
    settings.values = match values {
        Values::Typed => CoreValues::Typed,
        Values::Text => CoreValues::Text,
    };
    settings
}

/// Which database and which moment the open transaction sees.
async fn here(line: &mut line::Line, session: &Session) -> Result<(Origin, Subject), Error> {
    let view = match session.major_version() {
        13.. => "pg_catalog.pg_current_snapshot()",
        _ => "pg_catalog.txid_current_snapshot()",
    };
    let sql = format!(
        "SELECT s.system_identifier, d.oid, {view},
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END,
            (extract(epoch FROM pg_catalog.now()) * 1000000)::bigint
        FROM pg_catalog.pg_control_system() s, pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
    );
    let rows = line.command(&sql, "looking at the server").await?;
    let cell = |at: usize| rows.first()?.get(at)?.as_deref();
    let found = (|| {
        // Two's complement: the server has no unsigned type.
        let system_identifier = cell(0)?.parse::<i64>().ok()? as u64;
        let origin = Origin { system_identifier, database_oid: cell(1)?.parse().ok()? };
        let (view, point) = (cell(2)?.as_bytes().to_vec(), cell(3)?.parse().ok()?);
        Some((origin, Subject { point, view, at_us: cell(4)?.parse().ok()? }))
    })();
    found.ok_or_else(|| Error::protocol(&line.place, "looking at the server: the answer makes no sense"))
}

/// More tables than one checkpoint can tell of.
fn too_many(tables: usize) -> Error {
    let message =
        format!("a snapshot of {tables} tables is more than can be kept account of ({})", record::TABLES_MAX);
    let step = "name fewer with `include`, or copy some with `pgcdc snapshot`";
    Error::unfit(Kind::Misconfigured, "too_many_tables", message, step)
}
