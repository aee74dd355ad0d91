//! `make bench`: pgcdc beside pg_recvlogical on this machine, in one run; see tests/bench/README.md.

mod backlog;
mod bars;
mod boundary;
mod contender;
mod count;
mod first_event;
mod hung;
mod idle;
mod large;
mod latency;
mod options;
mod policy;
mod report;
mod snapshot;
mod webhook;

use std::process::ExitCode;

use backlog::Backlog;
use contender::Contender;
use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(&options);
    if options.wants("throughput") {
        throughput(&options, &mut report);
    }
    if options.wants("first") {
        first_event::measure(&options, &mut report);
    }
    if options.wants("latency") {
        latency::measure(&options, &mut report);
    }
    if options.wants("idle") {
        idle::measure(&options, &mut report);
    }
    if options.wants("policy") {
        policy::measure(&options, &mut report);
    }
    if options.wants("hung") {
        hung::measure(&options, &mut report);
    }
    if options.wants("large") {
        large::measure(&options, &mut report);
    }
    if options.wants("snapshot") {
        snapshot::measure(&options, &mut report);
    }
    if options.wants("boundary") {
        boundary::measure(&options, &mut report);
    }
    report.print();
    bars::print(&report);
    match report.save() {
        Ok(path) => {
            eprintln!("written to {}", path.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Every contender once in each round, so that whatever else the machine does hits all of them.
fn throughput(options: &Options, report: &mut Report) {
    let backlog = Backlog::write(options.rows);
    for round in 0..=options.rounds {
        for contender in Contender::ALL {
            if !options.wants_contender(contender.name()) {
                continue;
            }
            let measure = contender.run(&backlog);
            // The first round warms the server's and the system's caches.
            let counted = round > 0;
            eprintln!("{}{}: {measure}", if counted { "" } else { "(warm-up) " }, contender.name());
            if counted {
                report.add(contender.name(), &measure);
            }
        }
    }
}
