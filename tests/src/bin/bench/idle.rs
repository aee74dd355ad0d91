//! What a pgcdc with three connectors costs while nothing happens.

use std::time::Duration;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::usage::{cpu_of_threads, memory_bytes};

use crate::backlog::{Backlog, PUBLICATION};
use crate::contender::{manifest, start};
use crate::options::Options;
use crate::report::Report;
use crate::webhook::Sinkhole;

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let db = Database::create_in(Backlog::server(), "idle");
    db.execute(&format!(
        "create table t (n int primary key); create publication {PUBLICATION} for all tables"
    ));
    db.execute("select pg_create_logical_replication_slot('idle', 'pgoutput')");
    let (desk, sinkhole) = (Desk::new(), Sinkhole::open());
    let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", sinkhole.url());
    let sinks = [
        ("out", "{ use: stdout }"),
        ("log", "{ use: file, config: { path: ./log.jsonl } }"),
        ("hook", hook.as_str()),
    ];
    let pgcdc = start(&desk, &manifest(&db.url(), "idle", "", &sinks));
    db.wait_streaming();
    // One event, so that every connector has been at work.
    db.execute("insert into t values (1)");
    assert!(sinkhole.wait(1).is_some(), "pgcdc delivered nothing:\n{}", pgcdc.stderr().text());
    let time = Duration::from_secs(options.idle_seconds.into());
    std::thread::sleep(Duration::from_secs(2));
    let before = cpu_of_threads(pgcdc.pid());
    std::thread::sleep(time);
    if let (Some(before), Some(after)) = (before, cpu_of_threads(pgcdc.pid())) {
        let share = after.saturating_sub(before).as_secs_f64() / time.as_secs_f64();
        report.push("three connectors, idle", "idle_cpu_percent", share * 100.0);
    }
    if let Some(bytes) = memory_bytes(pgcdc.pid(), "VmRSS") {
        report.push("three connectors, idle", "rss_mib", mebibytes(bytes));
    }
    pgcdc.kill();
}

#[allow(clippy::cast_precision_loss, reason = "memory has fewer bytes than a float has digits")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
