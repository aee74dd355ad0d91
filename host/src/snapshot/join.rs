//! The rows of a publication's tables, put into its stream exactly where their snapshot stands.
//!
//! A snapshot that `CREATE_REPLICATION_SLOT` exports sees the transactions that commit before the slot's consistent point P,
//! and no other. So: all that the stream has of transactions that commit before P is handed out, then the rows, then the
//! rest of the stream. There is no gap, and nothing is ever older than what was before it. That holds for the slot's own
//! point, where the stream begins, and as well for the point of a slot that is made in passing, later, for what a
//! crash has left unread.
//!
//! Why a table may be read in parts, each in another snapshot: rows up to key K were read at P, those behind K at P'. The
//! stream has every change from P on. Whatever of the first part changed until P' was in the stream before the second part; a row
//! that moved over K was an UPDATE with both keys. Without a key nothing says where K is, and the table is read from its start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use pgcdc_core::assembler::{Finished, Settings, Subject, TableFilter};
use pgcdc_core::id::Origin;
use pgcdc_core::identifier::quote_text;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::PostgresKey;
use pgcdc_core::snapshot::record::{Left, Record, TABLES_MAX};

use super::line::Line;
use super::read::{BOUNDS, Job, Moment, PINS, Reader};
use super::{End, Piece, Reading, look, too_many};
use crate::postgres::{Error, Params, Session};
use crate::wal::Progress;
use crate::wal::queue::Queue;

/// What a session hands out.
#[derive(Debug)]
pub(crate) enum Joined {
    Wal(Finished),
    Snapshot(Piece),
}

/// A snapshot and its place in a stream.
#[derive(Debug)]
pub(crate) struct Joint {
    point: Lsn,
    reading: Reading,
    phase: Phase,
    /// What came of the stream from `point` on, and has to wait.
    held: VecDeque<Finished>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// The stream has more from before the point.
    Before,
    Rows,
    After,
}

/// Everything that reading a publication takes.
pub(crate) struct Plan<'a> {
    pub(crate) params: &'a Params,
    pub(crate) publication: &'a str,
    pub(crate) tables: &'a TableFilter,
    pub(crate) record: &'a Record,
    pub(crate) origin: Origin,
    /// As the stream's, so that rows look alike.
    pub(crate) settings: &'a Settings,
}

impl Plan<'_> {
    /// What is left to read; looked at before a snapshot is made.
    async fn jobs(&self, session: &Session) -> Result<Vec<Job>, Error> {
        let shapes = look::published(session, self.publication).await?;
        let mut jobs = Vec::new();
        for shape in shapes.into_iter().filter(|shape| self.tables.wants(&shape.schema, &shape.name)) {
            let (after, rows) = match self.record.left(&shape) {
                Left::Nothing => continue,
                Left::All { again } => {
                    if again {
                        tracing::warn!(table = %shape.table(), "table is read from its start once more: it has no key to go on by, or is not what it was");
                    }
                    (Vec::new(), 0)
                }
                Left::After { values, rows } => (values, rows),
            };
            jobs.push(Job { shape, after, rows });
        }
        if jobs.len() > TABLES_MAX { Err(too_many(jobs.len())) } else { Ok(jobs) }
    }
}

impl Joint {
    /// Takes up the snapshot `exported`, of the point `point`, whose maker has to stay as it is until this returns.
    pub(crate) async fn open(plan: &Plan<'_>, point: Lsn, exported: &str) -> Result<Joint, Error> {
        let began = Instant::now();
        let settings =
            super::settings(plan.origin, false, crate::wal::Values::Typed, plan.settings.max_event_bytes);
        let settings = Settings {
            include_schema: plan.settings.include_schema,
            values: plan.settings.values,
            ..settings
        };
        let (session, line) =
            tokio::try_join!(Session::open(plan.params), Line::open(plan.params, settings.max_event_bytes))?;
        let doing = "taking up the snapshot";
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; {PINS}",
            quote_text(exported)
        );
        session.rows(&begin, doing).await?;
        let sql = "SELECT pg_catalog.pg_export_snapshot(), (extract(epoch FROM pg_catalog.now()) * 1000000)::bigint";
        let rows = session.rows(sql, doing).await?;
        let cell = |at: usize| rows.first()?.get(at)?.clone();
        let (Some(name), Some(at_us)) = (cell(0), cell(1).and_then(|text| text.parse().ok())) else {
            return Err(Error::protocol(session.place(), "the server exports a snapshot without a name"));
        };
        let jobs = plan.jobs(&session).await?;
        let estimate = jobs.iter().map(|job| u64::try_from(job.shape.estimate).ok()).sum();
        tracing::info!(%point, tables = jobs.len(), rows_estimated = estimate, "snapshot begins");
        let subject = Subject { point, view: Vec::new(), at_us };
        let queue = Arc::new(Queue::new(BOUNDS));
        let moment = Moment::Exported(name);
        let reader = Reader { line, session, moment, subject, settings, jobs, queue, began };
        let reading = Reading::start(reader, estimate, String::new());
        Ok(Joint { point, reading, phase: Phase::Before, held: VecDeque::new() })
    }

    /// How many rows the server thinks there are.
    pub(crate) fn estimate(&self) -> Option<u64> {
        self.reading.estimate
    }

    /// What is to be handed out next, at least one. Safe to drop and call again.
    pub(crate) async fn next(
        &mut self,
        stream: &Queue<Finished, Error>,
        progress: &Progress,
    ) -> Option<Result<Vec<Joined>, Error>> {
        loop {
            match self.phase {
                Phase::Before => {
                    let drained = tokio::select! {
                        biased;
                        drained = stream.drain() => drained,
                        () = progress.clear(self.point) => {
                            // What was read before that was announced is in the queue.
                            if stream.is_empty() {
                                self.phase = Phase::Rows;
                            }
                            continue;
                        }
                    };
                    match drained? {
                        Err(error) => return Some(Err(error)),
                        Ok(drained) => {
                            let before = self.split(drained);
                            if !before.is_empty() {
                                return Some(Ok(before));
                            }
                        }
                    }
                }
                Phase::Rows => match self.reading.next().await {
                    Ok(pieces) => return Some(Ok(pieces.into_iter().map(Joined::Snapshot).collect())),
                    Err(End::Failed(error)) => return Some(Err(error)),
                    Err(End::Done) => {
                        self.phase = Phase::After;
                        if !self.held.is_empty() {
                            return Some(Ok(self.held.drain(..).map(Joined::Wal).collect()));
                        }
                    }
                },
                Phase::After => {
                    let drained = stream.drain().await?;
                    return Some(drained.map(|batches| batches.into_iter().map(Joined::Wal).collect()));
                }
            }
        }
    }

    /// What is from before the point; the rest is held. Batches never lie on both sides: the assembler cuts there.
    fn split(&mut self, drained: Vec<Finished>) -> Vec<Joined> {
        let point = PostgresKey::snapshot(self.point, 0, 0).to_order_key();
        let mut before = Vec::with_capacity(drained.len());
        for batch in drained {
            if self.held.is_empty() && batch.first_key < point {
                before.push(Joined::Wal(batch));
            } else {
                self.held.push_back(batch);
            }
        }
        if !self.held.is_empty() {
            self.phase = Phase::Rows;
        }
        before
    }
}
