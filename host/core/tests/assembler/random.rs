//! Random transactions: wherever batches end and whatever is switched on, the same WAL gives the same images.

use pgcdc_core::assembler::{Settings, TableFilter, ToastLimits};
use pgcdc_core::pgoutput::{Cell, Identity};
use proptest::prelude::*;

use crate::support::{Wire, assembler, fold, settings};

const TABLES: [(u32, &str, Identity); 3] =
    [(1, "a", Identity::Default), (2, "b", Identity::Full), (3, "hidden", Identity::Default)];

#[derive(Clone, Debug)]
enum Change {
    Insert(usize, Vec<u8>),
    Update(usize, Vec<u8>),
    Delete(usize),
    Truncate(Vec<usize>),
    Message(Vec<u8>),
    Describe(usize, bool),
}

#[derive(Clone, Debug)]
struct Tx {
    /// Each with whether its record is the one before's.
    changes: Vec<(bool, Change)>,
    alone_before: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let table = 0..TABLES.len();
    let value = prop::collection::vec(prop_oneof![9 => 0x20_u8..0x7f, 1 => any::<u8>()], 0..40);
    let large = prop::collection::vec(0x20_u8..0x7f, 1_500);
    prop_oneof![
        6 => (table.clone(), value.clone()).prop_map(|(t, v)| Change::Insert(t, v)),
        3 => (table.clone(), value.clone()).prop_map(|(t, v)| Change::Update(t, v)),
        2 => table.clone().prop_map(Change::Delete),
        1 => prop::collection::vec(table.clone(), 1..4).prop_map(Change::Truncate),
        1 => value.prop_map(Change::Message),
        1 => (table.clone(), large).prop_map(|(t, v)| Change::Insert(t, v)),
        1 => (table, any::<bool>()).prop_map(|(t, wide)| Change::Describe(t, wide)),
    ]
}

fn transactions() -> impl Strategy<Value = Vec<Tx>> {
    let tx = (prop::collection::vec((prop::bool::weighted(0.3), change()), 0..12), any::<bool>())
        .prop_map(|(changes, alone_before)| Tx { changes, alone_before });
    prop::collection::vec(tx, 1..8)
}

fn describe(wire: &mut Wire, table: usize, wide: bool) {
    let (oid, name, identity) = TABLES[table];
    let columns: &[(&str, u32)] =
        if wide { &[("*id", 23), ("v", 25), ("more", 25)] } else { &[("*id", 23), ("v", 25)] };
    wire.table(oid, name, identity, columns);
}

fn write(transactions: &[Tx]) -> Wire {
    let mut wire = Wire::default();
    let mut lsn = 0x1000;
    let mut wide = [false; TABLES.len()];
    for (n, tx) in transactions.iter().enumerate() {
        let commit = lsn + 0x20 * (tx.changes.len() as u64 + 2);
        if tx.alone_before {
            wire.message(commit, false, b"alone");
        }
        wire.begin(commit, 700 + n as u32);
        if n == 0 {
            (0..TABLES.len()).for_each(|table| describe(&mut wire, table, false));
        }
        for (same_record, change) in &tx.changes {
            if !same_record || matches!(change, Change::Message(_)) {
                lsn += 0x20;
            }
            write_change(&mut wire, lsn, change, &mut wide);
        }
        wire.commit();
        lsn = commit + 0x30;
    }
    wire
}

fn write_change(wire: &mut Wire, lsn: u64, change: &Change, wide: &mut [bool]) {
    let row = |table: usize, value: &'static str, wide: &[bool]| -> Vec<Cell<'static>> {
        let mut cells = vec![Cell::Text(b"7"), Cell::Text(value.as_bytes()), Cell::Null];
        cells.truncate(if wide[table] { 3 } else { 2 });
        cells
    };
    match change {
        Change::Insert(table, value) => {
            let mut cells = row(*table, "", wide);
            cells[1] = Cell::Text(value);
            wire.insert(lsn, TABLES[*table].0, &cells);
        }
        Change::Update(table, value) => {
            let old = row(*table, "before", wide);
            let mut cells = row(*table, "", wide);
            cells[1] = if value.len() % 3 == 0 { Cell::Unchanged } else { Cell::Text(value) };
            let letter = if TABLES[*table].2 == Identity::Full { b'O' } else { b'K' };
            wire.change(lsn, b'U', TABLES[*table].0, &[(letter, &old), (b'N', &cells)]);
        }
        Change::Delete(table) => {
            let old = row(*table, "before", wide);
            let letter = if TABLES[*table].2 == Identity::Full { b'O' } else { b'K' };
            wire.change(lsn, b'D', TABLES[*table].0, &[(letter, &old)]);
        }
        Change::Truncate(tables) => {
            let oids: Vec<u32> = tables.iter().map(|table| TABLES[*table].0).collect();
            wire.truncate(lsn, &oids);
        }
        Change::Message(content) => {
            wire.message(lsn, true, content);
        }
        Change::Describe(table, is_wide) => {
            wide[*table] = *is_wide;
            describe(wire, *table, *is_wide);
        }
    }
}

