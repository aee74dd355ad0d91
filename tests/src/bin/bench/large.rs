//! One transaction of all rows, received in pieces while it is in progress, and whole after its commit.
//!
//! pgcdc streams before the transaction begins. The clock runs from COMMIT to the last event in the pipe: what was done
//! before it is what pieces are for, and shows in the CPU seconds.

use std::time::Instant;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::usage::{Cpu, memory_bytes};

use crate::backlog::{Backlog, PUBLICATION, TABLE};
use crate::contender::{Measure, manifest, start};
use crate::count::count;
use crate::options::Options;
use crate::report::Report;

pub(crate) const IN_PIECES: &str = "one transaction, in pieces";
pub(crate) const WHOLE: &str = "one transaction, whole";
const WRITTEN: &str = "pgcdc_wal_spill_written_bytes_total{detector=\"bench\"} ";

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let db = Database::create_in(Backlog::server(), "large");
    db.execute(&format!("{TABLE}; create publication {PUBLICATION} for all tables"));
    for round in 0..=options.rounds {
        for (name, streaming) in [(IN_PIECES, "auto"), (WHOLE, "off")] {
            let (measure, written_bytes) = one(&db, options.rows, streaming, &format!("{streaming}_{round}"));
            let counted = round > 0;
            eprintln!(
                "{}{name}: {measure}, {written_bytes} bytes spilled",
                if counted { "" } else { "(warm-up) " }
            );
            if counted {
                report.add(name, &measure);
            }
        }
    }
}

fn one(db: &Database, rows: u64, streaming: &str, slot: &str) -> (Measure, u64) {
    db.execute("truncate orders");
    db.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    let (desk, address) = (Desk::new(), format!("127.0.0.1:{}", free_port()));
    let manifest = manifest(&db.url(), slot, "", &[("out", "{ use: stdout }")])
        .replace("persistent_slot: true", &format!("persistent_slot: true, streaming: {streaming}"));
    let manifest = format!("{manifest}metrics_addr: \"{address}\"\n");
    let before = Cpu::of_ended_children();
    let mut pgcdc = start(&desk, &manifest);
    db.wait_streaming();
    let Some(mut pipe) = pgcdc.take_stdout() else { panic!("stdout was piped") };
    let reader = std::thread::spawn(move || (count(&mut pipe, rows), pipe));
    let mut client = db.connect();
    let insert = format!(
        "begin; insert into orders select n, n % 1000, 'customer ' || n, 'c' || n || '@example.com', (n % 10000) / 7.0,
            n % 3 = 0, timestamptz '2025-01-01 00:00:00+00' + n * interval '1 second', repeat('note ', 8)
        from generate_series(1, {rows}) n"
    );
    client.batch_execute(&insert).unwrap_or_else(|error| panic!("{error:?}"));
    let committed = Instant::now();
    client.batch_execute("commit").unwrap_or_else(|error| panic!("{error:?}"));
    let Ok((counted, mut pipe)) = reader.join() else { panic!("the reader failed") };
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    let (_, metrics) = http::get(&address, "/metrics").unwrap_or_default();
    let written = metrics.lines().find_map(|line| line.strip_prefix(WRITTEN)?.parse().ok()).unwrap_or(0);
    let peak_bytes = memory_bytes(pgcdc.pid(), "VmHWM");
    let exit = pgcdc.stop();
    let Some(last) = counted.last else { panic!("pgcdc delivered nothing:\n{}", exit.stderr) };
    let cpu = Cpu::of_ended_children().since(before);
    (Measure { rows, time: last - committed, cpu, peak_bytes }, written)
}
