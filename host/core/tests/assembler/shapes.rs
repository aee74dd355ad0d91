//! What changes in a table's shape is told once, in front of what uses it, and shifts nothing else; and what
//! else a message may say of its rows.

use pgcdc_core::assembler::Settings;
use pgcdc_core::pgoutput::{Cell, Identity};
use pgcdc_layout::Op;
use serde_json::{Value, json};

use crate::support::{Out, Wire, assembler, fold, settings};

const INT4: u32 = 23;
const TEXT: u32 = 25;

fn telling() -> Settings {
    Settings { schema_events: true, ..settings() }
}

fn run(wire: &Wire, settings: Settings) -> Out {
    fold(&mut assembler(settings), &wire.frames, || false).unwrap()
}

fn told(out: &Out) -> Vec<&Value> {
    out.events.iter().filter(|seen| seen.op == Op::SchemaChange).map(|seen| &seen.json["payload"]).collect()
}

fn ops(out: &Out) -> Vec<Op> {
    out.events.iter().map(|seen| seen.op).collect()
}

/// One table that is described twice, with a row after each.
fn twice(before: (Identity, &[(&str, u32)]), after: (Identity, &[(&str, u32)])) -> Vec<Value> {
    let mut wire = Wire::default();
    let row = |wire: &mut Wire, lsn, columns: usize| {
        wire.insert(lsn, 1, &vec![Cell::Text(b"1"); columns]);
    };
    wire.begin(0x500, 1).table(1, "t", before.0, before.1);
    row(&mut wire, 0x400, before.1.len());
    wire.table(1, "t", after.0, after.1);
    row(&mut wire, 0x420, after.1.len());
    let out = run(wire.commit(), telling());
    assert!(out.ascends());
    told(&out).into_iter().flat_map(|payload| payload["changes"].as_array().unwrap()).cloned().collect()
}

#[test]
fn a_new_shape_is_told_before_the_first_row_that_has_it() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "orders", Identity::Default, &[("*id", INT4), ("note", TEXT)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1"), Cell::Null]);
    wire.table(1, "orders", Identity::Default, &[("*id", INT4), ("note", TEXT), ("total", 1700)]);
    wire.insert(0x420, 1, &[Cell::Text(b"2"), Cell::Null, Cell::Text(b"9.90")]).commit();
    let out = run(&wire, Settings { tx_markers: true, ..telling() });
    assert_eq!(ops(&out), [Op::Begin, Op::Insert, Op::SchemaChange, Op::Insert, Op::Commit]);
    let event = &out.events[2].json;
    assert_eq!(event["channel"], "pgcdc:_schema");
    assert_eq!(event["operation"], "SCHEMA_CHANGE");
    assert_eq!(event["transaction"], Value::Null);
    assert_eq!(event["position"], "000000000000050002000000000000041f00000001");
    let added = json!({"type": "column_added", "column": "total", "type_name": "numeric"});
    assert_eq!(
        event["payload"],
        json!({"op": "SCHEMA_CHANGE", "table": "orders", "schema": "public", "changes": [added]})
    );
    assert_eq!(out.events[4].json["payload"]["event_count"], 2);
    // Without the option nothing else is different.
    let plain = run(&wire, Settings { tx_markers: true, ..settings() });
    let mut images = out.images();
    images.remove(2);
    assert_eq!(plain.images(), images);
}

#[test]
fn the_same_shape_again_is_no_news() {
    let shape: (Identity, &[(&str, u32)]) = (Identity::Default, &[("*id", INT4), ("note", TEXT)]);
    assert_eq!(twice(shape, shape), Vec::<Value>::new());
}

