//! What a row costs on its way from pgoutput to the flat layout, and from there to JSON lines.
//!
//! One thread, eight columns of about 110 bytes, transactions of 500 rows, batches as in operation. Prints
//! the median and the best of some runs in nanoseconds a row. `cargo bench -p pgcdc-core`.

use std::hint::black_box;
use std::time::Instant;

use pgcdc_core::assembler::{Assembler, Fed, Settings};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::id::Origin;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::pgoutput::{Begin, Cell, Column, Commit, Identity, Message, Relation, encode_tuple};
use pgcdc_layout::{View, json};

const ROWS: usize = 200_000;
const ROWS_A_TRANSACTION: usize = 500;
const RUNS: usize = 9;
const COLUMNS: [(&str, u32); 8] = [
    ("id", 20),
    ("customer", 23),
    ("status", 25),
    ("total", 1_700),
    ("paid", 16),
    ("note", 25),
    ("created_at", 1_184),
    ("details", 3_802),
];

fn main() {
    let frames = frames();
    let mut batches = Vec::new();
    decode(&frames, |batch| batches.push(batch));
    let mut decode_ns = Vec::new();
    let mut json_ns = Vec::new();
    let mut bytes = 0;
    for _ in 0..RUNS {
        // As in operation, a batch is gone before many others are made.
        decode_ns.push(ns_a_row(|| decode(&frames, |batch| drop(black_box(batch)))));
        json_ns.push(ns_a_row(|| bytes = batches.iter().map(|batch| lines(batch)).sum()));
    }
    print("pgoutput to layout", &mut decode_ns);
    print("layout to JSON lines", &mut json_ns);
    println!("{} bytes a row in the layout", batches.iter().map(Vec::len).sum::<usize>() / ROWS);
    println!("{} bytes a line", bytes / ROWS);
}

fn ns_a_row(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_nanos() as f64 / ROWS as f64
}

fn print(what: &str, ns: &mut [f64]) {
    ns.sort_by(f64::total_cmp);
    println!("{what}: {:.0} ns a row (best {:.0})", ns[ns.len() / 2], ns[0]);
}

fn decode(frames: &[(Lsn, Vec<u8>)], mut take: impl FnMut(Vec<u8>)) {
    let settings = Settings::new(Origin { system_identifier: 7, database_oid: 5 });
    let Ok(mut assembler) = Assembler::new(settings, TypeCatalog::new(), Lsn(1)) else { return };
    for (lsn, data) in frames {
        let fed = assembler.feed(*lsn, black_box(data), 0);
        assert_eq!(fed, Ok(Fed::Taken));
        if assembler.is_full() {
            assembler.take_batch().into_iter().for_each(|batch| take(batch.bytes));
        }
    }
    assembler.take_batch().into_iter().for_each(|batch| take(batch.bytes));
}

fn lines(batch: &[u8]) -> usize {
    let view = View::of_valid(batch);
    json::lines(&view, usize::MAX).map_or(0, |lines| black_box(lines.bytes).len())
}

fn frames() -> Vec<(Lsn, Vec<u8>)> {
    let mut frames = Vec::new();
    let columns =
        COLUMNS.map(|(name, type_oid)| Column { key: name == "id", name, type_oid, type_modifier: -1 });
    for n in 0..ROWS {
        let lsn = 0x1000 + 0x100 * n as u64;
        let end = (n / ROWS_A_TRANSACTION + 1) * ROWS_A_TRANSACTION;
        let commit_lsn = Lsn(0x1000 + 0x100 * end as u64 - 0x80);
        let begin = Begin { commit_lsn, commit_us: 1_767_605_400_000_000, xid: n as u32 };
        if n % ROWS_A_TRANSACTION == 0 {
            push(&mut frames, lsn, Message::Begin(begin));
        }
        if n == 0 {
            let mut data = Vec::new();
            Relation::encode_new(&mut data, 16_385, "public", "orders", Identity::Default, &columns);
            frames.push((Lsn(lsn), data));
        }
        frames.push((Lsn(lsn), row(n)));
        if n % ROWS_A_TRANSACTION == ROWS_A_TRANSACTION - 1 {
            let end_lsn = Lsn(commit_lsn.0 + 0x30);
            push(
                &mut frames,
                lsn,
                Message::Commit(Commit { commit_lsn, end_lsn, commit_us: begin.commit_us }),
            );
        }
    }
    frames
}

fn row(n: usize) -> Vec<u8> {
    let texts = [
        (n + 1_000_000).to_string(),
        (n % 10_000).to_string(),
        "shipped".into(),
        format!("{}.{:02}", n % 1_000, n % 100),
        if n.is_multiple_of(2) { "t".into() } else { "f".into() },
        "leave the parcel with the neighbour".into(),
        "2026-01-05 09:30:00.25+00".into(),
        "{\"a\": 1, \"b\": [2, 3]}".into(),
    ];
    let mut data = vec![b'I'];
    data.extend_from_slice(&16_385_u32.to_be_bytes());
    data.push(b'N');
    encode_tuple(&mut data, &texts.each_ref().map(|text| Cell::Text(text.as_bytes())));
    data
}

fn push(frames: &mut Vec<(Lsn, Vec<u8>)>, lsn: u64, message: Message<'_>) {
    let mut data = Vec::new();
    message.encode(&mut data);
    frames.push((Lsn(lsn), data));
}
