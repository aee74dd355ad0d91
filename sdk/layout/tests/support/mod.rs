//! Random batches, as plain values first and then as bytes.

#![allow(clippy::unwrap_used, dead_code, reason = "shared by tests that each use some of it")]

use pgcdc_layout::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A type as a tree.
#[derive(Debug, Clone)]
pub(crate) enum Ty {
    Scalar(Kind),
    Array(u8, Box<Ty>),
    Composite(Vec<(String, Ty)>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Unchanged,
    Absent,
    Text(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) channel: String,
    pub(crate) columns: Vec<(String, Ty)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Payload {
    None,
    Json(String),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: [u8; 16],
    pub(crate) key: Vec<u8>,
    pub(crate) op: Op,
    pub(crate) tx: Option<usize>,
    pub(crate) table: usize,
    pub(crate) after: Option<Vec<Value>>,
    pub(crate) before: Option<Vec<Value>>,
    pub(crate) seq: u32,
    pub(crate) derived: u32,
    pub(crate) payload: Payload,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) flags: u16,
    pub(crate) detected_us: i64,
    pub(crate) source: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) transactions: Vec<(Vec<u8>, u32, Option<i64>)>,
    pub(crate) changes: Vec<Change>,
}

fn scalar() -> impl Strategy<Value = Ty> {
    (0u8..7).prop_map(|kind| Ty::Scalar(Kind::from_u8(kind).unwrap()))
}

pub(crate) fn ty() -> impl Strategy<Value = Ty> {
    scalar().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (select(&[b',', b';'][..]), inner.clone()).prop_map(|(delim, ty)| Ty::Array(delim, Box::new(ty))),
            vec(("[a-z\"\\\\é]{0,5}", inner), 0..4).prop_map(Ty::Composite),
        ]
    })
}

/// Text that is often what a value of some type looks like, and often nearly so.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(
            &[
                "t",
                "f",
                "",
                "0",
                "-12",
                "007",
                "1.50",
                "-0",
                "1e+38",
                "NaN",
                "Infinity",
                "NULL",
                "2024-02-29 12:34:56",
                "2024-02-29 12:34:56.5+00",
                "0044-03-15 10:00:00+00 BC",
                "infinity",
                "{}",
                "()",
                "{1,2,NULL}",
                "{{1,2},{3,4}}",
                "[0:1]={1,2}",
                "{\"a\\\"b\",\"c,d\"}",
                "(1,\"a \"\"b\"\"\",)",
                "(,)",
                "{\"(1,x)\",\"(,)\"}",
                "{\"a\": [1, null]}",
                "\"s\"",
                "[1,\n2]",
                "{a,b}",
                "{a;b}",
                "(\"{1,2}\")",
                " {1}",
                "{1} ",
            ][..]
        )
        .prop_map(str::to_owned),
        "[{}()\\[\\]:=,;\"\\\\ a1tNUL.+e-]{0,24}",
        "\\PC{0,40}",
        "[\u{0}-\u{7f}é]{0,30}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => Just(Value::Unchanged),
        1 => Just(Value::Absent),
        7 => text().prop_map(Value::Text),
    ]
}

fn table() -> impl Strategy<Value = Table> {
    let columns = vec(("[a-z\"\u{1}é]{0,9}", ty()), 0..6);
    ("[a-z\"]{0,8}", "[a-z\"]{0,8}", "[a-z:\"]{0,8}", columns)
        .prop_map(|(schema, name, channel, columns)| Table { schema, name, channel, columns })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        6 => Just(Payload::None),
        1 => select(&["{}", "{\"a\":\n[1]}", "null", "\"x\"", "1"][..]).prop_map(|body| Payload::Json(body.to_owned())),
        1 => text().prop_map(Payload::Text),
        1 => vec(any::<u8>(), 0..20).prop_map(Payload::Bytes),
    ]
}

fn change(tables: Vec<Table>, transactions: usize) -> impl Strategy<Value = Change> {
    let ops = &Op::ALL[..10];
    (0..tables.len()).prop_flat_map(move |table| {
        let width = tables[table].columns.len();
        let row = || proptest::option::weighted(0.8, vec(value(), width..=width));
        let head = (any::<[u8; 16]>(), vec(any::<u8>(), 0..=20), select(ops));
        let tx = if transactions == 0 {
            Just(None).boxed()
        } else {
            proptest::option::of(0..transactions).boxed()
        };
        (head, tx, row(), row(), 0u32..9, 0u32..3, payload()).prop_map(
            move |((id, key, op), tx, after, before, seq, derived, payload)| Change {
                id,
                key,
                op,
                tx,
                table,
                after,
                before,
                seq,
                derived,
                payload,
            },
        )
    })
}

