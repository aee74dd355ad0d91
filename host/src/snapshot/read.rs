//! The task that reads tables, one after the other, into batches.
//!
//! A batch closes when it is full, or when the server has sent nothing for a moment. Invariants: the queue is bounded,
//! and when it is full nothing is read; a table that is not what it was when the snapshot was taken is never read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgcdc_core::assembler::{
    Assembler, Error as Unread, Fed, Finished, Refused, Settings, SnapshotTable, Subject,
};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::error::Kind;
use pgcdc_core::identifier::{quote, quote_text};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::snapshot::record::{self, Token};
use pgcdc_core::snapshot::shape::{After, Shape};

use super::line::{COPYING, Line, Step};
use crate::postgres::{Error, Session};
use crate::wal::queue::{Bounds, Queue};

/// Batches that wait for the host.
pub(super) const BOUNDS: Bounds = Bounds { bytes_max: 4 << 20, batches_max: 64 };
/// How long a batch that is not full waits for more.
const GATHER: Duration = Duration::from_millis(20);

/// What is handed to the host: rows, or only how far the reading is.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) first: OrderKey,
    pub(crate) last: OrderKey,
    pub(crate) strand: Arc<str>,
    /// To be stored once this and all before are settled; empty: nothing is.
    pub(crate) token: Vec<u8>,
    /// Of the last piece: how long all of it took.
    pub(crate) took: Option<Duration>,
}

/// Why no more comes.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything was read.
    Done,
    Failed(Error),
}

/// One table, and where to go on in it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) shape: Shape,
    /// The key of the last row that was read before.
    pub(super) after: Vec<String>,
    /// Rows that were read before.
    pub(super) rows: u64,
}

/// Whose eyes it is read with.
pub(super) enum Moment {
    /// The connection's own transaction, which is open, and has its tables locked.
    Own,
    /// A snapshot of this name, which `holder` keeps alive. Tokens are worth something.
    Exported(String),
}

/// See the file's head.
pub(super) struct Reader {
    pub(super) line: Line,
    /// For the catalog; keeps an exported snapshot alive.
    pub(super) session: Session,
    pub(super) moment: Moment,
    pub(super) subject: Subject,
    pub(super) settings: Settings,
    pub(super) jobs: Vec<Job>,
    pub(super) queue: Arc<Queue<Piece, End>>,
    /// What took part of the time already.
    pub(super) began: Instant,
}

impl Reader {
    /// Reads everything, and says so.
    pub(super) async fn run(mut self) {
        let mut catalog = TypeCatalog::new();
        for job in std::mem::take(&mut self.jobs) {
            match self.job(&job, catalog).await {
                Ok(known) => catalog = known,
                Err(error) => return self.queue.end(End::Failed(error)),
            }
        }
        let whole = Token { done: true, ..Token::default() };
        self.mark(record::WHOLE.into(), &whole, Some(self.began.elapsed())).await;
        self.queue.end(End::Done);
    }

    fn resumes(&self) -> bool {
        matches!(self.moment, Moment::Exported(_))
    }

    async fn job(&mut self, job: &Job, catalog: TypeCatalog) -> Result<TypeCatalog, Error> {
        let snapshot = match &self.moment {
            Moment::Own => None,
            Moment::Exported(name) => Some(name.clone()),
        };
        if let Some(snapshot) = &snapshot {
            self.enter(snapshot, &job.shape).await?;
        }
        let read = self.table(job, catalog).await;
        if snapshot.is_some() && read.is_ok() {
            self.line.command("COMMIT", "ending a snapshot's transaction").await?;
        }
        match read {
            // A table or a column that is gone since the snapshot was planned.
            Err(error) if snapshot.is_some() && matches!(error.sqlstate(), Some("42P01" | "42703")) => {
                Err(changed(&job.shape, &error.to_string()))
            }
            read => read,
        }
    }

