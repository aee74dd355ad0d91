//! Folds pgoutput messages into batches of the flat layout.
//!
//! Whoever reads the socket calls [`Assembler::feed`] with each message, and [`Assembler::take_batch`] when
//! the socket has nothing more or [`Assembler::is_full`]. A batch may span many transactions, a transaction
//! many batches. Invariants:
//! - the same WAL gives the same keys and ids, wherever batches end and whatever is filtered or switched on;
//! - keys ascend strictly from event to event, refused ones included;
//! - a transaction's end LSN becomes the resume position only after its last event is in a batch;
//! - a message that was not taken ([`Fed::NeedTypes`], [`Fed::Full`]) has changed nothing that feeding it
//!   again would repeat; after an [`Error`] the assembler is of no more use.

mod body;
mod events;
mod known;
mod open_batch;
mod outcome;
mod pattern;
mod refusal;
mod row;
mod settings;
mod snapshot;
mod tables;
mod transaction;

use pgcdc_layout::WriteError;

pub use open_batch::{MESSAGE_CHANNEL, TXN_CHANNEL};
pub use outcome::{Error, Fed, Finished, Reason, Refused};
pub use pattern::{BadPattern, TableFilter, TablePattern};
pub use settings::{BadSetting, EVENT_BYTES_MAX, EVENT_BYTES_MIN, Settings, Values};
pub use snapshot::{SnapshotTable, Subject};

use crate::catalog::{TypeCatalog, TypeRow};
use crate::lsn::Lsn;
use crate::pgoutput::{Begin, Commit, Head, Logical, Message, Relation, Truncate};
use events::Stamp;
use known::Known;
use open_batch::OpenBatch;
use row::{Failed, Row};
use tables::Tables;
use transaction::Transaction;

/// Turns one replication connection's messages into batches.
#[derive(Debug)]
pub struct Assembler {
    known: Known,
    tables: Tables,
    tx: Option<Transaction>,
    batch: OpenBatch,
}

impl Assembler {
    /// A new connection that starts at `resume`. The catalog may come from the connection before.
    pub fn new(settings: Settings, catalog: TypeCatalog, resume: Lsn) -> Result<Assembler, BadSetting> {
        settings.check()?;
        let batch = OpenBatch::new(&settings, resume);
        let known = Known { settings, catalog, resume, now_us: 0 };
        Ok(Assembler { known, tables: Tables::default(), tx: None, batch })
    }

    /// Takes one message. `wal_start` is what the server's frame says of it, `now_us` the present time in
    /// microseconds since 1970.
    pub fn feed(&mut self, wal_start: Lsn, data: &[u8], now_us: i64) -> Result<Fed, Error> {
        if data.len() > self.known.settings.max_event_bytes {
            return self.feed_head(wal_start, data, data.len() as u64, now_us);
        }
        self.known.now_us = now_us;
        let fed = match Message::decode(data)? {
            Message::Insert(m) => self.row(&Row::insert(&m), wal_start),
            Message::Update(m) => self.row(&Row::update(&m), wal_start),
            Message::Delete(m) => self.row(&Row::delete(&m), wal_start),
            Message::Begin(m) => self.begin(m),
            Message::Commit(m) => self.commit(&m),
            Message::Relation(m) => self.relation(&m),
            Message::Truncate(m) => self.truncate(&m, wal_start),
            Message::Logical(m) => self.logical(&m),
            Message::Type(m) => {
                self.known.catalog.announce(m.oid, m.name);
                Ok(Fed::Taken)
            }
            Message::Origin(_) => Ok(Fed::Taken),
        };
        self.full_is_no_error(fed)
    }

    /// Takes a change that is larger than `max_event_bytes` and was read past: its first bytes (a few
    /// kilobytes are enough to find its row's key) and its length. The event is refused, and keeps its place.
    pub fn feed_head(&mut self, wal_start: Lsn, head: &[u8], bytes: u64, now_us: i64) -> Result<Fed, Error> {
        self.known.now_us = now_us;
        let fed = self.refuse_head(wal_start, head, bytes);
        self.full_is_no_error(fed)
    }

