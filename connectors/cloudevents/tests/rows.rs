//! Payloads of every sort become CloudEvents.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use cloudevents::CloudEvents;
use pgcdc_sdk::config::Json;
use pgcdc_sdk::layout::writer::BodyDef;
use pgcdc_sdk::layout::{BatchWriter, EventDef, Kind, Op, RelationDef, TxDef};
use pgcdc_sdk::{Batch, Context, Transform, testing};

const ITEMS: testing::Table<'_> =
    testing::Table { name: "items", columns: &[("id", Kind::Int), ("note", Kind::Text)] };

fn apply(config: &str, batch: &Batch) -> Vec<Json> {
    let applied = testing::block_on(async {
        let config = testing::config(config).unwrap();
        CloudEvents::open(config, &Context::default()).await.unwrap().apply(batch).await.unwrap()
    });
    assert!(applied.dropped.is_empty() && applied.failures.is_empty());
    applied.batches.iter().flat_map(|batch| testing::printed(batch).unwrap()).collect()
}

/// One event of an operation with a body, of a transaction.
fn one(op: Op, particulars: &str, body: BodyDef<'_>, tx: &TxDef<'_>, key: &[u8]) -> Batch {
    let mut writer = BatchWriter::new();
    writer.source("wal_replication").unwrap();
    let tx = writer.add_transaction(tx).unwrap();
    let relation = writer.add_relation(&RelationDef::channel("ch")).unwrap();
    let def = EventDef { tx, key, body, particulars, ..EventDef::new(op, relation) };
    writer.add_event(&def).unwrap();
    Batch::build(&writer.finish()).unwrap()
}

#[test]
fn a_row_event_is_data_and_keeps_its_envelope() {
    let batch = ITEMS.batch(&[(Op::Insert, None, Some(&[Some("1"), Some("\"x\"\n")]))]).unwrap();
    let plain = &testing::printed(&batch).unwrap()[0];
    let wrapped = &apply("{}", &batch)[0];
    let id = "00000000-0000-0000-0000-000000000001";
    let expected = serde_json::json!({
        "specversion": "1.0", "id": id, "type": "io.pgcdc.change.INSERT", "source": "/pgcdc",
        "subject": "pgcdc:items", "time": "1970-01-01T00:00:00Z", "datacontenttype": "application/json",
        "data": plain["payload"],
    });
    assert_eq!(wrapped["payload"], expected);
    for key in ["id", "channel", "operation", "source", "created_at"] {
        assert_eq!(wrapped[key], plain[key], "{key}");
    }
}

#[test]
fn the_commit_gives_time_lsn_and_xid() {
    let commit = TxDef { commit_lsn: 77, commit_us: 1_767_605_400_999_999, xid: 771, ..TxDef::default() };
    let batch = one(Op::Begin, "", BodyDef::Json("{\"xid\":771}"), &commit, &[]);
    let event = &apply(r#"{"source":"/s","type_prefix":"p"}"#, &batch)[0]["payload"];
    assert_eq!(event["time"], "2026-01-05T09:30:00Z");
    assert_eq!((&event["pgcdclsn"], &event["pgcdctxid"]), (&Json::from(77), &Json::from(771)));
    assert_eq!((&event["type"], &event["source"]), (&Json::from("p.BEGIN"), &Json::from("/s")));
    assert_eq!(event["data"], serde_json::json!({ "xid": 771 }));
}

#[test]
fn payloads_without_a_row_are_data_too() {
    let none = TxDef::default();
    let named = one(Op::Named, r#"{"operation":"paid"}"#, BodyDef::Text("plain"), &none, &[]);
    let event = &apply("{}", &named)[0]["payload"];
    assert_eq!((&event["type"], &event["data"]), (&Json::from("io.pgcdc.change.paid"), &Json::from("plain")));
    assert_eq!((event.get("pgcdclsn"), event.get("pgcdctxid")), (None, None));
    let nothing = &apply("{}", &one(Op::Commit, "", BodyDef::None, &none, &[]))[0]["payload"];
    assert_eq!(nothing["data"], Json::Null);
    let bytes = &apply("{}", &one(Op::Message, "", BodyDef::Bytes(&[0, 255]), &none, &[]))[0]["payload"];
    assert_eq!((&bytes["data_base64"], bytes.get("data")), (&Json::from("AP8="), None));
    assert_eq!(bytes["datacontenttype"], "application/octet-stream");
}

#[test]
fn the_key_of_the_row_stays_beside_the_new_payload() {
    let batch = ITEMS.batch(&[(Op::Insert, None, Some(&[Some("7"), Some("x")]))]).unwrap();
    let applied = testing::block_on(async {
        let transform = CloudEvents::open(testing::config("{}").unwrap(), &Context::default()).await.unwrap();
        transform.apply(&batch).await.unwrap()
    });
    let rows = applied.batches[0].read().unwrap();
    let event = rows.view().event(0).unwrap();
    let columns: Vec<&str> = event.relation().unwrap().columns().map(|column| column.name()).collect();
    assert_eq!(columns, ["id"]);
    assert!(event.relation().unwrap().column(0).unwrap().primary());
    assert!(event.after().is_some());
}
