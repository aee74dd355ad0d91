//! The boundary alone: what a call costs, what reading costs, what an instance costs. One JSON object a line.
//!
//! `bench-boundary GUEST_WASM CACHE_FOLDER ROUNDS`. 4,096 events of ten text columns, 440 bytes each; the samples of one kind are
//! spread over rounds in which every kind has its turn.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use pgcdc::component::bench::{Bench, Guest};
use pgcdc::component::linked::Lent;
use pgcdc_layout::{BatchWriter, ColumnDef, EventDef, Kind, Op, RelationDef, TypeDef};

const EVENTS: u32 = 4_096;
const COLUMNS: usize = 10;
const TEXT_BYTES: usize = 44;
/// Calls in a row that make one sample.
const EMPTY_CALLS: u32 = 2_000;
const BATCHES: u32 = 20;
const INSTANCES: u32 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The host compiles a component in a child of its own program, which is this one.
    if arguments.first().is_some_and(|first| first == "__compile") {
        return pgcdc::cli::main::main();
    }
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-boundary: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Result<(), String> {
    let [guest, cache, rounds] = arguments else {
        return Err("usage: bench-boundary GUEST_WASM CACHE_FOLDER ROUNDS".into());
    };
    let rounds: u32 = rounds.parse().map_err(|e| format!("{rounds}: {e}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(all(Path::new(guest), Path::new(cache), rounds))
}

async fn all(guest: &Path, cache: &Path, rounds: u32) -> Result<(), String> {
    let batch = Lent::from_rows(batch()?)?;
    let sink = Bench::file(guest, cache)?;
    let (empty, reads) = (opened(&sink, "empty").await?, opened(&sink, "reads").await?);
    let dropper = Bench::transform("drop_columns")?.start().await?;
    dropper.open("transform", pgcdc_bench::CONFIG).await?;
    let linked = pgcdc_bench::drop_columns(&pgcdc_bench::Calls::default()).map_err(|e| e.to_string())?;
    for round in 0..=rounds {
        let mut samples = Vec::new();

        let begun = Instant::now();
        for sequence in 0..EMPTY_CALLS {
            empty.write(&batch, u64::from(sequence)).await?;
        }
        samples.push(("an empty call", us(begun, EMPTY_CALLS)));

        let begun = Instant::now();
        for sequence in 0..BATCHES {
            reads.write(&batch, u64::from(sequence)).await?;
        }
        samples.push(("all columns read, an event", us(begun, BATCHES * EVENTS)));

        let begun = Instant::now();
        for _ in 0..INSTANCES {
            drop(sink.start().await?);
        }
        samples.push(("an instance", us(begun, INSTANCES)));

        let fresh = (0..BATCHES).map(|_| batch.afresh()).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        for batch in &fresh {
            std::hint::black_box(batch.encode("json-lines", 0, EVENTS)?);
        }
        samples.push(("json-lines, an event", us(begun, BATCHES * EVENTS)));

        let begun = Instant::now();
        for _ in 0..BATCHES {
            let passed = dropper.apply(&batch).await?;
            if passed != EVENTS {
                return Err(format!("drop_columns passed {passed} of {EVENTS} events"));
            }
        }
        samples.push(("drop_columns, an event", us(begun, BATCHES * EVENTS)));

        let begun = Instant::now();
        for _ in 0..BATCHES {
            std::hint::black_box(linked.apply(batch.clone())?);
        }
        samples.push(("the same linked, an event", us(begun, BATCHES * EVENTS)));

        // The first round warms caches.
        for (what, us) in samples.into_iter().filter(|_| round > 0) {
            println!("{}", serde_json::json!({ "what": what, "us": us }));
        }
    }
    Ok(())
}

async fn opened(sink: &Bench, mode: &str) -> Result<Guest, String> {
    let guest = sink.start().await?;
    guest.open("sink", &serde_json::json!({ "mode": mode }).to_string()).await?;
    Ok(guest)
}

/// Microseconds for one of `n`.
fn us(begun: Instant, n: u32) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(n)
}

/// The last column is `note`, which drop_columns drops.
fn batch() -> Result<Vec<u8>, String> {
    rows().map_err(|e| e.to_string())
}

fn rows() -> Result<Vec<u8>, pgcdc_layout::WriteError> {
    let mut writer = BatchWriter::new();
    writer.source("wal_replication")?;
    let text = writer.add_type(&TypeDef::scalar(25, Kind::Text, "text"))?;
    let names: Vec<String> = (1..COLUMNS).map(|n| format!("column_{n}")).chain(["note".to_owned()]).collect();
    let columns: Vec<ColumnDef<'_>> = names.iter().map(|name| ColumnDef::new(name, text)).collect();
    let relation = RelationDef { columns: &columns, name: "items", ..RelationDef::channel("pgcdc:items") };
    let relation = writer.add_relation(&relation)?;
    for n in 0..EVENTS {
        let mut row = writer.tuple(COLUMNS)?;
        for column in 0..COLUMNS {
            let text = format!("{column} {n} ").repeat(12);
            row.value(&text.as_bytes()[..TEXT_BYTES]);
        }
        let after = Some(row.finish()?);
        let mut id = [0; 16];
        id[12..].copy_from_slice(&n.to_be_bytes());
        writer.add_event(&EventDef { id, after, ..EventDef::new(Op::Insert, relation) })?;
    }
    Ok(writer.finish())
}
