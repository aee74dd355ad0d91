//! The proof is itself proved: mistakes on purpose, each one that another system has made, are found and named.
//!
//! They are in an executable that is never shipped; `make faults` builds it. Each mistake shows only where a crash falls in
//! a certain place, so a fault is ordered that falls there, in every life: nothing here is left to chance.

use std::process::Command;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::peers::skipped;
use pgcdc_tests::support::repository::faulty_binary;

/// What certify has said.
struct Found {
    /// The anomalies that it names.
    named: Vec<String>,
    /// Crash points by what ended the process.
    crashes: Vec<(String, i64)>,
    said: String,
}

impl Found {
    /// That these are among what it names.
    #[track_caller]
    fn assert_names(&self, anomalies: &[&str]) {
        for anomaly in anomalies {
            assert!(self.named.iter().any(|name| name == anomaly), "{anomaly} was not found: {}", self.said);
        }
    }

    /// That the crashes fell where they were to.
    #[track_caller]
    fn assert_crashed(&self, point: &str, count: i64) {
        assert_eq!(self.crashes, [(point.to_owned(), count)], "{}", self.said);
    }
}

/// Runs certify against a build with this mistake.
fn certify(sabotage: &str, arguments: &[&str]) -> Option<Found> {
    let Some(program) = faulty_binary() else {
        skipped(&format!("certify finds {sabotage}"), "no executable with faults; `make faults` builds it");
        return None;
    };
    let db = Database::create("bites");
    let mut command = Command::new(program);
    command.env_clear().env("PGCDC_SABOTAGE", sabotage);
    command.args(["certify", "--db", &db.url(), "--name", db.name(), "--json"]).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("pgcdc does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = Exact::parse(&said);
    let report = report.unwrap_or_else(|_| panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
    if let Some(kept) = report.get("kept").and_then(Exact::text) {
        let _ = std::fs::remove_dir_all(kept);
    }
    let counts = |key: &str| -> Vec<(String, i64)> {
        let Some(Exact::Object(counts)) = report.get(key) else { panic!("{key}: {said}") };
        let counts = counts.iter().map(|(name, count)| (name.clone(), count.integer().unwrap_or(-1)));
        counts.filter(|(_, count)| *count != 0).collect()
    };
    let named: Vec<String> = counts("anomalies").into_iter().map(|(name, _)| name).collect();
    println!("{sabotage} {arguments:?}: {named:?}\n{said}");
    assert_eq!(output.status.code(), Some(i32::from(!named.is_empty())), "{said}");
    Some(Found { named, crashes: counts("crashes"), said })
}

#[test]
fn a_batch_that_counts_before_the_sink_has_it_is_found() {
    // One sink hangs with its first batch, and the server is told all the same.
    let Some(found) = certify("ack-early", &["--kills", "1", "--fault", "sink::send::before 0 hang"]) else {
        return;
    };
    found.assert_crashed("sink::send::before hang, then kill", 1);
    found.assert_names(&["ack-ahead", "lost"]);
}

#[test]
fn skipping_by_the_transactions_lsn_is_found() {
    // A sink never gets the rest of a transaction; what it has of it is stored, and then comes the crash.
    let Some(found) = certify("skip-by-lsn", &["--kills", "1", "--fault", "sink::send::split 0 linger"])
    else {
        return;
    };
    found.assert_crashed("sink::send::split linger", 1);
    found.assert_names(&["lost"]);
}

#[test]
fn going_on_at_the_slots_position_is_found() {
    let Some(found) = certify("max-slot-stored", &["--kills", "2"]) else { return };
    assert_eq!(found.named, ["went-on-over-a-gap"], "{}", found.said);
}

#[test]
fn confirming_before_storing_is_found() {
    // The device hangs with the first checkpoint that moves the position, and the server is told of it all the same.
    let arguments = ["--kills", "1", "--fault", "store::write::further 0 hang"];
    let Some(found) = certify("confirm-before-store", &arguments) else { return };
    found.assert_crashed("store::write::further hang, then kill", 1);
    found.assert_names(&["ack-ahead"]);
}

#[test]
fn without_a_mistake_the_same_executable_has_no_anomaly() {
    let Some(found) = certify("", &["--kills", "25"]) else { return };
    assert_eq!(found.named, [""; 0], "{}", found.said);
}

#[test]
fn without_a_mistake_a_crash_within_a_transaction_loses_nothing() {
    // As with the mistake: a later life may find too little left for another checkpoint, which this fault waits for.
    let Some(found) = certify("", &["--kills", "1", "--fault", "sink::send::split 0 linger"]) else { return };
    found.assert_crashed("sink::send::split linger", 1);
    assert_eq!(found.named, [""; 0], "{}", found.said);
}
