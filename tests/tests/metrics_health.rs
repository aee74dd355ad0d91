//! /livez, /readyz and /healthz are three things, and /metrics counts what was delivered.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Fault, Receiver};

fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The value of a sample whose line starts with `series`.
fn sample(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

fn wait_status(address: &str, path: &str, wanted: u16) -> String {
    poll::until(&format!("{path} to say {wanted}"), || match http::get(address, path) {
        Ok((status, body)) if status == wanted => Some(body),
        _ => None,
    })
}

#[test]
fn what_was_received_and_delivered_is_counted() {
    let (db, desk, address) = (Database::create("metrics"), Desk::new(), address());
    db.execute("create table t (n int primary key)");
    let pgcdc = desk.run(&Manifest::wal(&db).stdout().line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    db.execute("insert into t select generate_series(1, 42)");
    assert_eq!(pgcdc.events(42).len(), 42);
    poll::until("the counters", || {
        let (_, metrics) = http::get(&address, "/metrics").ok()?;
        let received = sample(&metrics, "pgcdc_events_received_total ");
        let delivered = sample(&metrics, "pgcdc_events_delivered_total{adapter=\"out\"} ");
        (received == Some(42.0) && delivered == Some(42.0)).then_some(())
    });
    let (_, metrics) = http::get(&address, "/metrics").unwrap();
    for name in ["pgcdc_slot_lag_bytes", "pgcdc_checkpoint_lsn", "pgcdc_bus_subscribers"] {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "no {name} in:\n{metrics}");
    }
    pgcdc.stop_clean();
}

#[test]
fn ready_means_connected_and_alive_means_alive() {
    let (db, desk, address) = (Database::alone("health"), Desk::new(), address());
    db.execute("create table t (n int primary key)");
    let pgcdc = desk.run(&Manifest::persistent(&db).stdout().line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    wait_status(&address, "/readyz", 200);
    let health = wait_status(&address, "/healthz", 200);
    assert_eq!(Exact::parse(&health).unwrap().get("status").and_then(Exact::text), Some("up"), "{health}");
    db.cluster().stop();
    wait_status(&address, "/readyz", 503);
    let health = wait_status(&address, "/healthz", 503);
    assert_eq!(Exact::parse(&health).unwrap().get("status").and_then(Exact::text), Some("down"), "{health}");
    assert_eq!(http::get(&address, "/livez").unwrap().0, 200);
    db.cluster().start_again();
    wait_status(&address, "/readyz", 200);
    wait_status(&address, "/healthz", 200);
    pgcdc.stop_clean();
}

#[test]
fn one_bad_sink_does_not_end_readiness() {
    let (db, desk, address, receiver) =
        (Database::create("bad_sink"), Desk::new(), address(), Receiver::start());
    db.execute("create table t (n int primary key)");
    receiver.rule(|_| Some(Fault::Reject(500)));
    let hook =
        format!("{{ use: webhook, config: {{ url: \"{}\" }}, policy: {{ retries: 50 }} }}", receiver.url());
    let manifest =
        Manifest::wal(&db).stdout().sink("hook", &hook).line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    assert_eq!(pgcdc.events(1).len(), 1);
    receiver.wait("a second attempt", |attempts| attempts.len() >= 2);
    assert_eq!(http::get(&address, "/livez").unwrap().0, 200);
    assert_eq!(http::get(&address, "/readyz").unwrap().0, 200);
    receiver.rule(|_| None);
    receiver.wait_accepted(1);
    pgcdc.stop_clean();
}
