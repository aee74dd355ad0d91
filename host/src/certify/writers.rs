//! Writers at work on the source: each knows of every transaction whether it was committed.
//!
//! Invariant: an answer that never came is settled by a row that is part of the transaction: whoever inserts it first,
//! the transaction or the one who asks, decides; so a COMMIT that is still on its way cannot be missed.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::history::{Fate, Transaction};
use super::plan::Draw;
use super::script::{Author, Script, Statement};
use crate::postgres::{Error, Params, Session};

/// Between two transactions of one writer.
const PAUSE: Duration = Duration::from_millis(4);
/// Between two looks for a server that is away.
const AWAY: Duration = Duration::from_millis(100);

/// What writers are told, and what they tell.
pub(crate) struct Desk {
    /// They may write.
    pub(crate) open: watch::Sender<bool>,
    /// They end.
    pub(crate) stop: watch::Sender<bool>,
    /// Changes committed so far, all together.
    pub(crate) committed: AtomicU64,
    /// Transactions whose answer never came.
    pub(crate) unknown: AtomicU64,
}

impl Desk {
    pub(crate) fn new() -> Arc<Desk> {
        Arc::new(Desk {
            open: watch::Sender::new(true),
            stop: watch::Sender::new(false),
            committed: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        })
    }
}

/// One writer.
pub(crate) struct Writer {
    params: Params,
    schema: String,
    author: Author,
    session: Option<Session>,
    number: u64,
    desk: Arc<Desk>,
    done: Vec<Transaction>,
}

/// Starts writers 1 to `count`.
pub(crate) fn start(
    params: &Params,
    schema: &str,
    count: u32,
    draw: &Draw,
    desk: &Arc<Desk>,
) -> JoinSet<Vec<Transaction>> {
    let mut writers = JoinSet::new();
    for writer in 1..=i64::from(count) {
        let writer = Writer::new(params, schema, writer, draw, desk);
        writers.spawn(writer.run());
    }
    writers
}

impl Writer {
    pub(crate) fn new(params: &Params, schema: &str, writer: i64, draw: &Draw, desk: &Arc<Desk>) -> Writer {
        Writer {
            params: params.clone(),
            schema: schema.to_owned(),
            author: Author::new(schema, writer, draw),
            session: None,
            number: 0,
            desk: Arc::clone(desk),
            done: Vec::new(),
        }
    }

    async fn run(mut self) -> Vec<Transaction> {
        let (mut open, mut stop) = (self.desk.open.subscribe(), self.desk.stop.subscribe());
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return self.done,
                _ = open.wait_for(|open| *open) => {}
            }
            let script = self.author.next();
            self.transact(script).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One row more, committed. Everything before it is older.
    pub(crate) async fn mark(&mut self) {
        let script = self.author.mark();
        self.transact(script).await;
    }

    /// What was done so far.
    pub(crate) fn done(self) -> Vec<Transaction> {
        self.done
    }

    async fn transact(&mut self, script: Script) {
        self.number += 1;
        let fate = match self.send(&script).await {
            Ok(()) if script.roll_back => Fate::Aborted,
            Ok(()) => Fate::Committed,
            Err(_) => Fate::Unknown,
        };
        let fate = match fate {
            Fate::Unknown => {
                self.session = None;
                self.desk.unknown.fetch_add(1, Ordering::Relaxed);
                self.settle().await
            }
            known => known,
        };
        if !script.taken_back.is_empty() {
            self.done.push(Transaction { changes: script.taken_back.clone(), fate: Fate::Aborted });
        }
        self.done.push(Transaction { changes: script.changes.clone(), fate });
        if fate == Fate::Committed {
            self.desk.committed.fetch_add(script.changes.len() as u64, Ordering::Relaxed);
            self.author.committed(script);
        }
    }

    /// An error leaves open what became of it.
    async fn send(&mut self, script: &Script) -> Result<(), Error> {
        let (schema, writer, number) = (self.schema.clone(), self.author.writer(), self.number);
        let end = if script.roll_back { "rollback" } else { "commit" };
        let fate = format!("insert into {schema}.fates values ({writer}, {number}, true)");
        let session = self.session().await;
        let mut gathered = vec!["begin", fate.as_str()];
        for statement in &script.statements {
            match statement {
                Statement::Sql(sql) => gathered.push(sql),
                Statement::Copy { sql, rows } => {
                    send_all(session, &mut gathered, script.step_by_step).await?;
                    copy_in(session, sql, rows).await?;
                }
            }
        }
        gathered.push(end);
        send_all(session, &mut gathered, script.step_by_step).await
    }

    async fn session(&mut self) -> &Session {
        let session = match self.session.take() {
            Some(session) => session,
            None => connected(&self.params).await,
        };
        self.session.insert(session)
    }

    /// Waits for a transaction that is still under way, and is its judge if it has not committed.
    async fn settle(&mut self) -> Fate {
        let sql = format!(
            "insert into {}.fates values ({}, {}, false) on conflict do nothing returning 1",
            self.schema,
            self.author.writer(),
            self.number
        );
        let ours = format!(
            "select 1 from {}.fates where writer = {} and number = {} and committed",
            self.schema,
            self.author.writer(),
            self.number
        );
        loop {
            let session = self.session().await;
            let asked = async {
                session.rows(&sql, "settling a transaction").await?;
                session.rows(&ours, "settling a transaction").await
            };
            match asked.await {
                Ok(rows) if rows.is_empty() => return Fate::Aborted,
                Ok(_) => return Fate::Committed,
                Err(_) => {
                    self.session = None;
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
    }
}

/// One message a statement, or one for all.
async fn send_all(session: &Session, statements: &mut Vec<&str>, step_by_step: bool) -> Result<(), Error> {
    let statements = std::mem::take(statements);
    if !step_by_step {
        return session.rows(&statements.join("; "), "writing").await.map(drop);
    }
    for sql in statements {
        session.rows(sql, "writing").await?;
    }
    Ok(())
}

async fn copy_in(session: &Session, sql: &str, rows: &str) -> Result<(), Error> {
    let copy = async {
        let mut sink = pin!(session.client().copy_in(sql).await?);
        sink.send(Bytes::copy_from_slice(rows.as_bytes())).await?;
        sink.finish().await
    };
    copy.await.map(drop).map_err(|error| session.error("copying", error))
}

/// The server may be away for a while.
async fn connected(params: &Params) -> Session {
    loop {
        match Session::open(params).await {
            Ok(session) => return session,
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
}
