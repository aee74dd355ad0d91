//! From exec to the first byte of the first event, with one row waiting.

use std::time::{Duration, Instant};

use pgcdc_tests::support::desk::Desk;

use crate::backlog::Backlog;
use crate::contender::{manifest, recvlogical_command, start};
use crate::count::count;
use crate::options::Options;
use crate::report::Report;

/// Short runs vary more than long ones.
const RUNS_PER_ROUND: u32 = 3;

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let backlog = Backlog::write(1);
    for round in 0..=options.rounds * RUNS_PER_ROUND {
        let (theirs, ours) = (recvlogical(&backlog), pgcdc(&backlog));
        if round > 0 {
            report.push("pg_recvlogical", "first_event_ms", theirs.as_secs_f64() * 1e3);
            report.push("stdout", "first_event_ms", ours.as_secs_f64() * 1e3);
        }
    }
}

fn recvlogical(backlog: &Backlog) -> Duration {
    let slot = backlog.slot();
    let mut command = recvlogical_command(backlog.db.cluster().bin(), &backlog.db.url(), &slot);
    let begun = Instant::now();
    let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start pg_recvlogical: {error}"));
    let Some(pipe) = process.stdout.take() else { panic!("stdout was piped") };
    let first = count(pipe, 1).first;
    let _ = process.kill();
    let _ = process.wait();
    backlog.drop_slot(&slot);
    first.map_or(Duration::ZERO, |first| first - begun)
}

fn pgcdc(backlog: &Backlog) -> Duration {
    let (slot, desk) = (backlog.slot(), Desk::new());
    let manifest = manifest(&backlog.db.url(), &slot, "", &[("out", "{ use: stdout }")]);
    let begun = Instant::now();
    let mut pgcdc = start(&desk, &manifest);
    let Some(pipe) = pgcdc.take_stdout() else { panic!("stdout was piped") };
    let first = count(pipe, 1).first;
    let exit = pgcdc.kill();
    assert!(first.is_some(), "pgcdc delivered nothing:\n{}", exit.stderr);
    backlog.drop_slot(&slot);
    first.map_or(Duration::ZERO, |first| first - begun)
}
