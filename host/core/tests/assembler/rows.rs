//! Each kind of change by hand, and each way in which one can be wrong.

use pgcdc_core::assembler::{Error, Fed, Reason, Values};
use pgcdc_core::catalog::TypeRow;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::pgoutput::{Cell, Identity};
use pgcdc_layout::{Cell as Stored, Op, View};
use serde_json::json;

use crate::support::{Out, Wire, assembler, fold, settings};

const INT4: u32 = 23;
const TEXT: u32 = 25;

fn orders(wire: &mut Wire) -> &mut Wire {
    wire.table(1, "orders", Identity::Default, &[("*id", INT4), ("note", TEXT)])
}

fn run(wire: &Wire) -> Out {
    fold(&mut assembler(settings()), &wire.frames, || false).unwrap()
}

fn error(wire: &Wire) -> String {
    fold(&mut assembler(settings()), &wire.frames, || false).unwrap_err().to_string()
}

fn payloads(out: &Out) -> Vec<serde_json::Value> {
    out.events.iter().map(|seen| seen.json["payload"].clone()).collect()
}

#[test]
fn a_row_becomes_an_envelope() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 771)).insert(0x400, 1, &[Cell::Text(b"3"), Cell::Null]).commit();
    let mut assembler = assembler(pgcdc_core::assembler::Settings { tx_metadata: true, ..settings() });
    let out = fold(&mut assembler, &wire.frames, || false).unwrap();
    let position = "000000000000050002000000000000040000000001";
    let expected = json!({
        "id": out.events[0].json["id"], "channel": "pgcdc:orders", "operation": "INSERT",
        "payload": {"op": "INSERT", "table": "orders", "row": {"id": 3, "note": null}, "old": null},
        "source": "wal_replication", "created_at": "2026-01-05T09:30:00.25Z", "position": position,
        "transaction": {"xid": 771, "commit_time": "2026-01-05T09:30:00Z", "seq": 1},
    });
    assert_eq!(out.events[0].json, expected);
    assert_eq!(out.batches[0].resume, Lsn(0x530));
    assert!(!out.batches[0].open_tx);
}

#[test]
fn old_rows_are_shown_as_far_as_they_were_sent() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 1));
    wire.change(
        0x400,
        b'U',
        1,
        &[(b'K', &[Cell::Text(b"1"), Cell::Null]), (b'N', &[Cell::Text(b"2"), Cell::Text(b"b")])],
    );
    wire.change(0x410, b'D', 1, &[(b'K', &[Cell::Text(b"2"), Cell::Null])]);
    let out = run(wire.commit());
    assert_eq!(
        payloads(&out),
        [
            json!({"op": "UPDATE", "table": "orders", "row": {"id": 2, "note": "b"}, "old": {"id": 1, "note": null}}),
            json!({"op": "DELETE", "table": "orders", "row": {"id": 2, "note": null}, "old": null}),
        ]
    );
    let view = View::parse(&out.batches[0].bytes).unwrap();
    let before = view.event(0).unwrap().before().unwrap();
    assert_eq!(before.iter().collect::<Vec<_>>(), [Stored::Value("1"), Stored::Absent]);
}

#[test]
fn a_value_that_was_not_sent_is_marked_unless_the_old_row_has_it() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 1));
    wire.change(0x400, b'U', 1, &[(b'N', &[Cell::Text(b"1"), Cell::Unchanged])]);
    wire.change(
        0x410,
        b'U',
        1,
        &[(b'O', &[Cell::Text(b"1"), Cell::Text(b"long")]), (b'N', &[Cell::Text(b"2"), Cell::Unchanged])],
    );
    let payloads = payloads(&run(wire.commit()));
    assert_eq!(payloads[0]["_unchanged_toast_columns"], json!(["note"]));
    assert_eq!(payloads[1]["row"], json!({"id": 2, "note": "long"}));
    assert_eq!(payloads[1]["_unchanged_toast_columns"], json!(null));
}

