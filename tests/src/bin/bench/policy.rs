//! What a careful operator switches on (a slot that stays, checkpoints, dead letters, retries, breaker, rate limit), beside
//! the same path with as little of it as there can be.
//!
//! A temporary slot knows nothing of the past, so both read the same way: they are stopped (SIGSTOP) once they stream, the
//! backlog is written, and the clock runs from SIGCONT to the last row.

use std::time::Instant;

use nix::sys::signal::Signal;
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::usage::Cpu;

use crate::backlog::{Backlog, PUBLICATION, TABLE, fill};
use crate::contender::{Measure, start};
use crate::count::count;
use crate::options::Options;
use crate::report::Report;

/// Each run writes its own backlog, which is slow; these are enough to tell.
const ROWS_MAX: u64 = 250_000;
const SLOT: &str = "careful";
/// Far above what there is, so that it only counts.
const BREAKER: &str = ", rate_limit: 100000000, breaker: { failures: 5, reset: 60s }";

pub(crate) const OFF: &str = "policy off";
pub(crate) const ON: &str = "policy on";

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let rows = options.rows.min(ROWS_MAX);
    let db = Database::create_in(Backlog::server(), "policy");
    db.execute(&format!("{TABLE}; create publication {PUBLICATION} for all tables"));
    let breaker = has_breaker(&db);
    if !breaker {
        eprintln!("{ON}: without rate_limit and breaker, which this pgcdc refuses");
        report.note(format!("{ON}: without rate_limit and breaker, which this pgcdc refuses"));
    }
    for round in 0..=options.rounds {
        for (name, manifest) in [(OFF, bare(&db)), (ON, careful(&db, breaker))] {
            let measure = run(&db, &manifest, rows);
            let counted = round > 0;
            eprintln!("{}{name}: {measure}", if counted { "" } else { "(warm-up) " });
            if counted {
                report.add(name, &measure);
            }
        }
    }
}

fn bare(db: &Database) -> String {
    manifest(db, "persistent_slot: false", "", "")
}

fn careful(db: &Database, breaker: bool) -> String {
    let policy = format!("{{ retries: 5, timeout: 10s{} }}", if breaker { BREAKER } else { "" });
    let slot = format!("persistent_slot: true, slot_name: {SLOT}");
    manifest(db, &slot, &format!(", policy: {policy}"), "dlq: { use: stderr }\n")
}

fn manifest(db: &Database, slot: &str, policy: &str, dlq: &str) -> String {
    let config = format!("db: \"{}\", publication: {PUBLICATION}, {slot}", db.url());
    format!(
        "version: 1\nstate_dir: ./state\ndetectors:\n  bench: {{ use: wal, config: {{ {config} }} }}\n\
         sinks:\n  out: {{ use: stdout{policy} }}\n{dlq}"
    )
}

/// Does this pgcdc take the keys, or does it end with a complaint?
fn has_breaker(db: &Database) -> bool {
    let desk = Desk::new();
    let pgcdc = start(&desk, &careful(db, true));
    let taken = poll::until("pgcdc to stream or to refuse", || {
        let said = pgcdc.stderr().text();
        let refused = said.lines().any(|line| line.starts_with("Error: "));
        let streams = || {
            db.text(&format!("select 'yes' from pg_replication_slots where slot_name = '{SLOT}' and active"))
        };
        if refused { Some(false) } else { streams().map(|_| true) }
    });
    if taken {
        // The run that follows waits for a walsender of its own.
        db.wait_streaming();
    } else {
        let said = pgcdc.stderr().text();
        assert!(
            said.contains("rate_limit") || said.contains("breaker"),
            "pgcdc refused something else:\n{said}"
        );
    }
    pgcdc.kill();
    clear(db);
    taken
}

fn run(db: &Database, manifest: &str, rows: u64) -> Measure {
    let desk = Desk::new();
    let before = Cpu::of_ended_children();
    let mut pgcdc: Pgcdc = start(&desk, manifest);
    let Some(mut pipe) = pgcdc.take_stdout() else { panic!("stdout was piped") };
    db.wait_streaming();
    pgcdc.signal(Signal::SIGSTOP);
    fill(db, rows);
    let begun = Instant::now();
    pgcdc.signal(Signal::SIGCONT);
    let counted = count(&mut pipe, rows);
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    let exit = pgcdc.stop();
    let Some(last) = counted.last.filter(|_| counted.lines >= rows) else {
        panic!("pgcdc delivered {} of {rows} rows:\n{}", counted.lines, exit.stderr)
    };
    clear(db);
    Measure { rows, time: last - begun, cpu: Cpu::of_ended_children().since(before), peak_bytes: None }
}

/// No slot and no row is left.
fn clear(db: &Database) {
    poll::until("slots to be free", || {
        db.text("select 'free' where not exists (select from pg_replication_slots where active)")
    });
    db.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots");
    db.execute("truncate orders");
}
