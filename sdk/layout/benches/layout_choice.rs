//! This layout against FlatBuffers, for `host/decisions/0001-batch-layout.md`: 4,096 events of ten text
//! columns, 440 bytes each; nanoseconds an event, medians of interleaved rounds.
//!
//! FlatBuffers as a schema would have it: a batch is a vector of tables with operation, relation, key and the
//! columns as a vector of strings. `cargo bench -p pgcdc-layout`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::hint::black_box;
use std::time::Instant;

use flatbuffers::{
    FlatBufferBuilder, ForwardsUOffset, InvalidFlatbuffer, Vector, Verifiable, Verifier, VerifierOptions,
};
use pgcdc_layout::*;

const EVENTS: usize = 4_096;
const COLUMNS: usize = 10;
const ROUNDS: usize = 41;

/// Places in the vtable of an event: operation, relation, key, columns; and of the batch: its events.
const OP: u16 = 4;
const RELATION: u16 = 6;
const KEY: u16 = 8;
const VALUES: u16 = 10;
const BATCH_EVENTS: u16 = 4;

type Values<'a> = ForwardsUOffset<Vector<'a, ForwardsUOffset<&'a str>>>;

fn columns() -> Vec<String> {
    (0..COLUMNS).map(|n| format!("column {n} ").repeat(6)[..44].to_owned()).collect()
}

fn layout_encode(w: &mut BatchWriter, values: &[String]) -> Vec<u8> {
    let text = w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let columns = [ColumnDef::new("name", text); COLUMNS];
    let relation = RelationDef { columns: &columns, ..RelationDef::channel("pgcdc:items") };
    let relation = w.add_relation(&relation).unwrap();
    for n in 0..EVENTS {
        let mut t = w.tuple(COLUMNS).unwrap();
        for value in values {
            t.value(value.as_bytes());
        }
        let after = Some(t.finish().unwrap());
        let key = (n as u64).to_be_bytes();
        w.add_event(&EventDef { key: &key, after, ..EventDef::new(Op::Insert, relation) }).unwrap();
    }
    w.finish()
}

fn layout_read(view: &View<'_>) -> usize {
    let mut sum = 0;
    for event in view.events() {
        sum += event.op() as usize;
        for cell in event.after().unwrap().iter() {
            sum += cell.value().map_or(0, |text| text.as_bytes()[0] as usize + text.len());
        }
    }
    sum
}

fn flat_encode(values: &[String]) -> Vec<u8> {
    let mut b = FlatBufferBuilder::with_capacity(4 << 20);
    let mut events = Vec::with_capacity(EVENTS);
    for n in 0..EVENTS {
        let mut offsets = [None; COLUMNS];
        for (offset, value) in offsets.iter_mut().zip(values) {
            *offset = Some(b.create_string(value));
        }
        let values = b.create_vector(&offsets.map(Option::unwrap));
        let key = b.create_vector(&(n as u64).to_be_bytes());
        let table = b.start_table();
        b.push_slot_always(VALUES, values);
        b.push_slot_always(KEY, key);
        b.push_slot_always(RELATION, 0u32);
        b.push_slot_always(OP, 1u8);
        events.push(b.end_table(table));
    }
    let events = b.create_vector(&events);
    let table = b.start_table();
    b.push_slot_always(BATCH_EVENTS, events);
    let root = b.end_table(table);
    b.finish_minimal(root);
    b.finished_data().to_vec()
}

struct FlatEvent;
struct FlatBatch;

impl Verifiable for FlatEvent {
    fn run_verifier(v: &mut Verifier<'_, '_>, pos: usize) -> Result<(), InvalidFlatbuffer> {
        v.visit_table(pos)?
            .visit_field::<u8>("op", OP, true)?
            .visit_field::<u32>("relation", RELATION, true)?
            .visit_field::<ForwardsUOffset<Vector<'_, u8>>>("key", KEY, true)?
            .visit_field::<Values<'_>>("values", VALUES, true)?
            .finish();
        Ok(())
    }
}