fn small() -> Settings {
    Settings { max_event_bytes: 1_024, ..settings() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn batches_may_end_anywhere(
        transactions in transactions(),
        cuts in prop::collection::vec(any::<bool>(), 64),
        batch_events in 1_usize..20,
        batch_bytes in 1_usize..5_000,
    ) {
        let wire = write(&transactions);
        let toast_cache = Some(ToastLimits { entries_max: 3, bytes_max: 1_000 });
        let small = || Settings { schema_events: true, toast_cache, ..small() };
        let whole = fold(&mut assembler(small()), &wire.frames, || false).unwrap();
        prop_assert!(whole.ascends());
        let mut cuts = cuts.into_iter().cycle();
        let settings = Settings { batch_events, batch_bytes, ..small() };
        let cut = fold(&mut assembler(settings), &wire.frames, || cuts.next().unwrap()).unwrap();
        prop_assert_eq!(&whole.events, &cut.events);
        prop_assert_eq!(whole.images(), cut.images());
        prop_assert_eq!(whole.batches.last().map(|b| b.resume), cut.batches.last().map(|b| b.resume));
        for batch in &cut.batches {
            if let Some(last) = wire.frames.iter().rev().find(|frame| frame.1[0] == b'C') {
                prop_assert!(batch.resume <= last.0);
            }
        }
    }

    #[test]
    fn switches_and_filters_never_shift_an_image(
        transactions in transactions(),
        tx_markers: bool,
        include_schema: bool,
        schema_events: bool,
        remember: bool,
        hide: bool,
    ) {
        let wire = write(&transactions);
        let plain = fold(&mut assembler(small()), &wire.frames, || false).unwrap().images();
        let exclude = if hide { vec!["hidden".parse().unwrap()] } else { vec![] };
        let tables = TableFilter { include: vec![], exclude };
        let toast_cache = remember.then_some(ToastLimits { entries_max: 3, bytes_max: 1_000 });
        let settings =
            Settings { tx_markers, include_schema, schema_events, toast_cache, tables, ..small() };
        let out = fold(&mut assembler(settings), &wire.frames, || false).unwrap();
        prop_assert!(out.ascends());
        let is_marker = |channel: &serde_json::Value| channel == "pgcdc:_txn" || channel == "pgcdc:_schema";
        let markers = out.events.iter().filter(|seen| is_marker(&seen.json["channel"])).count();
        let images = out.images();
        let kept = images.iter().filter(|image| plain.contains(image)).count();
        prop_assert_eq!(kept + markers, images.len());
        if !hide {
            prop_assert_eq!(kept, plain.len());
        }
    }

    /// Rows of a transaction are numbered from 1 without a gap, refused ones included, and COMMIT counts
    /// them.
    #[test]
    fn rows_are_numbered(transactions in transactions()) {
        let wire = write(&transactions);
        let settings = Settings { tx_markers: true, ..small() };
        let out = fold(&mut assembler(settings), &wire.frames, || false).unwrap();
        let mut numbers: Vec<(Vec<u8>, u32)> = out
            .events
            .iter()
            .filter_map(|seen| Some((seen.key.as_bytes()[..8].to_vec(), seen.seq?)))
            .chain(out.refused.iter().filter(|r| r.seq > 0).map(|r| (r.key.transaction_part().to_vec(), r.seq)))
            .collect();
        numbers.sort();
        for pair in numbers.windows(2) {
            let expected = if pair[0].0 == pair[1].0 { pair[0].1 + 1 } else { 1 };
            prop_assert_eq!(pair[1].1, expected);
        }
        for seen in out.events.iter().filter(|seen| seen.op == pgcdc_layout::Op::Commit) {
            let rows = numbers.iter().filter(|(tx, _)| *tx == seen.key.as_bytes()[..8]).count();
            prop_assert_eq!(&seen.json["payload"]["event_count"], &serde_json::json!(rows));
        }
    }
}