pub(crate) fn model() -> impl Strategy<Value = Model> {
    let time = proptest::option::of(0..4_000_000_000_000_000i64);
    let transactions = vec((vec(any::<u8>(), 0..=40), any::<u32>(), time), 0..3);
    let head = (0u16..8, any::<i64>(), "[a-z_]{0,12}");
    (head, vec(table(), 1..3), transactions)
        .prop_flat_map(|(head, tables, transactions)| {
            let changes = vec(change(tables.clone(), transactions.len()), 0..6);
            (Just(head), Just(tables), Just(transactions), changes)
        })
        .prop_map(|((flags, detected_us, source), tables, transactions, changes)| Model {
            flags,
            detected_us,
            source,
            tables,
            transactions,
            changes,
        })
}

pub(crate) fn add_type(w: &mut BatchWriter, ty: &Ty) -> u32 {
    match ty {
        Ty::Scalar(kind) => w.add_type(&TypeDef::scalar(7, *kind, "scalar")),
        Ty::Array(delim, element) => {
            let elem = add_type(w, element);
            w.add_type(&TypeDef { delim: *delim, ..TypeDef::array(8, "array", elem) })
        }
        Ty::Composite(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, ty)| ColumnDef::new(name, add_type(w, ty))).collect();
            w.add_type(&TypeDef::composite(9, "composite", &fields))
        }
    }
    .unwrap()
}

pub(crate) fn add_row(w: &mut BatchWriter, row: &[Value]) -> TupleRef {
    let mut t = w.tuple(row.len()).unwrap();
    for value in row {
        match value {
            Value::Null => t.null(),
            Value::Unchanged => t.unchanged(),
            Value::Absent => t.absent(),
            Value::Text(text) => t.value(text.as_bytes()),
        }
    }
    t.finish().unwrap()
}

impl Model {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut w = BatchWriter::new();
        w.flags(self.flags).detected_us(self.detected_us);
        w.source(&self.source).unwrap();
        w.strand("s").unwrap();
        w.resume(b"r").unwrap();
        for (key, xid, commit_us) in &self.transactions {
            let commit_us = commit_us.unwrap_or(spec::NO_TIME);
            w.add_transaction(&TxDef { key, xid: *xid, commit_us, ..TxDef::default() }).unwrap();
        }
        for table in &self.tables {
            let columns: Vec<_> =
                table.columns.iter().map(|(name, ty)| ColumnDef::new(name, add_type(&mut w, ty))).collect();
            let (schema, name, channel) = (&table.schema, &table.name, &table.channel);
            w.add_relation(&RelationDef { oid: 1, identity: b'f', schema, name, channel, columns: &columns })
                .unwrap();
        }
        for change in &self.changes {
            let after = change.after.as_ref().map(|row| add_row(&mut w, row));
            let before = change.before.as_ref().map(|row| add_row(&mut w, row));
            let body = match &change.payload {
                Payload::None => BodyDef::None,
                Payload::Json(body) => BodyDef::Json(body),
                Payload::Text(body) => BodyDef::Text(body),
                Payload::Bytes(body) => BodyDef::Bytes(body),
            };
            w.add_event(&EventDef {
                id: change.id,
                key: &change.key,
                tx: change.tx.map_or(spec::NO_TX, |tx| tx as u32),
                after,
                before,
                seq: change.seq,
                derived: change.derived,
                body,
                ..EventDef::new(change.op, change.table as u32)
            })
            .unwrap();
        }
        w.finish()
    }
}

pub(crate) fn values(row: Option<Tuple<'_>>) -> Option<Vec<Value>> {
    let value = |cell| match cell {
        Cell::Null => Value::Null,
        Cell::Unchanged => Value::Unchanged,
        Cell::Absent => Value::Absent,
        Cell::Value(text) => Value::Text(String::from(text)),
    };
    Some(row?.iter().map(value).collect())
}
