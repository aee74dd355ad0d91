//! A new batch out of an old one: what transforms do with rows, and subsets of a batch.
//!
//! Invariants: the header, the types and the transactions are carried over as they are, in their order; every
//! event that is written names the one that it comes from.

mod carry;
mod plan;
mod select;

pub use plan::{ColumnPlan, RelationPlan};
pub use select::{pick, select, slice};

use std::borrow::Cow;

use crate::spec::Op;
use crate::view::{Cell, Event, RawTuple, Relation, View};
use crate::writer::{BatchWriter, BodyDef, EventDef, RelationDef, TupleRef, WriteError};
use plan::Table;

/// Which row of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The row after the change.
    After,
    /// The row before it.
    Before,
}

/// What becomes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped<'m> {
    /// It stays.
    Same,
    /// NULL.
    Null,
    /// Another value.
    Value(Cow<'m, str>),
}

/// A free-form event that takes an old one's place.
#[derive(Debug, Clone, Copy, Default)]
pub struct FreeForm<'a> {
    /// A relation of the new batch, as [`Rewriter::channel`] gave it; none = the old event's.
    pub relation: Option<u32>,
    /// What happened; none = as in the old event.
    pub op: Option<Op>,
    /// The payload.
    pub body: BodyDef<'a>,
    /// The particulars; none = those of the old event.
    pub particulars: Option<&'a str>,
    /// n-th child of the old event; 0 = the event itself.
    pub derived: u32,
    /// The old event's rows stay beside the payload, as their relation's plan says: for whoever keeps order by their key.
    /// Not with a relation of its own.
    pub rows: bool,
}

/// Writes a batch event by event, each out of one of the old batch, in its order.
pub struct Rewriter<'a, P> {
    from: View<'a>,
    out: BatchWriter,
    plan: P,
    tables: Vec<Option<Table>>,
    text_type: Option<u32>,
}

