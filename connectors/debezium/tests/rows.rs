//! Every sort of event gets the envelope, and none is taken for another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use debezium::Debezium;
use pgcdc_sdk::config::Json;
use pgcdc_sdk::layout::spec::FLAG_TRANSACTION;
use pgcdc_sdk::layout::writer::BodyDef;
use pgcdc_sdk::layout::{BatchWriter, ColumnDef, EventDef, Kind, Op, RelationDef, TxDef, TypeDef};
use pgcdc_sdk::{Batch, Context, Error, Transform, testing};
use serde_json::json;

const ITEMS: testing::Table<'_> = testing::Table {
    name: "items",
    columns: &[("id", Kind::Int), ("note", Kind::Text), ("price", Kind::Number)],
};

fn apply(config: &str, batch: &Batch) -> Result<Vec<Json>, Error> {
    let applied = testing::block_on(async {
        Debezium::open(testing::config(config)?, &Context::default()).await?.apply(batch).await
    })?;
    assert!(applied.dropped.is_empty() && applied.failures.is_empty(), "{:?}", applied.failures);
    let printed = applied.batches.iter().flat_map(|batch| testing::printed(batch).unwrap());
    Ok(printed.map(|envelope| envelope["payload"].clone()).collect())
}

fn one(config: &str, batch: &Batch) -> Json {
    apply(config, batch).unwrap().remove(0)
}

/// One event with a body, in a transaction that is shown.
fn event(op: Op, particulars: &str, body: BodyDef<'_>) -> Batch {
    let mut writer = BatchWriter::new();
    writer.flags(FLAG_TRANSACTION).source("wal_replication").unwrap();
    let commit = TxDef { commit_lsn: 500, commit_us: 1_500, xid: 771, ..TxDef::default() };
    let tx = writer.add_transaction(&commit).unwrap();
    let relation = writer.add_relation(&RelationDef::channel("pgcdc:x")).unwrap();
    // Kind, LSN, number, as PostgreSQL's events have them.
    let key = [2, 0, 0, 0, 0, 0, 0, 1, 0x90, 0, 0, 0, 1];
    let def = EventDef { tx, seq: 3, key: &key, body, particulars, ..EventDef::new(op, relation) };
    writer.add_event(&def).unwrap();
    Batch::build(&writer.finish()).unwrap()
}