#[test]
fn truncate_gives_one_event_a_table_even_over_batches() {
    let mut wire = Wire::default();
    wire.begin(0x500, 1);
    for oid in 1..=3 {
        wire.table(oid, &format!("t{oid}"), Identity::Default, &[("*id", INT4)]);
    }
    wire.truncate(0x400, &[1, 2, 3]).commit();
    let out = run(&wire);
    assert_eq!(
        out.events.iter().map(|e| (e.op, e.seq)).collect::<Vec<_>>(),
        [(Op::Truncate, Some(1)), (Op::Truncate, Some(2)), (Op::Truncate, Some(3)),]
    );
    assert_eq!(payloads(&out)[2], json!({"op": "TRUNCATE", "table": "t3", "row": null, "old": null}));
}

#[test]
fn markers_enclose_only_what_has_events() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).commit();
    orders(wire.begin(0x600, 8)).message(0x5a0, true, b"hi");
    wire.insert(0x5a0, 1, &[Cell::Text(b"1"), Cell::Null]).commit();
    let settings = pgcdc_core::assembler::Settings { tx_markers: true, ..settings() };
    let out = fold(&mut assembler(settings), &wire.frames, || true).unwrap();
    let ops: Vec<Op> = out.events.iter().map(|seen| seen.op).collect();
    assert_eq!(ops, [Op::Begin, Op::Message, Op::Insert, Op::Commit]);
    assert!(out.ascends());
    let shown = payloads(&out);
    assert_eq!(shown[0], json!({"xid": 8, "commit_time": "2026-01-05T09:30:00Z"}));
    assert_eq!(shown[1], json!({"prefix": "p", "content": "hi", "transactional": true}));
    assert_eq!(shown[3], json!({"xid": 8, "commit_time": "2026-01-05T09:30:00Z", "event_count": 1}));
    assert_eq!(out.events[0].json["channel"], "pgcdc:_txn");
    assert_eq!(out.events[1].json["channel"], "pgcdc:_message");
    assert_eq!(out.batches[0].events, 0, "the empty transaction only moves the resume position");
    assert_eq!(out.batches[0].resume, Lsn(0x530));
}

#[test]
fn a_batch_says_where_its_transactions_start_and_end() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 7));
    for lsn in [0x400, 0x410, 0x420] {
        wire.insert(lsn, 1, &[Cell::Text(b"1"), Cell::Null]);
    }
    let mut cuts = [false, false, true, true, false, false].into_iter();
    let out = fold(&mut assembler(settings()), &wire.commit().frames, || cuts.next().unwrap()).unwrap();
    let ends: Vec<(bool, bool, bool)> = out
        .batches
        .iter()
        .map(|batch| {
            let tx = View::parse(&batch.bytes).unwrap().transaction(0).map(|tx| (tx.first(), tx.last()));
            let (first, last) = tx.unwrap();
            (first, last, batch.open_tx)
        })
        .collect();
    assert_eq!(ends, [(true, false, true), (false, false, true), (false, true, false)]);
    assert_eq!(out.batches.iter().map(|batch| batch.resume.0).collect::<Vec<_>>(), [1, 1, 0x530]);
}

#[test]
fn an_event_that_is_too_large_is_named_and_the_others_go_on() {
    let large = vec![b'x'; 2_000];
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 7)).insert(0x400, 1, &[Cell::Text(b"41"), Cell::Text(&large)]);
    wire.insert(0x410, 1, &[Cell::Text(b"42"), Cell::Null]).message(0x430, true, &large).commit();
    let settings = pgcdc_core::assembler::Settings { max_event_bytes: 1_024, ..settings() };
    let out = fold(&mut assembler(settings), &wire.frames, || false).unwrap();
    assert_eq!(out.events.len(), 1);
    assert_eq!(out.events[0].seq, Some(2));
    let [row, message] = &out.refused[..] else { panic!("{:?}", out.refused) };
    assert_eq!(row.row_key, [("id".to_string(), "41".to_string())]);
    assert_eq!((row.op, row.seq, row.table.as_str(), row.after_events), (Op::Insert, 1, "orders", 0));
    assert_eq!(row.reason, Reason::TooLarge { bytes: 2_020, bytes_max: 1_024 });
    assert_eq!((message.channel.as_str(), message.after_events), ("pgcdc:_message", 1));
    // What was read past keeps the same key and id.
    let all = run(&wire);
    assert_eq!(all.images(), out.images());
}