impl<'a, P: FnMut(&Relation<'a>) -> RelationPlan> Rewriter<'a, P> {
    /// `plan` is asked once for every relation of which an event is passed on.
    ///
    /// # Errors
    /// `TooLarge`, only for a batch that was not checked.
    pub fn new(from: View<'a>, plan: P) -> Result<Self, WriteError> {
        let out = carry::start(&from)?;
        let mut tables = Vec::new();
        tables.resize_with(from.relation_count(), || None);
        Ok(Rewriter { from, out, plan, tables, text_type: None })
    }

    /// The old batch.
    pub fn from(&self) -> View<'a> {
        self.from
    }

    /// The new batch, for what this type has no function for.
    pub fn writer(&mut self) -> &mut BatchWriter {
        &mut self.out
    }

    /// Passes an event on as its relation's plan says.
    ///
    /// # Errors
    /// `Full`, `TooLarge`: the event does not fit.
    pub fn pass(&mut self, event: &Event<'a>) -> Result<(), WriteError> {
        self.pass_with(event, 0, |_, _, _| Mapped::Same)
    }

    /// Passes an event on as its relation's plan says, as its n-th child if `derived` is not 0. Of each
    /// column that the plan maps, `map` is given the value: the row, the column's index in the old relation,
    /// the text. What is no value stays what it is.
    ///
    /// # Errors
    /// `Full`, `TooLarge`: the event does not fit.
    pub fn pass_with(
        &mut self,
        event: &Event<'a>,
        derived: u32,
        mut map: impl FnMut(Side, usize, &'a str) -> Mapped<'a>,
    ) -> Result<(), WriteError> {
        let relation = self.relation(event)?;
        let after = self.row(event, Side::After, &mut map)?;
        let before = self.row(event, Side::Before, &mut map)?;
        let def = EventDef { relation, after, before, derived, ..carry::event_def(event) };
        self.out.add_event(&def).map(drop)
    }

    /// Writes a free-form event out of an old one.
    ///
    /// # Errors
    /// `NotJson`, `Unknown` for the relation, `Full`, `TooLarge`.
    pub fn free_form(&mut self, event: &Event<'a>, form: &FreeForm<'_>) -> Result<(), WriteError> {
        self.free_form_with(event, form, |_, _, _| Mapped::Same)
    }

    /// The same; `map` is for the rows that stay, as in [`Rewriter::pass_with`].
    ///
    /// # Errors
    /// `NotJson`, `Unknown` for the relation, `Full`, `TooLarge`.
    pub fn free_form_with(
        &mut self,
        event: &Event<'a>,
        form: &FreeForm<'_>,
        mut map: impl FnMut(Side, usize, &'a str) -> Mapped<'a>,
    ) -> Result<(), WriteError> {
        let (relation, stay) = match form.relation {
            Some(relation) => (relation, false),
            None => (self.relation(event)?, form.rows),
        };
        let (mut after, mut before) = (None, None);
        if stay {
            after = self.row(event, Side::After, &mut map)?;
            before = self.row(event, Side::Before, &mut map)?;
        }
        let old = carry::event_def(event);
        let def = EventDef {
            relation,
            op: form.op.unwrap_or(old.op),
            body: form.body,
            particulars: form.particulars.unwrap_or(old.particulars),
            derived: form.derived,
            after,
            before,
            ..old
        };
        self.out.add_event(&def).map(drop)
    }

    /// Adds a channel for free-form events.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    pub fn channel(&mut self, name: &str) -> Result<u32, WriteError> {
        self.out.add_relation(&RelationDef::channel(name))
    }

    /// The new batch; none if it has no events.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        (self.out.event_count() > 0).then(|| self.out.finish())
    }

    /// The relation of the new batch that an event's own has become.
    fn relation(&mut self, event: &Event<'a>) -> Result<u32, WriteError> {
        let index = event.relation_index();
        if let Some(Some(table)) = self.tables.get(index as usize) {
            return Ok(table.index);
        }
        let unknown = WriteError::Unknown { what: "relation", index };
        let relation = event.relation().ok_or(unknown)?;
        let plan = (self.plan)(&relation);
        let table = Table::add(&mut self.out, &relation, &plan, &mut self.text_type)?;
        let place = self.tables.get_mut(index as usize).ok_or(unknown)?;
        Ok(place.insert(table).index)
    }

    fn row(
        &mut self,
        event: &Event<'a>,
        side: Side,
        map: &mut impl FnMut(Side, usize, &'a str) -> Mapped<'a>,
    ) -> Result<Option<TupleRef>, WriteError> {
        let raw = match side {
            Side::After => event.raw_after(),
            Side::Before => event.raw_before(),
        };
        let (Some(raw), Some(Some(table))) = (raw, self.tables.get(event.relation_index() as usize)) else {
            return Ok(None);
        };
        if table.whole {
            return self.out.copy_tuple(&raw).map(Some);
        }
        write_row(&mut self.out, table, &raw, side, map).map(Some)
    }
}

impl<P> core::fmt::Debug for Rewriter<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rewriter").field("from", &self.from).field("out", &self.out).finish_non_exhaustive()
    }
}

fn write_row<'a>(
    out: &mut BatchWriter,
    table: &Table,
    raw: &RawTuple<'a>,
    side: Side,
    map: &mut impl FnMut(Side, usize, &'a str) -> Mapped<'a>,
) -> Result<TupleRef, WriteError> {
    let mut row = out.tuple(table.width)?;
    for (column, (cell, fate)) in raw.iter().zip(&table.fates).enumerate() {
        let text = match cell {
            _ if fate.dropped => continue,
            Cell::Value(text) => text,
            Cell::Null => {
                row.null();
                continue;
            }
            Cell::Unchanged => {
                row.unchanged();
                continue;
            }
            Cell::Absent => {
                row.absent();
                continue;
            }
        };
        if !fate.mapped {
            row.value(text);
            continue;
        }
        match map(side, column, core::str::from_utf8(text).unwrap_or_default()) {
            Mapped::Same => row.value(text),
            Mapped::Null => row.null(),
            Mapped::Value(value) => row.value(value.as_bytes()),
        }
    }
    row.finish()
}
