//! What transforms do, and what the host puts back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::borrow::Cow;

use pgcdc_layout::rewrite::{ColumnPlan, FreeForm, Mapped, RelationPlan, Rewriter, select, slice};
use pgcdc_layout::stamp::{StampError, draw_ids, stamp};
use pgcdc_layout::*;

/// Two transactions, two rows each, of a table (id int, email text, note text).
fn batch() -> Vec<u8> {
    let mut w = BatchWriter::new();
    w.flags(spec::FLAG_ORDERED).detected_us(1);
    w.strand("wal").unwrap();
    w.resume(b"token").unwrap();
    w.source("wal_replication").unwrap();
    let int = w.add_type(&TypeDef::scalar(23, Kind::Int, "int4")).unwrap();
    let text = w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let columns = [ColumnDef::new("id", int), ColumnDef::new("email", text), ColumnDef::new("note", text)];
    let (schema, name, channel) = ("public", "people", "pgcdc:people");
    let people = RelationDef { oid: 9, identity: b'd', schema, name, channel, columns: &columns };
    let people = w.add_relation(&people).unwrap();
    for n in 0..2u8 {
        let def = TxDef { key: &[0, n], first: true, last: true, xid: 70, ..TxDef::default() };
        let tx = w.add_transaction(&def).unwrap();
        for row in 1..3u8 {
            let mut t = w.tuple(3).unwrap();
            t.display(&(10 * n + row));
            t.value(b"a@b.c");
            t.unchanged();
            let after = Some(t.finish().unwrap());
            let (id, key) = ([10 * n + row; 16], &[row][..]);
            let event = EventDef { id, key, tx, after, seq: row.into(), ..EventDef::new(Op::Insert, people) };
            w.add_event(&event).unwrap();
        }
    }
    w.finish()
}

fn row(bytes: &[u8], n: u32) -> String {
    let event = View::parse(bytes).unwrap().event(n).unwrap();
    let mut out = Vec::new();
    json::write_row(&mut out, &event.relation().unwrap(), &event.raw_after().unwrap());
    String::from_utf8(out).unwrap()
}

fn child_id(parent: [u8; 16], n: u32) -> [u8; 16] {
    parent.map(|byte| byte.wrapping_add(100u8.wrapping_mul(n as u8)))
}

fn plan(columns: [ColumnPlan; 3]) -> RelationPlan {
    RelationPlan { columns: columns.into(), ..RelationPlan::default() }
}

