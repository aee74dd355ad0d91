//! Rows that are there: `pgcdc snapshot` to standard output beside `COPY … TO STDOUT` by psql, in turns, over one connection each.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::usage::Cpu;

use crate::backlog::Backlog;
use crate::contender::Measure;
use crate::count::count;
use crate::options::Options;
use crate::report::Report;

pub(crate) const COPY: &str = "copy";
pub(crate) const SNAPSHOT: &str = "snapshot";

/// Ten columns.
const TABLE: &str =
    "create table items (id bigint primary key, customer int, name text, email text, amount numeric(12, 2),
    paid bool, created timestamptz, weight float8, tags text[], note text)";

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let db = Database::create_in(Backlog::server(), "snapshot");
    db.execute(&format!(
        "{TABLE}; insert into items select n, n % 1000, 'customer ' || n, 'c' || n || '@example.com', (n % 10000) / 7.0, n % 3 = 0,
            timestamptz '2025-01-01 00:00:00+00' + n * interval '1 second', n / 3.0, array['a', 'b' || n % 9], repeat('note ', 8)
        from generate_series(1, {}) n",
        options.rows
    ));
    db.execute("vacuum analyze items");
    for round in 0..=options.rounds {
        for (who, measure) in [(COPY, copy(&db, options.rows)), (SNAPSHOT, snapshot(&db, options.rows))] {
            eprintln!("{}{who}: {measure}", if round > 0 { "" } else { "(warm-up) " });
            if round > 0 {
                report.add(who, &measure);
            }
        }
    }
}

fn copy(db: &Database, rows: u64) -> Measure {
    let mut command = Command::new(db.cluster().bin().join("psql"));
    command.args(["-X", "-q", "-d", &db.url(), "-c", "COPY items TO STDOUT"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let before = Cpu::of_ended_children();
    let begun = Instant::now();
    let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start psql: {error}"));
    let Some(pipe) = process.stdout.take() else { panic!("stdout was piped") };
    let counted = count(pipe, u64::MAX);
    assert!(process.wait().is_ok_and(|status| status.success()), "psql failed");
    assert_eq!(counted.lines, rows);
    let time = counted.last.map_or(Duration::ZERO, |last| last - begun);
    Measure { rows, time, cpu: Cpu::of_ended_children().since(before), peak_bytes: None }
}

fn snapshot(db: &Database, rows: u64) -> Measure {
    let desk = Desk::new();
    let mut command = Pgcdc::command(desk.folder(), &[]);
    command.args(["snapshot", "--db", &db.url(), "--table", "items"]).stdout(Stdio::piped());
    let before = Cpu::of_ended_children();
    let begun = Instant::now();
    let mut pgcdc = Pgcdc::spawn(command);
    let Some(pipe) = pgcdc.take_stdout() else { panic!("stdout was piped") };
    let counted = count(pipe, u64::MAX);
    let exit = pgcdc.wait();
    assert_eq!((exit.code(), counted.lines), (Some(0), rows), "{}", exit.stderr);
    let time = counted.last.map_or(Duration::ZERO, |last| last - begun);
    Measure { rows, time, cpu: Cpu::of_ended_children().since(before), peak_bytes: None }
}