impl Verifiable for FlatBatch {
    fn run_verifier(v: &mut Verifier<'_, '_>, pos: usize) -> Result<(), InvalidFlatbuffer> {
        type Events<'a> = ForwardsUOffset<Vector<'a, ForwardsUOffset<FlatEvent>>>;
        v.visit_table(pos)?.visit_field::<Events<'_>>("events", BATCH_EVENTS, true)?.finish();
        Ok(())
    }
}

fn flat_verify(bytes: &[u8]) {
    let limits =
        VerifierOptions { max_tables: EVENTS + 1, max_apparent_size: 64 << 20, ..VerifierOptions::default() };
    <ForwardsUOffset<FlatBatch>>::run_verifier(&mut Verifier::new(&limits, bytes), 0).unwrap();
}

/// Reads what `flatc` would generate code for. Like that code it takes strings for UTF-8 without another
/// look; unlike that code it is checked at every step, which costs little: the compiler keeps two comparisons
/// for each value.
fn flat_read(bytes: &[u8]) -> usize {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let follow = |at: usize| at + u32_at(at);
    let field = |table: usize, slot: u16| {
        let vtable = table.wrapping_add_signed(-(u32_at(table) as i32) as isize) + usize::from(slot);
        table + usize::from(u16::from_le_bytes(bytes[vtable..vtable + 2].try_into().unwrap()))
    };
    let mut sum = 0;
    let events = follow(field(follow(0), BATCH_EVENTS));
    for n in 0..u32_at(events) {
        let event = follow(events + 4 + 4 * n);
        sum += usize::from(bytes[field(event, OP)]);
        let values = follow(field(event, VALUES));
        for n in 0..u32_at(values) {
            let text = follow(values + 4 + 4 * n);
            let text = &bytes[text + 4..text + 4 + u32_at(text)];
            sum += usize::from(text[0]) + text.len();
        }
    }
    sum
}

fn ns_per_event<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(run());
    start.elapsed().as_nanos() as f64 / EVENTS as f64
}

fn main() {
    let values = columns();
    let mut w = BatchWriter::with_capacity(4 << 20);
    let ours = layout_encode(&mut w, &values);
    let theirs = flat_encode(&values);
    let view = View::parse(&ours).unwrap();
    flat_verify(&theirs);
    assert_eq!(layout_read(&view), flat_read(&theirs));

    let mut drop_one = rewrite::RelationPlan::default();
    drop_one.columns.push(rewrite::ColumnPlan { drop: true, ..Default::default() });
    let mut times: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut note = |what, ns| match times.iter_mut().find(|(name, _)| *name == what) {
        Some((_, rounds)) => rounds.push(ns),
        None => times.push((what, vec![ns])),
    };
    for _ in 0..ROUNDS {
        note("encode: layout", ns_per_event(|| layout_encode(&mut w, black_box(&values))));
        note("encode: flatbuffers", ns_per_event(|| flat_encode(black_box(&values))));
        note("read: layout", ns_per_event(|| layout_read(black_box(&view))));
        note("read: flatbuffers", ns_per_event(|| flat_read(black_box(&theirs))));
        note("check: layout", ns_per_event(|| View::parse(black_box(&ours)).unwrap().event_count()));
        note("check: flatbuffers", ns_per_event(|| flat_verify(black_box(&theirs))));
        note("json lines: layout", ns_per_event(|| json::lines(black_box(&view), usize::MAX).unwrap()));
        note(
            "drop a column: layout",
            ns_per_event(|| {
                let mut rewriter = rewrite::Rewriter::new(view, |_: &Relation<'_>| drop_one.clone()).unwrap();
                view.events().try_for_each(|event| rewriter.pass(&event)).unwrap();
                rewriter.finish()
            }),
        );
        note("pass on: layout", ns_per_event(|| rewrite::slice(&view, 1, EVENTS as u32).unwrap()));
    }
    println!(
        "{EVENTS} events, {COLUMNS} columns; batch: layout {} bytes, flatbuffers {}",
        ours.len(),
        theirs.len()
    );
    for (what, mut rounds) in times {
        rounds.sort_by(f64::total_cmp);
        println!("{what:24} {:7.1} ns/event", rounds[ROUNDS / 2]);
    }
}