#[test]
fn columns_are_dropped_renamed_and_mapped() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut asked = 0;
    let mut rewriter = Rewriter::new(view, |relation: &Relation<'_>| {
        asked += 1;
        assert_eq!(relation.name(), "people");
        let id = ColumnPlan { map: true, text: true, ..ColumnPlan::default() };
        let email = ColumnPlan { rename: Some("mail".into()), ..ColumnPlan::default() };
        plan([id, email, ColumnPlan { drop: true, ..ColumnPlan::default() }])
    })
    .unwrap();
    for event in view.events() {
        if event.index() != 1 {
            rewriter
                .pass_with(&event, 0, |side, column, text| {
                    assert_eq!((side, column), (rewrite::Side::After, 0));
                    if text == "11" { Mapped::Null } else { Mapped::Value(Cow::Owned(format!("#{text}"))) }
                })
                .unwrap();
        }
    }
    let mut output = rewriter.finish().unwrap();
    assert_eq!(asked, 1);
    stamp(&view, &mut output, child_id).unwrap();
    assert_eq!(row(&output, 0), r##"{"id":"#1","mail":"a@b.c"}"##);
    assert_eq!(row(&output, 1), r##"{"id":null,"mail":"a@b.c"}"##);
    assert_eq!(row(&output, 2), r##"{"id":"#12","mail":"a@b.c"}"##);
    let output = View::parse(&output).unwrap();
    assert_eq!(output.events().map(|event| event.input()).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(output.relation(0).unwrap().column(0).unwrap().ty().unwrap().name(), "text");
}

#[test]
fn nothing_changes_without_a_plan() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut rewriter = Rewriter::new(view, |_: &Relation<'_>| RelationPlan::default()).unwrap();
    for event in view.events() {
        rewriter.pass(&event).unwrap();
    }
    let output = rewriter.finish().unwrap();
    let lines = |bytes| json::lines(&View::parse(bytes).unwrap(), usize::MAX).unwrap();
    assert_eq!(lines(&output), lines(&input));
    let rewriter = Rewriter::new(view, |_: &Relation<'_>| RelationPlan::default()).unwrap();
    assert_eq!(rewriter.finish(), None);
}

#[test]
fn a_guest_cannot_forge_what_is_the_hosts() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut w = BatchWriter::new();
    w.flags(0).detected_us(99);
    w.strand("other strand").unwrap();
    w.resume(b"far ahead").unwrap();
    w.source("").unwrap();
    for _ in 0..2 {
        w.add_transaction(&TxDef { key: &[9; 9], xid: 1, name: "forged", ..TxDef::default() }).unwrap();
    }
    let channel = w.add_relation(&RelationDef::channel("c")).unwrap();
    let forged = EventDef { id: [7; 16], key: &[8; 20], seq: 77, ..EventDef::new(Op::Notify, channel) };
    w.add_event(&EventDef { input: Some(1), ..forged }).unwrap();
    w.add_event(&EventDef { input: Some(3), derived: 1, ..forged }).unwrap();
    w.add_event(&EventDef { input: Some(3), derived: 2, ..forged }).unwrap();
    let mut output = w.finish();
    stamp(&view, &mut output, child_id).unwrap();
    let output = View::parse(&output).unwrap();
    assert_eq!(
        (output.strand(), output.resume(), output.source()),
        ("wal", &b"token"[..], "wal_replication")
    );
    assert_eq!((output.flags(), output.detected_us()), (spec::FLAG_ORDERED, 1));
    let events: Vec<_> = output.events().collect();
    assert_eq!(events.iter().map(|event| event.id()[0]).collect::<Vec<_>>(), [2, 112, 212]);
    for (event, parent) in events.iter().zip([1, 3, 3]) {
        let parent = view.event(parent).unwrap();
        assert_eq!(
            (event.key(), event.seq(), event.tx_index()),
            (parent.key(), parent.seq(), parent.tx_index())
        );
        let transaction = event.transaction().unwrap();
        assert_eq!(
            (transaction.key(), transaction.xid(), transaction.name()),
            (&[0, parent.index() as u8 / 2][..], 70, "")
        );
    }
    assert_eq!(output.check_order(&mut Vec::new()), Ok(()));
}

#[test]
fn bytes_that_are_stamped_are_no_place_for_a_key() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut output = input.clone();
    let table = u32::from_le_bytes(output[44..48].try_into().unwrap()) as usize;
    // The first transaction's key is where the second one's LSN is, which is stamped after it.
    output[table + 48 + 8..table + 48 + 10].copy_from_slice(&[0, 0]);
    output[table..table + 4].copy_from_slice(&(table as u32 + 48 + 8).to_le_bytes());
    let mut other = input.clone();
    other[table + 48 + 8..table + 48 + 10].copy_from_slice(&[9, 9]);
    let other = View::parse(&other).unwrap();
    stamp(&other, &mut output, child_id).unwrap();
    let output = View::parse(&output).unwrap();
    assert_eq!(output.transaction(1).unwrap().commit_lsn(), 0x909);
    assert_eq!(output.transaction(0).unwrap().key(), view.transaction(0).unwrap().key());
}

#[test]
fn outputs_that_are_not_of_their_input_are_refused() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let output = |events: &[(u32, u32)], transactions: usize| {
        let mut w = BatchWriter::new();
        for _ in 0..transactions {
            w.add_transaction(&TxDef::default()).unwrap();
        }
        let channel = w.add_relation(&RelationDef::channel("c")).unwrap();
        for (input, derived) in events {
            let event =
                EventDef { input: Some(*input), derived: *derived, ..EventDef::new(Op::Notify, channel) };
            w.add_event(&event).unwrap();
        }
        stamp(&view, &mut w.finish(), child_id)
    };
    assert_eq!(output(&[(0, 0)], 2), Ok(()));
    assert_eq!(output(&[(0, 0)], 1), Err(StampError::Transactions { expected: 2, got: 1 }));
    assert_eq!(output(&[(4, 0)], 2), Err(StampError::Input { event: 0, input: 4 }));
    assert_eq!(output(&[(0, 0), (0, 0)], 2), Err(StampError::Order { event: 1 }));
    assert_eq!(output(&[(1, 0), (0, 0)], 2), Err(StampError::Order { event: 1 }));
    assert_eq!(output(&[(0, 2), (0, 1)], 2), Err(StampError::Order { event: 1 }));
    assert!(matches!(stamp(&view, &mut vec![0; 200], child_id), Err(StampError::Malformed(_))));
}

#[test]
fn tables_must_not_overlap() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut output = input.clone();
    let events_at = u32::from_le_bytes(output[32..36].try_into().unwrap());
    output[44..48].copy_from_slice(&events_at.to_le_bytes());
    let error = stamp(&view, &mut output, child_id).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "not a valid batch (layout version 1): tables overlap each other or the header, at byte {events_at}"
        )
    );
}

