//! What is wanted passes, the rest is dropped, every event is accounted for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use filter::Filter;
use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::{Batch, Context, Transform, testing};

const ORDERS: testing::Table<'_> = testing::Table {
    name: "orders",
    columns: &[("id", Kind::Int), ("paid", Kind::Bool), ("city", Kind::Text)],
};

/// The indexes that pass.
fn passes(config: &str, batch: &Batch) -> Vec<u32> {
    let applied = testing::block_on(async {
        let config = testing::config(config).unwrap();
        Filter::open(config, &Context::default()).await.unwrap().apply(batch).await.unwrap()
    });
    let kept: u32 = applied.batches.iter().map(|batch| batch.count()).sum();
    assert_eq!(kept as usize + applied.dropped.len(), batch.count() as usize);
    (0..batch.count()).filter(|index| !applied.dropped.contains(index)).collect()
}

fn orders() -> Batch {
    ORDERS
        .batch(&[
            (Op::Insert, None, Some(&[Some("1"), Some("t"), Some("Bern")])),
            (Op::Update, None, Some(&[Some("2"), Some("f"), None])),
            (Op::Delete, Some(&[Some("3"), Some("t"), Some("Basel")]), None),
            (Op::Truncate, None, None),
        ])
        .unwrap()
}

#[test]
fn operations() {
    assert_eq!(passes(r#"{"operations":["INSERT","TRUNCATE"]}"#, &orders()), [0, 3]);
    assert_eq!(passes(r#"{"operations":["SNAPSHOT"]}"#, &orders()), [0_u32; 0]);
}

#[test]
fn values_are_compared_as_printed() {
    assert_eq!(passes(r#"{"field":"paid","equals":true}"#, &orders()), [0, 2]);
    assert_eq!(passes(r#"{"field":"id","equals":"2"}"#, &orders()), [1]);
    assert_eq!(passes(r#"{"field":"id","in":[1,3]}"#, &orders()), [0, 2]);
    assert_eq!(passes(r#"{"field":"city","regex":"^B.*l$"}"#, &orders()), [2]);
    assert_eq!(passes(r#"{"field":"absent","equals":1}"#, &orders()), [0_u32; 0]);
}

#[test]
fn payloads_are_looked_at_in_the_row_and_then_at_the_top() {
    let batch = testing::payloads(&[
        r#"{"op":"INSERT","table":"t","row":{"city":"Bern"},"old":null}"#,
        r#"{"op":"INSERT","table":"t","row":{},"old":null,"city":"Bern"}"#,
        r#"{"city":"Bern"}"#,
        r#"{"city":null}"#,
        r#"{"a":1}"#,
        "[]",
        "text",
    ])
    .unwrap();
    assert_eq!(passes(r#"{"field":"city","equals":"Bern"}"#, &batch), [0, 1, 2, 5, 6]);
}
