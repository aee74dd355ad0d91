//! Events into the open batch, each with its key and its id.

use pgcdc_layout::spec::NO_TIME;
use pgcdc_layout::writer::BodyDef;
use pgcdc_layout::{EventDef, Op, WriteError};

use super::known::Known;
use super::open_batch::OpenBatch;
use super::outcome::Error;
use super::row::{self, Failed, Row};
use super::tables::Table;
use super::toast::Kept;
use super::transaction::{Place, Transaction};
use super::{OUTSIDE, body, unexpected};
use crate::id::{Id, postgres_id};
use crate::lsn::Lsn;
use crate::order_key::PostgresKey;
use crate::pgoutput::{Begin, Logical};

/// What is known of an event whatever becomes of it.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) op: Op,
    pub(super) id: Id,
    pub(super) key: PostgresKey,
    pub(super) xid: u32,
    pub(super) commit_us: i64,
    pub(super) seq: u32,
}

impl Stamp {
    #[inline]
    pub(super) fn of_row(known: &Known, tx: &Transaction, place: Place, op: Op) -> Stamp {
        Stamp { seq: tx.next_row(), ..Stamp::inside(known, &tx.begin, tx.row_key(place), op) }
    }

    pub(super) fn of_message(
        known: &Known,
        tx: Option<&Transaction>,
        transactional: bool,
        lsn: Lsn,
    ) -> Result<Stamp, Error> {
        if let Some(tx) = tx {
            let key = PostgresKey::message_inside(tx.begin.commit_lsn, lsn);
            return Ok(Stamp::inside(known, &tx.begin, key, Op::Message));
        }
        if transactional {
            return unexpected("transactional Message", OUTSIDE);
        }
        let key = PostgresKey::message_outside(lsn);
        let id = postgres_id(known.settings.origin, 0, &key, NO_TIME);
        Ok(Stamp { op: Op::Message, id, key, xid: 0, commit_us: NO_TIME, seq: 0 })
    }

    #[inline]
    fn inside(known: &Known, begin: &Begin, key: PostgresKey, op: Op) -> Stamp {
        let id = postgres_id(known.settings.origin, begin.xid, &key, begin.commit_us);
        Stamp { op, id, key, xid: begin.xid, commit_us: begin.commit_us, seq: 0 }
    }
}

impl OpenBatch {
    #[inline]
    pub(super) fn add_row(
        &mut self,
        known: &Known,
        tx: &mut Transaction,
        table: &mut Table,
        row: &Row<'_>,
        kept: Option<&Kept>,
        stamp: &Stamp,
    ) -> Result<(), Failed> {
        self.announce(known, tx)?;
        let relation = self.relation(known, table)?;
        let index = self.transaction(tx)?;
        let (after, before) = row::write(&mut self.writer, table, row, kept)?;
        let particulars = row.particulars;
        self.add(
            stamp,
            EventDef { tx: index, after, before, particulars, ..EventDef::new(stamp.op, relation) },
        )?;
        tx.begun = true;
        Ok(())
    }

    pub(super) fn add_message(
        &mut self,
        known: &Known,
        tx: Option<&mut Transaction>,
        message: &Logical<'_>,
        stamp: &Stamp,
    ) -> Result<(), WriteError> {
        self.start(known)?;
        let body = body::message(message);
        let body = BodyDef::Json(&body);
        let Some(tx) = tx else {
            let relation = self.message_channel()?;
            let tx = self.no_transaction(message.lsn)?;
            return self.add(stamp, EventDef { tx, body, ..EventDef::new(stamp.op, relation) });
        };
        self.announce(known, tx)?;
        let relation = self.message_channel()?;
        let index = self.transaction(tx)?;
        self.add(stamp, EventDef { tx: index, body, ..EventDef::new(stamp.op, relation) })?;
        tx.begun = true;
        Ok(())
    }

    pub(super) fn add_shape(
        &mut self,
        known: &Known,
        tx: &mut Transaction,
        body: &str,
        key: PostgresKey,
    ) -> Result<(), WriteError> {
        self.announce(known, tx)?;
        let relation = self.schema_channel()?;
        let index = self.transaction(tx)?;
        let stamp = Stamp::inside(known, &tx.begin, key, Op::SchemaChange);
        let body = BodyDef::Json(body);
        self.add(&stamp, EventDef { tx: index, body, ..EventDef::new(stamp.op, relation) })?;
        tx.begun = true;
        Ok(())
    }

    /// Comes before any event of a transaction: the header, and once the BEGIN marker.
    #[inline]
    pub(super) fn announce(&mut self, known: &Known, tx: &mut Transaction) -> Result<(), WriteError> {
        self.start(known)?;
        if known.settings.tx_markers && !tx.announced {
            let key = PostgresKey::begin(tx.begin.commit_lsn);
            self.add_marker(tx, &Stamp::inside(known, &tx.begin, key, Op::Begin), None)?;
            tx.announced = true;
        }
        Ok(())
    }

    /// Comes after all events of a transaction: the COMMIT marker, if there was a BEGIN.
    pub(super) fn conclude(&mut self, known: &Known, tx: &mut Transaction) -> Result<(), WriteError> {
        if tx.announced && !tx.concluded {
            self.start(known)?;
            let key = PostgresKey::commit(tx.begin.commit_lsn);
            let rows = Some(tx.rows);
            self.add_marker(tx, &Stamp::inside(known, &tx.begin, key, Op::Commit), rows)?;
            tx.concluded = true;
        }
        self.close_transaction(tx)
    }

    #[cold]
    fn add_marker(
        &mut self,
        tx: &mut Transaction,
        stamp: &Stamp,
        rows: Option<u32>,
    ) -> Result<(), WriteError> {
        let relation = self.txn_channel()?;
        let body = body::marker(&tx.begin, rows);
        let index = self.transaction(tx)?;
        let body = BodyDef::Json(&body);
        self.add(stamp, EventDef { tx: index, body, ..EventDef::new(stamp.op, relation) })?;
        tx.begun = true;
        Ok(())
    }

    #[inline]
    pub(super) fn add(&mut self, stamp: &Stamp, event: EventDef<'_>) -> Result<(), WriteError> {
        let key = stamp.key.event_part();
        self.writer.add_event(&EventDef { id: stamp.id, key: &key, seq: stamp.seq, ..event })?;
        self.add_key(stamp.key);
        Ok(())
    }
}