#[test]
fn children_of_children_have_names_too() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let split = |view: View<'_>, derived: u32| {
        let mut rewriter = Rewriter::new(view, |_: &Relation<'_>| RelationPlan::default()).unwrap();
        for event in view.events().take(1) {
            rewriter.pass_with(&event, derived, |_, _, _| Mapped::Same).unwrap();
        }
        let mut output = rewriter.finish().unwrap();
        stamp(&view, &mut output, child_id).map(|()| output)
    };
    let child = split(view, 1).unwrap();
    let child = View::parse(&child).unwrap();
    assert_eq!((child.event(0).unwrap().id()[0], child.event(0).unwrap().derived()), (101, 1));
    let same = split(child, 0).unwrap();
    assert_eq!(View::parse(&same).unwrap().event(0).unwrap().derived(), 1);
    let grandchild = split(child, 1).unwrap();
    let grandchild = View::parse(&grandchild).unwrap();
    assert_eq!(
        (grandchild.event(0).unwrap().id()[0], grandchild.event(0).unwrap().derived()),
        (201, 0x1_0001)
    );
    assert_eq!(split(grandchild, 1), Err(StampError::Derived { event: 0 }));
    assert_eq!(split(child, 0x1_0000), Err(StampError::Derived { event: 0 }));
}

#[test]
fn a_row_becomes_free_form() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut rewriter = Rewriter::new(view, |_: &Relation<'_>| RelationPlan::default()).unwrap();
    let alerts = rewriter.channel("alerts").unwrap();
    let event = view.event(2).unwrap();
    let body = BodyDef::Json("{\"n\": 1}");
    let (op, particulars) = (Some(Op::Named), Some("{\"operation\": \"VIEW_RESULT\"}"));
    rewriter
        .free_form(&event, &FreeForm { relation: Some(alerts), op, body, particulars, ..FreeForm::default() })
        .unwrap();
    let mut output = rewriter.finish().unwrap();
    stamp(&view, &mut output, child_id).unwrap();
    let lines = json::lines(&View::parse(&output).unwrap(), usize::MAX).unwrap();
    let line = String::from_utf8(lines.bytes).unwrap();
    let id = "0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b";
    assert_eq!(
        line,
        format!(
            "{{\"id\":\"{id}\",\"channel\":\"alerts\",\"operation\":\"VIEW_RESULT\",\"payload\":{{\"n\": 1}},\
         \"source\":\"wal_replication\",\"created_at\":\"1970-01-01T00:00:00.000001Z\",\"position\":\"000101\"}}\n"
        )
    );
}