#[test]
fn every_difference_has_a_name_in_the_order_of_columns() {
    let changes = twice(
        (Identity::Default, &[("*id", INT4), ("a", TEXT), ("b", TEXT), ("c", INT4)]),
        (Identity::Default, &[("*id", 20), ("b", TEXT), ("z", TEXT), ("y", INT4), ("c", TEXT)]),
    );
    assert_eq!(
        changes,
        [
            json!({"type": "column_removed", "column": "a"}),
            json!({"type": "column_type_changed", "column": "id", "old_type": "int4", "new_type": "int8"}),
            json!({"type": "column_added", "column": "z", "type_name": "text"}),
            json!({"type": "column_added", "column": "y", "type_name": "int4"}),
            json!({"type": "column_type_changed", "column": "c", "old_type": "int4", "new_type": "text"}),
        ]
    );
}

#[test]
fn a_column_that_went_and_came_back_has_another_place() {
    let changes = twice(
        (Identity::Default, &[("*id", INT4), ("a", TEXT), ("b", TEXT)]),
        (Identity::Default, &[("*id", INT4), ("b", TEXT), ("a", TEXT)]),
    );
    assert_eq!(changes, [json!({"type": "columns_reordered", "columns": ["id", "b", "a"]})]);
}

#[test]
fn keys_and_replica_identities_are_told() {
    let changes = twice(
        (Identity::Default, &[("*id", INT4), ("tenant", INT4)]),
        (Identity::Default, &[("*id", INT4), ("*tenant", INT4)]),
    );
    assert_eq!(changes, [json!({"type": "key_changed", "old_key": ["id"], "new_key": ["id", "tenant"]})]);
    let changes = twice(
        (Identity::Default, &[("*id", INT4), ("a", INT4)]),
        (Identity::Full, &[("*id", INT4), ("*a", INT4)]),
    );
    let full = json!({"type": "replica_identity_changed", "old_identity": "default", "new_identity": "full"});
    assert_eq!(changes, [full]);
}

#[test]
fn a_renamed_table_is_told_under_its_new_name() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "old \"one\"", Identity::Default, &[("*id", INT4)]);
    wire.table(1, "new", Identity::Default, &[("*id", INT4)]);
    wire.insert(0x420, 1, &[Cell::Text(b"2")]).commit();
    let out = run(&wire, Settings { include_schema: true, ..telling() });
    let renamed = json!({"type": "table_renamed", "old_schema": "public", "old_table": "old \"one\""});
    let columns = json!([{"name": "id", "type_oid": 23, "type_name": "int4"}]);
    let expected = json!({"op": "SCHEMA_CHANGE", "table": "new", "schema": "public", "changes": [renamed], "columns": columns});
    assert_eq!(told(&out), [&expected]);
}

#[test]
fn shapes_that_one_truncate_needs_come_before_its_first_table() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7);
    for oid in [1, 2] {
        wire.table(oid, &format!("t{oid}"), Identity::Default, &[("*id", INT4)]);
    }
    wire.message(0x3e0, true, b"m").truncate(0x3e0, &[1, 2]);
    for oid in [1, 2] {
        wire.table(oid, &format!("t{oid}"), Identity::Default, &[("*id", INT4), ("a", TEXT)]);
    }
    wire.message(0x400, true, b"m").truncate(0x400, &[1, 2]).commit();
    for all_cuts in [false, true] {
        let out = fold(&mut assembler(telling()), &wire.frames, || all_cuts).unwrap();
        let truncated = [Op::Message, Op::Truncate, Op::Truncate];
        let later = [Op::Message, Op::SchemaChange, Op::SchemaChange, Op::Truncate, Op::Truncate];
        assert_eq!(ops(&out), [&truncated[..], &later[..]].concat());
        assert!(out.ascends());
        assert_eq!(out.events[4].json["payload"]["table"], "t1");
        assert_eq!(out.events[5].json["payload"]["table"], "t2");
    }
}