#[test]
fn both_sides_of_a_row_by_operation() {
    let row: testing::Row<'_> = &[Some("1"), Some("x"), Some("2.50")];
    let old: testing::Row<'_> = &[Some("1"), None, Some("9007199254740993.10")];
    let batch = ITEMS
        .batch(&[
            (Op::Insert, None, Some(row)),
            (Op::Update, Some(old), Some(row)),
            (Op::Delete, Some(old), None),
            (Op::Snapshot, None, Some(row)),
            (Op::Truncate, None, None),
        ])
        .unwrap();
    let payloads = apply(r#"{"connector_name":"shop","database":"d"}"#, &batch).unwrap();
    let letters: Vec<&str> = payloads.iter().map(|payload| payload["op"].as_str().unwrap()).collect();
    assert_eq!(letters, ["c", "u", "d", "r", "t"]);
    let sides: Vec<[bool; 2]> =
        payloads.iter().map(|payload| ["before", "after"].map(|side| payload[side].is_object())).collect();
    assert_eq!(sides, [[false, true], [true, true], [true, false], [false, true], [false, false]]);
    assert_eq!(payloads[0]["after"], json!({ "id": 1, "note": "x", "price": 2.5 }));
    assert_eq!(payloads[1]["before"]["note"], Json::Null);
    let snapshots: Vec<&Json> = payloads.iter().map(|payload| &payload["source"]["snapshot"]).collect();
    assert_eq!(snapshots, ["false", "false", "false", "true", "false"]);
    let source = &payloads[0]["source"];
    assert_eq!((&source["name"], &source["db"]), (&json!("shop"), &json!("d")));
    assert_eq!((&source["schema"], &source["table"]), (&json!("public"), &json!("items")));
}

#[test]
fn digits_stay_as_they_are() {
    let batch =
        ITEMS.batch(&[(Op::Insert, None, Some(&[Some("1"), None, Some("9007199254740993.10")]))]).unwrap();
    let applied = testing::block_on(async {
        let debezium = Debezium::open(testing::config("{}").unwrap(), &Context::default()).await.unwrap();
        debezium.apply(&batch).await.unwrap()
    });
    let lines = String::from_utf8(applied.batches[0].json_lines(0, 1).unwrap()).unwrap();
    assert!(lines.contains(r#""price":9007199254740993.10}"#), "{lines}");
}

#[test]
fn where_it_is_from_and_when() {
    let payload = one("{}", &event(Op::Notify, "", BodyDef::Json(r#"{"a":1}"#)));
    let source = &payload["source"];
    assert_eq!((&source["lsn"], &source["txId"]), (&json!(400), &json!(771)));
    assert_eq!(
        (&source["ts_ms"], &source["ts_us"], &source["ts_ns"]),
        (&json!(1), &json!(1500), &json!(1_500_000))
    );
    assert_eq!(source["sequence"], r#"["500","400"]"#);
    assert_eq!(
        payload["transaction"],
        json!({ "id": "771:500", "total_order": 3, "data_collection_order": 3 })
    );
    for time in ["ts_ms", "ts_us", "ts_ns"] {
        assert_eq!(payload[time], 0, "detected at");
    }
}

#[test]
fn free_form_payloads_are_what_came_after_and_nobody_s_operation() {
    let letters = [
        (Op::Notify, "", "n"),
        (Op::SchemaChange, "", "s"),
        (Op::Named, r#"{"operation":"paid"}"#, "p"),
        (Op::Named, r#"{"operation":"delivered"}"#, "c"),
        (Op::Named, r#"{"operation":"Refunded"}"#, "c"),
    ];
    for (op, particulars, letter) in letters {
        let payload = one("{}", &event(op, particulars, BodyDef::Json(r#"{"a":1}"#)));
        assert_eq!(
            (&payload["op"], &payload["after"]),
            (&json!(letter), &json!({ "a": 1 })),
            "{particulars}"
        );
        assert_eq!(payload["before"], Json::Null);
    }
    assert_eq!(one("{}", &event(Op::Notify, "", BodyDef::Text("plain")))["after"], "plain");
    assert_eq!(one("{}", &event(Op::Notify, "", BodyDef::None))["after"], Json::Null);
}

#[test]
fn what_a_trigger_sent_is_a_change_of_a_row() {
    let trigger = |op: &str| {
        let text = format!(r#"{{"op":"{op}","table":"t","row":{{"id":1.10}},"old":{{"id":2}}}}"#);
        one("{}", &testing::payloads(&[&text]).unwrap())
    };
    let update = trigger("UPDATE");
    assert_eq!(
        (&update["op"], &update["before"], &update["after"]),
        (&json!("u"), &json!({"id":2}), &json!({"id":1.1}))
    );
    assert_eq!(update["source"]["table"], "t");
    let delete = trigger("DELETE");
    assert_eq!(
        (&delete["op"], &delete["before"], &delete["after"]),
        (&json!("d"), &json!({"id":1.1}), &Json::Null)
    );
    let insert = trigger("INSERT");
    assert_eq!((&insert["op"], &insert["before"]), (&json!("c"), &Json::Null));
}

#[test]
fn messages_and_the_ends_of_transactions_are_not_taken_for_rows() {
    let message = |body| one("{}", &event(Op::Message, "", BodyDef::Json(body)));
    let text = message(r#"{"prefix":"p","content":"hi","transactional":true}"#);
    assert_eq!((&text["op"], &text["message"]), (&json!("m"), &json!({ "prefix": "p", "content": "aGk=" })));
    assert_eq!((text.get("before"), text.get("after")), (None, None));
    let bytes = message(r#"{"prefix":"p","content":"//4=","encoding":"base64","transactional":true}"#);
    assert_eq!(bytes["message"]["content"], "//4=");
    let commit =
        one("{}", &event(Op::Commit, "", BodyDef::Json(r#"{"xid":771,"commit_time":"x","event_count":2}"#)));
    let expected =
        json!({ "status": "END", "id": "771:500", "event_count": 2, "data_collections": null, "ts_ms": 1 });
    assert_eq!(commit, expected);
    let begin = one("{}", &event(Op::Begin, "", BodyDef::Json(r#"{"xid":771,"commit_time":"x"}"#)));
    assert_eq!((&begin["status"], &begin["event_count"]), (&json!("BEGIN"), &Json::Null));
}

#[test]
fn a_value_that_was_not_sent_is_said_to_be_unavailable_and_never_null() {
    let mut writer = BatchWriter::new();
    writer.source("wal_replication").unwrap();
    let id = writer.add_type(&TypeDef::scalar(23, Kind::Int, "int4")).unwrap();
    let bytea = writer.add_type(&TypeDef::scalar(17, Kind::Text, "bytea")).unwrap();
    let text = writer.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let columns = [ColumnDef::new("id", id), ColumnDef::new("b", bytea), ColumnDef::new("t", text)];
    let relation = RelationDef { name: "t", columns: &columns, ..RelationDef::channel("pgcdc:t") };
    let relation = writer.add_relation(&relation).unwrap();
    let mut tuple = writer.tuple(3).unwrap();
    tuple.value(b"1");
    tuple.unchanged();
    tuple.unchanged();
    let after = Some(tuple.finish().unwrap());
    writer.add_event(&EventDef { after, ..EventDef::new(Op::Update, relation) }).unwrap();
    let batch = Batch::build(&writer.finish()).unwrap();
    let rows = one(r#"{"unavailable_value":"?"}"#, &batch);
    assert_eq!(rows["after"], json!({ "id": 1, "b": "?", "t": "?" }));
    let mapped = one(r#"{"types":"debezium"}"#, &batch);
    let expected = json!({ "id": 1, "b": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", "t": "__debezium_unavailable_value" });
    assert_eq!(mapped["after"], expected);
}

#[test]
fn every_schema_names_the_fields_that_are_there() {
    let config = r#"{"schema":true}"#;
    let batches = [
        ITEMS.batch(&[(Op::Insert, None, Some(&[Some("1"), None, None]))]).unwrap(),
        event(Op::Notify, "", BodyDef::Json(r#"{"a":1}"#)),
        event(Op::Message, "", BodyDef::Json(r#"{"prefix":"p","content":"x"}"#)),
        event(Op::Commit, "", BodyDef::Json(r#"{"xid":1}"#)),
    ];
    for batch in batches {
        let wrapped = one(config, &batch);
        let names: Vec<&str> = wrapped["schema"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["field"].as_str().unwrap())
            .collect();
        let mut there: Vec<&String> = wrapped["payload"].as_object().unwrap().keys().collect();
        let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        there.sort_unstable();
        assert_eq!(names.iter().collect::<Vec<_>>(), there);
    }
    // Of a payload without columns a schema can only say that it is JSON.
    let notify = one(config, &event(Op::Notify, "", BodyDef::Json(r#"{"a":1}"#)));
    assert_eq!(notify["payload"]["after"], r#"{"a":1}"#);
}

#[test]
fn a_schema_needs_debezium_s_types() {
    let batch = testing::payloads(&["{}"]).unwrap();
    assert_eq!(apply(r#"{"schema":true,"types":"row"}"#, &batch).unwrap_err().code, "misconfigured");
}
