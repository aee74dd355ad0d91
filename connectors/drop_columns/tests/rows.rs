//! Columns go from rows and from payloads; everything else stays as it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use drop_columns::DropColumns;
use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Context, Transform, testing};

const ITEMS: testing::Table<'_> = testing::Table {
    name: "items",
    columns: &[("id", Kind::Int), ("note", Kind::Text), ("price", Kind::Number)],
};

fn apply(batch: &Batch) -> Applied {
    testing::block_on(async {
        let config = testing::config(r#"{"columns":["note","absent"]}"#).unwrap();
        DropColumns::open(config, &Context::default()).await.unwrap().apply(batch).await.unwrap()
    })
}

fn payloads(applied: &Applied) -> Vec<String> {
    assert!(applied.dropped.is_empty() && applied.failures.is_empty());
    let printed = applied.batches.iter().flat_map(|batch| testing::printed(batch).unwrap());
    printed.map(|envelope| envelope["payload"].to_string()).collect()
}

#[test]
fn rows_lose_the_column_on_both_sides() {
    let batch = ITEMS
        .batch(&[
            (Op::Insert, None, Some(&[Some("1"), Some("x"), Some("2.50")])),
            (Op::Update, Some(&[Some("1"), Some("x"), Some("2.50")]), Some(&[Some("1"), None, None])),
            (Op::Delete, Some(&[Some("1"), Some("x"), None]), None),
            (Op::Truncate, None, None),
        ])
        .unwrap();
    let expected = [
        r#"{"old":null,"op":"INSERT","row":{"id":1,"price":2.5},"table":"items"}"#,
        r#"{"old":{"id":1,"price":2.5},"op":"UPDATE","row":{"id":1,"price":null},"table":"items"}"#,
        r#"{"old":null,"op":"DELETE","row":{"id":1,"price":null},"table":"items"}"#,
        r#"{"old":null,"op":"TRUNCATE","row":null,"table":"items"}"#,
    ];
    assert_eq!(payloads(&apply(&batch)), expected);
}

#[test]
fn a_table_without_the_column_passes_as_it_is() {
    let table = testing::Table { name: "other", columns: &[("id", Kind::Int)] };
    let batch = table.batch(&[(Op::Insert, None, Some(&[Some("1")]))]).unwrap();
    let applied = apply(&batch);
    assert_eq!(applied.batches[0].json_lines(0, 1).unwrap(), batch.json_lines(0, 1).unwrap());
}

#[test]
fn payloads_lose_it_where_they_have_it() {
    let batch = testing::payloads(&[
        r#"{"op":"UPDATE","table":"t","row":{"note":1,"a":1},"old":{"note":2},"note":"stays"}"#,
        r#"{"note":1,"b":{"note":2}}"#,
        r#"["note"]"#,
        "note",
    ])
    .unwrap();
    let expected = [
        r#"{"note":"stays","old":{},"op":"UPDATE","row":{"a":1},"table":"t"}"#,
        r#"{"b":{"note":2}}"#,
        r#"["note"]"#,
        r#""note""#,
    ];
    assert_eq!(payloads(&apply(&batch)), expected);
}