#[test]
fn a_value_that_is_not_utf8_is_never_guessed() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 7)).insert(0x400, 1, &[Cell::Text(b"41"), Cell::Text(&[0xFF, 0xFE])]);
    let out = run(wire.insert(0x410, 1, &[Cell::Text(b"42"), Cell::Text("ü".as_bytes())]).commit());
    assert_eq!(out.events.len(), 1);
    assert_eq!(out.refused[0].reason, Reason::NotUtf8 { column: "note".into() });
    assert_eq!(out.refused[0].row_key, [("id".to_string(), "41".to_string())]);
}

#[test]
fn user_types_are_asked_for_once() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "t", Identity::Default, &[("*id", INT4), ("c", 20_000), ("d", 20_000)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1"), Cell::Text(b"(5)"), Cell::Null]).commit();
    let mut assembler = assembler(settings());
    assert_eq!(assembler.feed(Lsn(0), &wire.frames[0].1, 0), Ok(Fed::Taken));
    assert_eq!(assembler.feed(Lsn(0), &wire.frames[1].1, 0), Ok(Fed::NeedTypes(vec![20_000])));
    assert_eq!(assembler.feed(Lsn(0), &wire.frames[1].1, 0), Ok(Fed::NeedTypes(vec![20_000])));
    let row = TypeRow {
        oid: 20_000,
        name: "pair".into(),
        composite: true,
        field_names: vec!["n".into()],
        field_oids: vec![INT4],
        ..TypeRow::default()
    };
    assembler.learn_types(&[20_000], vec![row]);
    let out = fold(&mut assembler, &wire.frames[1..], || false).unwrap();
    assert_eq!(payloads(&out)[0]["row"], json!({"id": 1, "c": {"n": 5}, "d": null}));
}

#[test]
fn values_can_be_shown_as_text_and_tables_with_their_columns() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "t", Identity::Default, &[("*id", INT4), ("a", 1_007), ("u", 30_000)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1"), Cell::Text(b"[0:0]={5}"), Cell::Text(b"x")]).commit();
    let settings =
        pgcdc_core::assembler::Settings { values: Values::Text, include_schema: true, ..settings() };
    let out = fold(&mut assembler(settings), &wire.frames, || false).unwrap();
    let payload = &payloads(&out)[0];
    assert_eq!(payload["row"], json!({"id": "1", "a": "[0:0]={5}", "u": "x"}));
    assert_eq!(payload["schema"], "public");
    assert_eq!(
        payload["columns"],
        json!([
            {"name": "id", "type_oid": 23, "type_name": "int4"},
            {"name": "a", "type_oid": 1007, "type_name": "_int4"},
            {"name": "u", "type_oid": 30000, "type_name": "oid:30000"},
        ])
    );
}

#[test]
fn a_changed_table_is_described_anew_in_the_same_batch() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 7)).insert(0x400, 1, &[Cell::Text(b"1"), Cell::Text(b"a")]);
    wire.table(1, "orders", Identity::Default, &[("*id", INT4), ("n", INT4)]);
    wire.insert(0x410, 1, &[Cell::Text(b"2"), Cell::Text(b"5")]);
    let out = run(wire.commit());
    assert_eq!(out.batches.len(), 1);
    assert_eq!(payloads(&out)[0]["row"], json!({"id": 1, "note": "a"}));
    assert_eq!(payloads(&out)[1]["row"], json!({"id": 2, "n": 5}));
}

