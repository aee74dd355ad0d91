//! What a PostgreSQL 15 was recorded to send: `lsn xid hex`, a message a line, as
//! `pg_logical_slot_get_binary_changes` gives it; and what `row_to_json` of the same server made of the same
//! rows.

use pgcdc_core::assembler::{Assembler, Fed};
use pgcdc_core::catalog::{TypeCatalog, TypeRow};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::pgoutput::Message;
use pgcdc_layout::{Op, View, json};

use crate::support::{Frame, Out, assembler, fold, settings};

const CHANGES: &str = include_str!("../recorded/pg15_changes.txt");
const TYPES: &str = include_str!("../recorded/pg15_types.txt");
const CATALOG: &str = include_str!("../recorded/pg15_catalog.json");
const ROWS: &str = include_str!("../recorded/pg15_types.json");

pub(crate) fn frames(text: &str) -> Vec<Frame> {
    text.lines()
        .map(|line| {
            let mut fields = line.split(' ');
            let lsn = fields.next().unwrap().parse().unwrap();
            let data = data_encoding::HEXLOWER.decode(fields.nth(1).unwrap().as_bytes()).unwrap();
            (lsn, data)
        })
        .collect()
}

pub(crate) fn all() -> Vec<Frame> {
    [frames(CHANGES), frames(TYPES)].concat()
}

#[test]
fn every_message_is_encoded_as_it_was_decoded() {
    for (lsn, data) in all() {
        let mut again = Vec::new();
        Message::decode(&data).unwrap().encode(&mut again);
        assert_eq!(again, data, "at {lsn}");
    }
}

fn changes(markers: bool) -> Out {
    let settings = pgcdc_core::assembler::Settings { tx_markers: markers, ..settings() };
    fold(&mut assembler(settings), &frames(CHANGES), || false).unwrap()
}

#[test]
fn events_come_in_the_order_of_their_keys() {
    for markers in [false, true] {
        let out = changes(markers);
        assert!(out.ascends());
        assert!(out.refused.is_empty());
    }
}

#[test]
fn the_recorded_story_is_told() {
    let told: Vec<String> = changes(false)
        .events
        .iter()
        .map(|seen| {
            let what =
                if seen.op == Op::Message { &seen.json["payload"] } else { &seen.json["payload"]["row"] };
            let what: String = what.to_string().chars().take(60).collect();
            format!(
                "{} {} {what}",
                seen.json["operation"].as_str().unwrap(),
                seen.json["channel"].as_str().unwrap()
            )
        })
        .collect();
    let expected = include_str!("../recorded/pg15_changes.story");
    assert_eq!(told.join("\n"), expected.trim_end());
}

#[test]
fn messages_share_lsns_with_rows_and_still_have_their_place() {
    let mut shared = 0;
    for pair in frames(CHANGES).windows(2) {
        if let (Ok(Message::Logical(message)), Ok(Message::Insert(_))) =
            (Message::decode(&pair[0].1), Message::decode(&pair[1].1))
        {
            shared += u32::from(message.lsn == pair[1].0);
        }
    }
    assert!(shared > 0, "the recording has no such pair");
}

#[test]
fn resume_positions_are_ends_of_transactions() {
    let ends: Vec<Lsn> = frames(CHANGES)
        .iter()
        .filter_map(|(_, data)| match Message::decode(data) {
            Ok(Message::Commit(commit)) => Some(commit.end_lsn),
            _ => None,
        })
        .collect();
    let out = fold(&mut assembler(settings()), &frames(CHANGES), || true).unwrap();
    assert!(out.batches.iter().all(|batch| batch.resume == Lsn(1) || ends.contains(&batch.resume)));
    assert_eq!(out.batches.last().unwrap().resume, *ends.last().unwrap());
}

fn catalog_rows() -> Vec<TypeRow> {
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u32>().unwrap();
    CATALOG
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let names = row["field_names"].as_array().unwrap().iter();
            TypeRow {
                oid: number(&row["oid"]),
                name: row["name"].as_str().unwrap().into(),
                elem: number(&row["elem"]),
                delim: row["delim"].as_str().unwrap().into(),
                base: number(&row["base"]),
                composite: row["composite"].as_bool().unwrap(),
                hstore: false,
                field_names: names.map(|name| name.as_str().unwrap().into()).collect(),
                field_oids: row["field_oids"].as_array().unwrap().iter().map(number).collect(),
            }
        })
        .collect()
}

#[test]
fn a_row_of_every_type_is_what_row_to_json_prints() {
    let mut assembler = Assembler::new(settings(), TypeCatalog::new(), Lsn(1)).unwrap();
    for (lsn, data) in frames(TYPES) {
        while let Fed::NeedTypes(oids) = assembler.feed(lsn, &data, 0).unwrap() {
            assembler.learn_types(&oids, catalog_rows());
        }
    }
    let batch = assembler.take_batch().unwrap();
    let view = View::parse(&batch.bytes).unwrap();
    let ours: Vec<String> = view
        .events()
        .map(|event| {
            let mut out = Vec::new();
            json::write_row(&mut out, &event.relation().unwrap(), &event.raw_after().unwrap());
            String::from_utf8(out).unwrap()
        })
        .collect();
    // A json value may have line breaks in it, which a line of ours must not have.
    let theirs = ROWS.replace(",\n ", ",  ");
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
        assert_eq!(ours, theirs, "from {:?}", theirs.get(at..));
    }
}
