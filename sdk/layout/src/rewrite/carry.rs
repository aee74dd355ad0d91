//! What a batch made of another takes from it.

use crate::spec::{NO_TIME, NO_TX};
use crate::view::{Body, Column, Event, Relation, Transaction, Type, View};
use crate::writer::{BatchWriter, BodyDef, ColumnDef, EventDef, RelationDef, TxDef, TypeDef, WriteError};

/// A writer with the header, the types and the transactions of a batch.
pub(super) fn start(from: &View<'_>) -> Result<BatchWriter, WriteError> {
    let mut out = BatchWriter::with_capacity(from.bytes().len());
    out.flags(from.flags()).detected_us(from.detected_us());
    out.strand(from.strand())?;
    out.resume(from.resume())?;
    out.source(from.source())?;
    out.more(from.more())?;
    for index in 0..from.type_count() as u32 {
        if let Some(ty) = from.ty(index) {
            add_type(&mut out, &ty)?;
        }
    }
    for index in 0..from.transaction_count() as u32 {
        if let Some(transaction) = from.transaction(index) {
            out.add_transaction(&tx_def(&transaction))?;
        }
    }
    Ok(out)
}

fn add_type(out: &mut BatchWriter, ty: &Type<'_>) -> Result<u32, WriteError> {
    let fields: Vec<_> = ty.fields().map(|field| column_def(&field)).collect();
    let elem = ty.element().map_or(0, |element| element.index());
    let (oid, kind, delim, name) = (ty.oid(), ty.kind(), ty.delimiter(), ty.name());
    out.add_type(&TypeDef { oid, kind, delim, name, elem, fields: &fields })
}

/// Adds a relation whose types are those of its own batch.
pub(super) fn add_relation(
    out: &mut BatchWriter,
    of: &Relation<'_>,
    columns: &[ColumnDef<'_>],
) -> Result<u32, WriteError> {
    out.add_relation(&RelationDef {
        oid: of.oid(),
        identity: of.identity(),
        schema: of.schema(),
        name: of.name(),
        channel: of.channel(),
        columns,
    })
}

pub(super) fn column_def<'a>(column: &Column<'a>) -> ColumnDef<'a> {
    ColumnDef {
        name: column.name(),
        ty: column.type_index(),
        typmod: column.typmod(),
        identity: column.identity(),
        primary: column.primary(),
    }
}

pub(super) fn tx_def<'a>(transaction: &Transaction<'a>) -> TxDef<'a> {
    TxDef {
        key: transaction.key(),
        commit_lsn: transaction.commit_lsn(),
        commit_us: transaction.commit_us().unwrap_or(NO_TIME),
        xid: transaction.xid(),
        first: transaction.first(),
        last: transaction.last(),
        name: transaction.name(),
    }
}

/// An event as it is, but for its rows and its body, whose bytes are in the old batch, and with itself as its
/// input.
pub(super) fn event_def<'a>(event: &'a Event<'_>) -> EventDef<'a> {
    EventDef {
        id: event.id(),
        key: event.key(),
        op: event.op(),
        tx: event.tx_index().unwrap_or(NO_TX),
        relation: event.relation_index(),
        after: None,
        before: None,
        seq: event.seq().unwrap_or_default(),
        body: match event.body() {
            Body::None => BodyDef::None,
            Body::Json(body) => BodyDef::Json(body),
            Body::Text(body) => BodyDef::Text(body),
            Body::Bytes(body) => BodyDef::Bytes(body),
        },
        input: Some(event.index()),
        derived: event.derived(),
        particulars: event.particulars(),
    }
}