#[test]
fn full_batches_are_told() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 7));
    for n in 0..10 {
        wire.insert(0x400 + n, 1, &[Cell::Text(b"1"), Cell::Text(&[b'x'; 100])]);
    }
    wire.commit();
    let by_events = pgcdc_core::assembler::Settings { batch_events: 4, ..settings() };
    let out = fold(&mut assembler(by_events), &wire.frames, || false).unwrap();
    assert_eq!(out.batches.iter().map(|batch| batch.events).collect::<Vec<_>>(), [4, 4, 2]);
    let by_bytes = pgcdc_core::assembler::Settings { batch_bytes: 1_000, ..settings() };
    let out = fold(&mut assembler(by_bytes), &wire.frames, || false).unwrap();
    assert!(out.batches.len() > 1 && out.batches.iter().all(|batch| batch.bytes.len() < 1_500));
    assert_eq!(out.events.len(), 10);
}

#[test]
fn whoever_never_takes_is_told_to() {
    let mut wire = Wire::default();
    orders(wire.begin(0x500, 7)).table(2, "other", Identity::Default, &[("*id", INT4)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1"), Cell::Null]).truncate(0x410, &[1, 2, 1, 2, 1]).commit();
    let mut assembler = assembler(settings());
    let feed = |assembler: &mut pgcdc_core::assembler::Assembler, frame: usize| {
        assembler.feed(wire.frames[frame].0, &wire.frames[frame].1, 0).unwrap()
    };
    (0..3).for_each(|frame| assert_eq!(feed(&mut assembler, frame), Fed::Taken));
    for _ in 0..pgcdc_layout::spec::EVENTS_MAX - 2 {
        assert_eq!(feed(&mut assembler, 3), Fed::Taken);
    }
    // Two of five tables fit; the others come with the next batch, and none twice.
    assert_eq!(feed(&mut assembler, 4), Fed::Full);
    assert_eq!(feed(&mut assembler, 4), Fed::Full);
    let mut out = Out::default();
    out.take(assembler.take_batch());
    assert_eq!(feed(&mut assembler, 4), Fed::Taken);
    assert_eq!(feed(&mut assembler, 5), Fed::Taken);
    out.take(assembler.take_batch());
    assert!(out.ascends());
    let ops: Vec<Op> = out.events.iter().map(|seen| seen.op).filter(|op| *op == Op::Truncate).collect();
    assert_eq!(ops.len(), 5);
    assert_eq!(out.events.len(), pgcdc_layout::spec::EVENTS_MAX + 3);
}

#[test]
fn what_cannot_follow_is_an_error() {
    let mut wire = Wire::default();
    assert!(error(wire.begin(0x500, 1).begin(0x600, 2)).contains("unexpected Begin"));
    assert!(error(Wire::default().commit()).contains("unexpected Commit"));
    let mut wire = Wire::default();
    assert!(error(wire.insert(0x400, 1, &[])).contains("unexpected row"));
    let mut wire = Wire::default();
    assert!(error(wire.truncate(0x400, &[1])).contains("unexpected Truncate"));
    let mut wire = Wire::default();
    assert!(error(wire.message(0x400, true, b"x")).contains("unexpected transactional Message"));
    let mut wire = Wire::default();
    assert!(error(wire.begin(0x500, 1).insert(0x400, 9, &[])).contains("relation 9"));
    let mut wire = Wire::default();
    let wire = orders(wire.begin(0x500, 1)).insert(0x400, 1, &[Cell::Null]);
    assert_eq!(error(wire), "a row of public.orders has 1 values, the table was described with 2 columns");
    let mut wire = Wire::default();
    let wire = orders(wire.begin(0x500, 1)).insert(0x400, 1, &[Cell::Null, Cell::Binary(b"x")]);
    assert!(error(wire).contains("binary value in column \"note\" of public.orders"));
    let mut wire = Wire::default();
    wire.begin(0x500, 1).commit();
    wire.begin(0x400, 1).commit();
    assert!(error(&wire).contains("ends before"));
}

#[test]
fn only_changes_may_be_read_past() {
    let settings = pgcdc_core::assembler::Settings { max_event_bytes: 1_024, ..settings() };
    let mut wire = Wire::default();
    let name = "n".repeat(2_000);
    wire.table(1, &name, Identity::Default, &[]);
    let error = fold(&mut assembler(settings), &wire.frames, || false).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
}