    /// Whether the batch should be taken now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch.is_full(&self.known.settings)
    }

    /// Whether there is nothing to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty(self.known.resume)
    }

    /// Whether the last message was inside of a transaction.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.tx.is_some()
    }

    /// What came since the last call. A batch without events only moves the resume position: of transactions
    /// that have none, and of one whose last event was taken before its Commit came.
    pub fn take_batch(&mut self) -> Option<Finished> {
        self.batch.finish(&self.known, self.tx.is_some())
    }

    /// The answer to [`Fed::NeedTypes`]: the rows that [`crate::catalog::TYPES_SQL`] gave for these oids.
    pub fn learn_types(&mut self, asked: &[u32], rows: Vec<TypeRow>) {
        self.known.catalog.learn(asked, rows);
        self.batch.forget_types();
    }

    /// What is known of types, for the next connection.
    #[must_use]
    pub fn into_catalog(self) -> TypeCatalog {
        self.known.catalog
    }

    /// A full batch is a matter of taking it first. But if it is empty, nothing would be won by that.
    #[inline]
    fn full_is_no_error(&self, fed: Result<Fed, Error>) -> Result<Fed, Error> {
        match fed {
            Err(Error::Layout(WriteError::Full { .. })) if self.batch.events() > 0 => Ok(Fed::Full),
            fed => fed,
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<Fed, Error> {
        if self.tx.is_some() {
            return unexpected("Begin", "the transaction before has not ended");
        }
        if self.known.settings.cut_at.take_if(|at| begin.commit_lsn >= *at).is_some()
            && self.batch.events() > 0
        {
            return Ok(Fed::Full);
        }
        self.tx = Some(Transaction::new(begin));
        Ok(Fed::Taken)
    }

    fn commit(&mut self, commit: &Commit) -> Result<Fed, Error> {
        let Some(tx) = self.tx.as_mut() else { return unexpected("Commit", OUTSIDE) };
        if commit.commit_lsn != tx.begin.commit_lsn {
            return unexpected("Commit", "its LSN is not the one that Begin announced");
        }
        if commit.end_lsn < self.known.resume {
            return unexpected("Commit", "it ends before a transaction that was sent earlier");
        }
        self.batch.conclude(&self.known, tx)?;
        self.tx = None;
        self.known.resume = commit.end_lsn;
        Ok(Fed::Taken)
    }

    fn relation(&mut self, relation: &Relation<'_>) -> Result<Fed, Error> {
        tables::check_width(relation)?;
        if self.known.settings.tables.wants(tables::schema_name(relation), relation.name) {
            let oids = relation.columns().map(|column| column.type_oid);
            let mut missing: Vec<u32> = oids.filter(|oid| self.known.catalog.is_missing(*oid)).collect();
            if !missing.is_empty() {
                missing.sort_unstable();
                missing.dedup();
                return Ok(Fed::NeedTypes(missing));
            }
        }
        self.tables.put(relation, &self.known.settings.tables)?;
        Ok(Fed::Taken)
    }

    #[inline]
    fn row(&mut self, row: &Row<'_>, wal_start: Lsn) -> Result<Fed, Error> {
        let Some(tx) = self.tx.as_mut() else { return unexpected("row", OUTSIDE) };
        let table = self.tables.get(row.relation)?;
        let place = tx.next_place(wal_start);
        if !table.wanted {
            tx.pass(place);
            return Ok(Fed::Taken);
        }
        row.check_columns(table)?;
        let stamp = Stamp::of_row(&self.known, tx, place, row.op);
        match self.batch.add_row(&self.known, tx, table, row, &stamp) {
            Ok(()) => {}
            Err(Failed::Layout(WriteError::NotUtf8 { column })) => {
                let reason = Reason::NotUtf8 { column: table.column_name(column) };
                let named = row.before.as_ref().or(row.after.as_ref());
                self.batch.refuse(refusal::of_row(&stamp, table, named, reason));
            }
            Err(Failed::Layout(error)) => return Err(error.into()),
            Err(Failed::Binary(column)) => {
                let (schema, name) = (table.schema.clone(), table.name.clone());
                return Err(Error::Binary { schema, table: name, column: table.column_name(column) });
            }
        }
        tx.rows = tx.next_row();
        tx.pass(place);
        Ok(Fed::Taken)
    }

    fn truncate(&mut self, truncate: &Truncate<'_>, wal_start: Lsn) -> Result<Fed, Error> {
        let Some(done) = self.tx.as_ref().map(|tx| tx.truncated) else {
            return unexpected("Truncate", OUTSIDE);
        };
        for relation in truncate.relations().skip(done) {
            self.row(&Row::truncate(relation), wal_start)?;
            self.tx.iter_mut().for_each(|tx| tx.truncated += 1);
        }
        self.tx.iter_mut().for_each(|tx| tx.truncated = 0);
        Ok(Fed::Taken)
    }

    fn logical(&mut self, message: &Logical<'_>) -> Result<Fed, Error> {
        let tx = self.tx.as_mut().filter(|_| message.transactional);
        let stamp = Stamp::of_message(&self.known, tx.as_deref(), message.transactional, message.lsn)?;
        self.batch.add_message(&self.known, tx, message, &stamp)?;
        Ok(Fed::Taken)
    }

    fn refuse_head(&mut self, wal_start: Lsn, head: &[u8], bytes: u64) -> Result<Fed, Error> {
        let bytes_max = self.known.settings.max_event_bytes as u64;
        let reason = Reason::TooLarge { bytes, bytes_max };
        match Head::decode(head)? {
            Some(Head::Row { op, relation, start }) => {
                let Some(tx) = self.tx.as_mut() else { return unexpected("row", OUTSIDE) };
                let table = self.tables.get(relation)?;
                let place = tx.next_place(wal_start);
                if table.wanted {
                    self.batch.announce(&self.known, tx)?;
                    let stamp = Stamp::of_row(&self.known, tx, place, op);
                    self.batch.refuse(refusal::of_row(&stamp, table, start.as_ref(), reason));
                    tx.rows = tx.next_row();
                }
                tx.pass(place);
            }
            Some(Head::Message { transactional, lsn }) => {
                let tx = self.tx.as_mut().filter(|_| transactional);
                let stamp = Stamp::of_message(&self.known, tx.as_deref(), transactional, lsn)?;
                if let Some(tx) = tx {
                    self.batch.announce(&self.known, tx)?;
                }
                self.batch.refuse(refusal::of_channel(&stamp, MESSAGE_CHANNEL, reason));
            }
            None => return Err(Error::TooLarge { bytes }),
        }
        Ok(Fed::Taken)
    }
}

const OUTSIDE: &str = "no transaction has begun";

fn unexpected<T>(message: &'static str, why: &'static str) -> Result<T, Error> {
    Err(Error::Unexpected { message, why })
}