    /// Begins a transaction that sees the snapshot, with the table locked against being rewritten. A table that was
    /// rewritten before would look empty in it.
    async fn enter(&mut self, snapshot: &str, shape: &Shape) -> Result<(), Error> {
        let line = &mut self.line;
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            quote_text(snapshot)
        );
        line.command(&sql, "taking up the snapshot").await?;
        line.command(PINS, "setting up a snapshot's transaction").await?;
        let name = format!("{}.{}", quote(&shape.schema), quote(&shape.name));
        let locked = line.command(&lock(shape), "locking a table").await;
        let gone = |error: Error| match error.sqlstate() {
            Some("42P01" | "3F000") => changed(shape, "it is gone"),
            _ => error,
        };
        locked.map_err(gone)?;
        let sql = format!(
            "SELECT pg_catalog.to_regclass({name}) = {oid}::pg_catalog.oid AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_class c WHERE c.relfilenode <> coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
                AND (c.oid = {oid} OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree({oid}))))
            AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = {oid})",
            name = quote_text(&name),
            oid = shape.oid,
        );
        let rows = line.command(&sql, "looking whether a table is what it was").await?;
        match rows.first().and_then(|row| row.first()?.as_deref()) {
            Some("t") => Ok(()),
            _ => Err(changed(shape, "it was rewritten, truncated or made anew since the snapshot was taken")),
        }
    }

    async fn table(&mut self, job: &Job, catalog: TypeCatalog) -> Result<TypeCatalog, Error> {
        let shape = &job.shape;
        let name = shape.table();
        let strand: Arc<str> = record::strand(&name).into();
        let began = Instant::now();
        let origin = self.settings.origin;
        let settings = Settings { strand: strand.to_string(), ..self.settings.clone() };
        let assembler = Assembler::new(settings, catalog, self.subject.point);
        let mut assembler = assembler.map_err(|error| Error::params(error.to_string()))?;
        self.describe(&mut assembler, shape).await?;
        let mut table = SnapshotTable::new(origin, &self.subject, shape);
        let after = After { values: &job.after };
        let after = (!job.after.is_empty()).then_some(&after);
        self.line.copy(&shape.copy(self.resumes(), after)).await?;
        let mut now_us = crate::now_us();
        loop {
            let full = match self.line.step()? {
                Step::Row(row, bytes) => {
                    let fed = assembler.feed_line(&mut table, row, bytes, now_us);
                    match fed.map_err(|error| unread(&self.line.place, shape, &error))? {
                        Fed::Taken => assembler.is_full(),
                        Fed::Full | Fed::NeedTypes(_) => {
                            self.line.again();
                            true
                        }
                    }
                }
                Step::Starved => {
                    let late = match tokio::time::timeout(GATHER, self.line.fill(COPYING)).await {
                        Ok(filled) => filled.map(|()| false)?,
                        Err(_) if assembler.is_empty() => self.line.fill(COPYING).await.map(|()| false)?,
                        Err(_) => true,
                    };
                    now_us = crate::now_us();
                    late
                }
                Step::Done => break,
            };
            if full {
                self.push(&mut assembler, &table, job, &strand).await;
            }
        }
        self.push(&mut assembler, &table, job, &strand).await;
        let token = Token { done: true, oid: shape.oid, rows: job.rows + table.rows(), ..Token::default() };
        let took_ms = began.elapsed().as_millis() as u64;
        tracing::info!(table = %name, rows = table.rows(), before = job.rows, took_ms, "table read");
        self.mark(strand, &token, None).await;
        Ok(assembler.into_catalog())
    }

    /// Tells the assembler of the table, as the stream would.
    async fn describe(&self, assembler: &mut Assembler, shape: &Shape) -> Result<(), Error> {
        let relation = shape.relation();
        loop {
            let fed = assembler.feed(Lsn::ZERO, &relation, crate::now_us());
            match fed.map_err(|error| unread(&self.line.place, shape, &error))? {
                Fed::NeedTypes(oids) => {
                    let rows = crate::wal::side::types(&self.session, &oids).await?;
                    assembler.learn_types(&oids, rows);
                }
                Fed::Taken | Fed::Full => return Ok(()),
            }
        }
    }

    async fn push(&self, assembler: &mut Assembler, table: &SnapshotTable, job: &Job, strand: &Arc<str>) {
        let Some(Finished { bytes, refused, first_key, last_key, .. }) = assembler.take_batch() else {
            return;
        };
        let mut token = Vec::new();
        if self.resumes() {
            let types = job.shape.key().iter().map(|column| column.cast.clone()).collect();
            let after = table.last_key().filter(|_| job.shape.hidden() == 0);
            let after = after.unwrap_or_else(|| job.after.clone());
            let rows = job.rows + table.rows();
            token = Token { done: false, oid: job.shape.oid, rows, types, after }.encode();
        }
        let (first, last, strand) = (first_key, last_key, Arc::clone(strand));
        let len = bytes.len();
        let piece = Piece { bytes, refused, first, last, strand, token, took: None };
        self.queue.push(piece, len).await;
    }

    /// Hands on nothing but how far the reading is.
    async fn mark(&self, strand: Arc<str>, token: &Token, took: Option<Duration>) {
        let mut writer = pgcdc_layout::BatchWriter::new();
        // A short name fits.
        let _ = writer.strand(&strand);
        let token = if self.resumes() { token.encode() } else { Vec::new() };
        let (first, last) = (OrderKey::EMPTY, OrderKey::EMPTY);
        let (bytes, refused) = (writer.finish(), Vec::new());
        self.queue.push(Piece { bytes, refused, first, last, strand, token, took }, 0).await;
    }
}

/// What a transaction that may take hours must not be ended by; and rows that a policy hides are an error, not missing.
pub(super) const PINS: &str = "SET LOCAL row_security = off;
    SELECT pg_catalog.set_config(s.name, '0', true) FROM pg_catalog.pg_settings s
    WHERE s.name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout');
    SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off";

/// Keeps a table from being rewritten while it is read.
pub(super) fn lock(shape: &Shape) -> String {
    let only = if shape.kind == 'r' { "ONLY " } else { "" };
    format!("LOCK TABLE {only}{}.{} IN ACCESS SHARE MODE", quote(&shape.schema), quote(&shape.name))
}

fn changed(shape: &Shape, why: &str) -> Error {
    let message = format!("table {} has changed while the snapshot was read: {why}", shape.table());
    let step = "nothing: what is left is read in a new snapshot";
    Error::unfit(Kind::Unavailable, "table_changed", message, step)
}

fn unread(place: &str, shape: &Shape, error: &Unread) -> Error {
    Error::protocol(place, format!("rows of {} cannot be read: {error}", shape.table()))
}