#[test]
fn a_payload_that_is_replaced_keeps_the_key_of_its_row_and_nothing_else() {
    let mut w = BatchWriter::new();
    let int = w.add_type(&TypeDef::scalar(23, Kind::Int, "int4")).unwrap();
    let id = ColumnDef { primary: true, identity: true, ..ColumnDef::new("id", int) };
    let columns = [ColumnDef::new("note", int), id];
    let keyed = w.add_relation(&RelationDef { columns: &columns, ..RelationDef::channel("c") }).unwrap();
    let whole = [ColumnDef { identity: true, ..ColumnDef::new("a", int) }];
    let full = RelationDef { identity: b'f', columns: &whole, ..RelationDef::channel("f") };
    let full = w.add_relation(&full).unwrap();
    for (relation, values) in [(keyed, &["1", "2"][..]), (full, &["3"])] {
        let mut t = w.tuple(values.len()).unwrap();
        values.iter().for_each(|value| t.value(value.as_bytes()));
        let after = Some(t.finish().unwrap());
        w.add_event(&EventDef { after, ..EventDef::new(Op::Insert, relation) }).unwrap();
    }
    let input = w.finish();
    let view = View::parse(&input).unwrap();
    let mut rewriter = Rewriter::new(view, |r: &Relation<'_>| RelationPlan::key_only(r)).unwrap();
    for event in view.events() {
        let form = FreeForm { body: BodyDef::Json("{}"), rows: true, ..FreeForm::default() };
        rewriter.free_form(&event, &form).unwrap();
    }
    let output = rewriter.finish().unwrap();
    let view = View::parse(&output).unwrap();
    let rows: Vec<Vec<Cell<&[u8]>>> =
        view.events().map(|event| event.raw_after().unwrap().iter().collect()).collect();
    assert_eq!(rows, [vec![Cell::Value(&b"2"[..])], vec![]]);
    let lines = String::from_utf8(json::lines(&view, usize::MAX).unwrap().bytes).unwrap();
    assert_eq!(lines.matches(r#""payload":{},"#).count(), 2, "the rows are not printed: {lines}");
}

#[test]
fn a_payload_alone_is_what_the_envelope_has() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut encoder = json::Encoder::new(&view, usize::MAX);
    for event in view.events() {
        let (mut line, mut payload) = (Vec::new(), Vec::new());
        encoder.event(&mut line, &event).unwrap();
        encoder.payload(&mut payload, &event).unwrap();
        let (line, payload) = (String::from_utf8(line).unwrap(), String::from_utf8(payload).unwrap());
        assert!(
            payload.starts_with('{') && line.contains(&format!("\"payload\":{payload},\"source\"")),
            "{line}"
        );
    }
    let mut short = json::Encoder::new(&view, 10);
    let mut out = b"before".to_vec();
    assert!(short.payload(&mut out, &view.event(0).unwrap()).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn particulars_add_to_the_payload() {
    let mut w = BatchWriter::new();
    let table = w.add_relation(&RelationDef { name: "t", ..RelationDef::channel("c") }).unwrap();
    let particulars = r#"{"snapshot_id": "s1", "payload": {"database": "d", "row": 1, "n": [1,
        2]}}"#;
    w.add_event(&EventDef { particulars, ..EventDef::new(Op::Snapshot, table) }).unwrap();
    let bytes = w.finish();
    let lines = json::lines(&View::parse(&bytes).unwrap(), usize::MAX).unwrap();
    let line: serde_json::Value = serde_json::from_slice(&lines.bytes).unwrap();
    let expected =
        r#"{"op":"SNAPSHOT","table":"t","row":null,"old":null,"snapshot_id":"s1","database":"d","n":[1,2]}"#;
    assert_eq!(line["payload"], serde_json::from_str::<serde_json::Value>(expected).unwrap());
    assert_eq!(lines.bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn a_subset_keeps_the_truth_about_transactions() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let ends = |bytes: Vec<u8>| {
        let view = View::parse(&bytes).unwrap();
        let ends = |n| view.transaction(n).map(|tx| (tx.first(), tx.last())).unwrap();
        [ends(0), ends(1)]
    };
    assert_eq!(ends(slice(&view, 0, 9).unwrap()), [(true, true), (true, true)]);
    assert_eq!(ends(slice(&view, 1, 2).unwrap()), [(false, true), (true, false)]);
    assert_eq!(ends(select(&view, &[0, 1]).unwrap()), [(true, true), (false, false)]);
    assert_eq!(ends(slice(&view, 9, 1).unwrap()), [(false, false), (false, false)]);
    assert!(matches!(select(&view, &[1, 1]), Err(WriteError::Invalid { .. })));
    assert_eq!(select(&view, &[1, 4]), Err(WriteError::Unknown { what: "event", index: 4 }));
    let two = select(&view, &[1, 3]).unwrap();
    assert_eq!(row(&two, 1), r#"{"id":12,"email":"a@b.c"}"#);
    assert_eq!(View::parse(&two).unwrap().event(1).unwrap().input(), 1);
}

#[test]
fn order_is_checked_over_batches() {
    let input = batch();
    let view = View::parse(&input).unwrap();
    let mut last = Vec::new();
    assert_eq!(view.check_order(&mut last), Ok(()));
    assert_eq!(last, [0, 1, 2]);
    let error = view.check_order(&mut last).unwrap_err();
    assert_eq!(error.what, "an event's order key is not above that of the event before it");
}

#[test]
fn ids_are_drawn_where_there_are_none() {
    let mut w = BatchWriter::new();
    let channel = w.add_relation(&RelationDef::channel("c")).unwrap();
    for id in [[0; 16], [5; 16], [0; 16]] {
        w.add_event(&EventDef { id, ..EventDef::new(Op::Notify, channel) }).unwrap();
    }
    let mut bytes = w.finish();
    let mut n = 0;
    draw_ids(&mut bytes, || {
        n += 1;
        [n; 16]
    });
    let ids: Vec<_> = View::parse(&bytes).unwrap().events().map(|event| event.id()[0]).collect();
    assert_eq!(ids, [1, 5, 2]);
}
