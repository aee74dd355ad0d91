//! Writers of numbered changes, which know of every transaction whether it was committed.
//!
//! Invariant: a writer's changes are numbered upwards, and each owns its rows; so what must arrive, and in
//! which order, is known without asking anybody.
//! Invariant: an answer that never came (the server was killed) is settled by asking the source afterwards,
//! through a row that was part of the transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use ::postgres::{Client, NoTls};

use super::journal::DEADLINE;
use super::poll;

/// The table that the writers fill, and the one that says which transactions were committed.
pub const TABLES: &str = "
    create table ledger (writer int, key int, version bigint not null, note text, primary key (writer, key));
    alter table ledger replica identity full;
    create table ledger_commits (writer int, number bigint, primary key (writer, number));";
/// Keys a writer uses; few, so that rows are changed often.
const KEYS: u64 = 20;
const CHANGES_MAX: u64 = 6;

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A new row.
    Insert,
    /// A new version.
    Update,
    /// The row's end, at the version that it had.
    Delete,
}

/// One change of one row, unique in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// Who.
    pub writer: i64,
    /// Which row.
    pub key: i64,
    /// The writer's number of this change (for a delete: of the version deleted).
    pub version: i64,
    /// What.
    pub kind: Kind,
}

/// One transaction and what became of it.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// In order.
    pub changes: Vec<Change>,
    /// Whether the source has it.
    pub committed: bool,
}

#[derive(Default)]
struct Progress {
    committed: Mutex<usize>,
    changed: Condvar,
}

/// Writers at work.
pub struct Writers {
    threads: Vec<JoinHandle<Vec<Transaction>>>,
    progress: Arc<Progress>,
}

impl Writers {
    /// Starts `writers` of them, each for `transactions` transactions.
    #[must_use]
    pub fn start(url: &str, writers: u32, transactions: u32) -> Self {
        let progress = Arc::new(Progress::default());
        let threads = (1..=writers).map(|number| {
            let (url, progress) = (url.to_owned(), Arc::clone(&progress));
            std::thread::spawn(move || Writer::new(&url, i64::from(number)).run(transactions, &progress))
        });
        Self { threads: threads.collect(), progress }
    }

    /// Waits until they have committed this many transactions together.
    #[track_caller]
    pub fn wait_committed(&self, count: usize) {
        let end = Instant::now() + DEADLINE;
        let mut committed = self.progress.committed.lock().unwrap_or_else(PoisonError::into_inner);
        while *committed < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the writers committed {committed} transactions, not {count}");
            let waited = self.progress.changed.wait_timeout(committed, left);
            committed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for them, and returns what each has done, in its order.
    #[must_use]
    #[track_caller]
    pub fn finish(self) -> Vec<Vec<Transaction>> {
        let join = |thread: JoinHandle<_>| thread.join().unwrap_or_else(|_| panic!("a writer has failed"));
        self.threads.into_iter().map(join).collect()
    }
}

struct Writer {
    url: String,
    writer: i64,
    client: Option<Client>,
    /// Version of each row that exists, as committed.
    rows: BTreeMap<i64, i64>,
    version: i64,
    random: u64,
}

impl Writer {
    fn new(url: &str, writer: i64) -> Self {
        let random = 0x9E37_79B9_7F4A_7C15 ^ writer.unsigned_abs();
        Self { url: url.to_owned(), writer, client: None, rows: BTreeMap::new(), version: 0, random }
    }

    fn run(mut self, transactions: u32, progress: &Progress) -> Vec<Transaction> {
        let mut done = Vec::new();
        for number in 1..=i64::from(transactions) {
            let rows = self.rows.clone();
            let changes = self.draw_changes();
            let roll_back = self.draw(10) == 0;
            let answer = self.transact(number, &changes, roll_back);
            let committed = answer.unwrap_or_else(|_| self.was_committed(number));
            if committed {
                *progress.committed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                progress.changed.notify_all();
            } else {
                self.rows = rows;
            }
            done.push(Transaction { changes, committed });
        }
        done
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn draw_changes(&mut self) -> Vec<Change> {
        (0..=self.draw(CHANGES_MAX)).map(|_| self.draw_change()).collect()
    }

    fn draw_change(&mut self) -> Change {
        let key = i64::try_from(self.draw(KEYS)).unwrap_or(0);
        let delete = self.draw(4) == 0;
        let writer = self.writer;
        match self.rows.get(&key).copied() {
            Some(version) if delete => {
                self.rows.remove(&key);
                Change { writer, key, version, kind: Kind::Delete }
            }
            present => {
                self.version += 1;
                self.rows.insert(key, self.version);
                let kind = if present.is_some() { Kind::Update } else { Kind::Insert };
                Change { writer, key, version: self.version, kind }
            }
        }
    }

    /// `Ok` says what became of it; an error leaves that open.
    fn transact(
        &mut self,
        number: i64,
        changes: &[Change],
        roll_back: bool,
    ) -> Result<bool, ::postgres::Error> {
        if self.client.is_none() {
            self.client = Some(self.connect());
        }
        let Some(client) = &mut self.client else { return Ok(false) };
        let mut sql = format!("begin; insert into ledger_commits values ({}, {number});", self.writer);
        for Change { writer, key, version, kind } in changes {
            let row = format!("writer = {writer} and key = {key}");
            sql += &match kind {
                Kind::Insert => format!(
                    "insert into ledger values ({writer}, {key}, {version}, 'n\u{ef}ce \" {version}');"
                ),
                Kind::Update => format!("update ledger set version = {version}, note = null where {row};"),
                Kind::Delete => format!("delete from ledger where {row};"),
            };
        }
        sql += if roll_back { "rollback" } else { "commit" };
        client.batch_execute(&sql).map(|()| !roll_back).inspect_err(|_| self.client = None)
    }

    /// The server may be away for a while.
    fn connect(&self) -> Client {
        poll::until("the writers' server", || Client::connect(&self.url, NoTls).ok())
    }

    fn was_committed(&mut self, number: i64) -> bool {
        let writer = i32::try_from(self.writer).unwrap_or(0);
        let sql = "select 1 from ledger_commits where writer = $1 and number = $2";
        poll::until("the fate of a transaction", || {
            let mut client = self.connect();
            let found = client.query_opt(sql, &[&writer, &number]).ok()?;
            self.client = Some(client);
            Some(found.is_some())
        })
    }
}
