//! Columns get their new names, all at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::{Batch, Context, Error, Transform, testing};
use rename_fields::RenameFields;

const ITEMS: testing::Table<'_> =
    testing::Table { name: "items", columns: &[("a", Kind::Int), ("b", Kind::Int), ("c", Kind::Int)] };

fn apply(mapping: &str, batch: &Batch) -> Result<Vec<String>, Error> {
    testing::block_on(async {
        let config = testing::config(&format!(r#"{{"mapping":{mapping}}}"#))?;
        let applied = RenameFields::open(config, &Context::default()).await?.apply(batch).await?;
        let printed = applied.batches.iter().flat_map(|batch| testing::printed(batch).unwrap());
        Ok(printed.map(|envelope| envelope["payload"]["row"].to_string()).collect())
    })
}

#[test]
fn names_swap_and_are_taken_over() {
    let batch = ITEMS.batch(&[(Op::Insert, None, Some(&[Some("1"), Some("2"), Some("3")]))]).unwrap();
    let renamed = |mapping| apply(mapping, &batch).unwrap();
    assert_eq!(renamed(r#"{"a":"b","b":"a"}"#), [r#"{"a":2,"b":1,"c":3}"#]);
    assert_eq!(renamed(r#"{"a":"c"}"#), [r#"{"b":2,"c":1}"#]);
    assert_eq!(renamed(r#"{"x":"y","a":"a"}"#), [r#"{"a":1,"b":2,"c":3}"#]);
}

#[test]
fn payloads_are_renamed_alike() {
    let payload = r#"{"op":"INSERT","table":"t","row":{"a":1,"b":2,"c":3},"old":null}"#;
    let batch = testing::payloads(&[payload]).unwrap();
    assert_eq!(apply(r#"{"a":"b","b":"a"}"#, &batch).unwrap(), [r#"{"a":2,"b":1,"c":3}"#]);
    assert_eq!(apply(r#"{"a":"c"}"#, &batch).unwrap(), [r#"{"b":2,"c":1}"#]);
}

#[test]
fn two_columns_cannot_have_one_name() {
    let batch = testing::payloads(&["{}"]).unwrap();
    assert_eq!(apply(r#"{"a":"x","b":"x"}"#, &batch).unwrap_err().code, "misconfigured");
}