/// No server was seen to do this. It is told late rather than never, and the keys still ascend.
#[test]
fn a_shape_for_which_there_is_no_place_waits_for_one() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "t", Identity::Default, &[("*id", INT4)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1")]);
    wire.table(1, "t", Identity::Default, &[("*id", INT4), ("a", TEXT)]);
    wire.insert(0x400, 1, &[Cell::Text(b"2"), Cell::Null]).commit();
    let out = run(&wire, Settings { tx_markers: true, ..telling() });
    assert_eq!(ops(&out), [Op::Begin, Op::Insert, Op::Insert, Op::SchemaChange, Op::Commit]);
    assert!(out.ascends());
}

#[test]
fn a_change_that_is_read_past_is_told_of_too() {
    let large = vec![b'x'; 2_000];
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "t", Identity::Default, &[("*id", INT4)]);
    wire.table(1, "t", Identity::Default, &[("*id", INT4), ("a", TEXT)]);
    wire.insert(0x400, 1, &[Cell::Text(b"2"), Cell::Text(&large)]).commit();
    let out = run(&wire, Settings { max_event_bytes: 1_024, ..telling() });
    assert_eq!((ops(&out), out.refused.len()), (vec![Op::SchemaChange], 1));
}

#[test]
fn a_table_that_is_renamed_out_of_sight_is_told_of_once_more() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "orders", Identity::Default, &[("*id", INT4)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1")]);
    wire.table(1, "orders_old", Identity::Default, &[("*id", INT4)]);
    wire.insert(0x420, 1, &[Cell::Text(b"2")]).commit();
    let mut settings = telling();
    settings.tables.include = vec!["orders".parse().unwrap()];
    assert_eq!(ops(&run(&wire, settings)), [Op::Insert, Op::SchemaChange]);
}

#[test]
fn a_truncate_shows_what_it_said_besides() {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "t", Identity::Default, &[("*id", INT4)]);
    for (lsn, (cascade, restart)) in
        (0x400..).zip([(false, false), (true, false), (false, true), (true, true)])
    {
        wire.truncate_so(lsn, &[1], cascade, restart);
    }
    let out = run(wire.commit(), settings());
    let payloads: Vec<&Value> = out.events.iter().map(|seen| &seen.json["payload"]).collect();
    let plain = json!({"op": "TRUNCATE", "table": "t", "row": null, "old": null});
    assert_eq!(payloads[0], &plain);
    for (payload, keys) in
        payloads[1..].iter().zip([&["cascade"][..], &["restart_identity"], &["cascade", "restart_identity"]])
    {
        let mut expected = plain.clone();
        keys.iter().for_each(|key| expected[key] = json!(true));
        assert_eq!(*payload, &expected);
    }
}

#[test]
fn what_came_from_another_server_can_be_left_out_and_shifts_nothing() {
    let mut wire = Wire::default();
    let large = vec![b'x'; 2_000];
    wire.begin(0x500, 7).table(1, "t", Identity::Default, &[("*id", INT4)]);
    wire.insert(0x400, 1, &[Cell::Text(b"1")]).commit();
    wire.begin(0x600, 8).origin("elsewhere").insert(0x580, 1, &[Cell::Text(b"2")]).truncate(0x590, &[1]);
    wire.message(0x5a0, true, b"echo").insert(0x5b0, 1, &[Cell::Text(&large)]).commit();
    wire.begin(0x700, 9).insert(0x680, 1, &[Cell::Text(b"3")]).commit();
    let small = Settings { max_event_bytes: 1_024, tx_markers: true, ..settings() };
    let all = run(&wire, small.clone());
    assert_eq!(all.images().len(), 3 + 4 + 1 + 1 + 3);
    let local = run(&wire, Settings { local_only: true, ..small });
    assert_eq!(ops(&local), [Op::Begin, Op::Insert, Op::Commit, Op::Begin, Op::Insert, Op::Commit]);
    assert!(local.refused.is_empty());
    assert!(local.images().iter().all(|image| all.images().contains(image)));
    assert_eq!(local.batches.last().unwrap().resume.0, 0x730);
}
