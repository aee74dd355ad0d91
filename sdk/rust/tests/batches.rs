//! Events are read in place, as JSON, and in slices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use pgcdc_sdk::config::Json;
use pgcdc_sdk::layout::{Cell, Kind, Op};
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Encoding, console, testing};

const T: testing::Table<'_> =
    testing::Table { name: "t", columns: &[("id", Kind::Int), ("note", Kind::Text)] };

fn batch() -> Batch {
    let (first, second): (testing::Row<'_>, testing::Row<'_>) = (&[Some("1"), Some("a")], &[Some("2"), None]);
    T.batch(&[(Op::Insert, None, Some(first)), (Op::Delete, Some(second), None)]).unwrap()
}

#[test]
fn columns_in_place() {
    let rows = batch().read().unwrap();
    let notes: Vec<Cell<&str>> =
        rows.events().filter_map(|event| Some(event.after().or(event.before())?.get(1))).collect();
    assert_eq!(notes, [Cell::Value("a"), Cell::Null]);
}

#[test]
fn envelopes_as_json() {
    let rows = batch().read().unwrap();
    let ids: Vec<Json> =
        rows.envelopes::<Json>().map(|envelope| envelope.unwrap()["payload"]["row"]["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn slices_are_what_they_say() {
    let batch = batch();
    let print = |body: pgcdc_sdk::Body<'_>| {
        let size = body.size().unwrap();
        testing::block_on(console::write(console::Stream::Stdout, body)).unwrap();
        let printed = testing::take_printed("stdout");
        assert_eq!(printed.len() as u64, size);
        printed
    };
    let lines = print(batch.lines());
    let (first, second) = lines.trim_end().split_once('\n').unwrap();
    assert_eq!(print(batch.slice(Encoding::Json, 1..2)), second);
    assert_eq!(print(batch.slice(Encoding::JsonArray, 0..2)), format!("[{first},{second}]"));
    assert_eq!(
        print(pgcdc_sdk::Body::from("x").then(batch.slice(Encoding::JsonLines, 0..1))),
        format!("x{first}\n")
    );
    assert_eq!(batch.slice(Encoding::Json, 0..2).size().unwrap_err().code, "invalid");
}

#[test]
fn a_filter_accounts_for_every_event() {
    let applied = Applied::filtered(&batch(), |index| index == 1).unwrap();
    assert_eq!((applied.batches[0].count(), applied.dropped), (1, vec![0]));
    let nothing = Applied::filtered(&batch(), |_| false).unwrap();
    assert_eq!((nothing.batches.len(), nothing.dropped), (0, vec![0, 1]));
}
