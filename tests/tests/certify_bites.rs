//! The proof is itself proved: mistakes on purpose, each one that another system has made, are found and named.
//!
//! They are in an executable that is never shipped; `make faults` builds it.

use std::process::Command;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::peers::skipped;
use pgcdc_tests::support::repository::faulty_binary;

/// Runs certify against a build with this mistake, and returns the anomalies that it names.
fn found(sabotage: &str, kills: &str, places: &str) -> Option<Vec<String>> {
    let Some(program) = faulty_binary() else {
        skipped(&format!("certify finds {sabotage}"), "no executable with faults; `make faults` builds it");
        return None;
    };
    let db = Database::alone("bites");
    let mut command = Command::new(program);
    command.env_clear().env("PGCDC_SABOTAGE", sabotage);
    command.args(["certify", "--db", &db.url(), "--kills", kills, "--places", places, "--json"]);
    let output = command.output().unwrap_or_else(|error| panic!("pgcdc does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = Exact::parse(&said);
    let report = report.unwrap_or_else(|_| panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
    let Some(Exact::Object(anomalies)) = report.get("anomalies") else { panic!("{said}") };
    let kept = report.get("kept").and_then(Exact::text).map(str::to_owned);
    if let Some(kept) = kept {
        let _ = std::fs::remove_dir_all(kept);
    }
    let named: Vec<String> = anomalies
        .iter()
        .filter(|(_, count)| count.integer() > Some(0))
        .map(|(name, _)| name.clone())
        .collect();
    println!("{sabotage}: {named:?}\n{said}");
    assert_eq!(output.status.code(), Some(i32::from(!named.is_empty())), "{said}");
    Some(named)
}

#[test]
fn a_batch_that_counts_before_the_sink_has_it_is_found() {
    let Some(named) = found("ack-early", "10", "sink::send") else { return };
    assert!(
        named.iter().any(|name| name == "ack-ahead") && named.iter().any(|name| name == "lost"),
        "{named:?}"
    );
}

#[test]
fn skipping_by_the_transactions_lsn_is_found() {
    // Only a kill within a transaction shows it.
    for _ in 0..5 {
        let Some(named) = found("skip-by-lsn", "80", "sink::send") else { return };
        if named.iter().any(|name| name == "lost") {
            return;
        }
    }
    panic!("400 kills have not shown it");
}

#[test]
fn going_on_at_the_slots_position_is_found() {
    let Some(named) = found("max-slot-stored", "2", "") else { return };
    assert_eq!(named, ["went-on-over-a-gap"]);
}

#[test]
fn confirming_before_storing_is_found() {
    // Only a kill between the two shows it, and where kills fall is left to chance.
    for _ in 0..3 {
        let Some(named) = found("confirm-before-store", "80", "store::write") else { return };
        if named.iter().any(|name| name == "ack-ahead" || name == "stuck") {
            return;
        }
    }
    panic!("240 kills have not shown it");
}

#[test]
fn without_a_mistake_the_same_executable_has_no_anomaly() {
    let Some(named) = found("", "40", "") else { return };
    assert_eq!(named, [""; 0]);
}
