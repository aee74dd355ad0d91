//! As much is in memory as arithmetic says.

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Fault, Receiver};

const BUDGET_BYTES: u64 = 64 << 10;
/// A single lane has a quarter.
const SHARE_BYTES: u64 = BUDGET_BYTES / 4;

fn sample(address: &str, series: &str) -> Option<u64> {
    let (_, metrics) = http::get(address, "/metrics").ok()?;
    let value: f64 = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())?;
    Some(value as u64)
}

/// A sink that takes its first batch and never answers; rows come one by one, each a batch of about the same size.
#[test]
fn exactly_as_many_batches_as_fit_into_the_share_are_taken() {
    let cluster = Cluster::start(Settings::default().with("autovacuum", "off"));
    let (db, desk, receiver) = (Database::create_in(cluster, "budget"), Desk::new(), Receiver::start());
    let address = format!("127.0.0.1:{}", free_port());
    db.execute("create table t (id int primary key, note text)");
    receiver.rule(|_| Some(Fault::Hold));
    let config = format!("url: \"{}\", batch: ndjson, in_flight: 1, timeout: 1h", receiver.url());
    let hook = format!("{{ use: webhook, config: {{ {config} }}, policy: {{ timeout: 1h }} }}");
    // So many events that bytes are the bound.
    let bus = format!("bus: {{ buffer_bytes: {BUDGET_BYTES}, buffer_events: 640000 }}");
    let admin = format!("metrics_addr: \"{address}\"\nshutdown_timeout: 1s");
    let pgcdc = desk.run(&Manifest::wal(&db).sink("hook", &hook).line(&bus).line(&admin));
    db.wait_streaming();
    let depth = || sample(&address, "pgcdc_adapter_queue_depth{adapter=\"hook\"} ");
    let held = || sample(&address, "pgcdc_bus_buffered_bytes{adapter=\"hook\"} ").unwrap();
    let insert = |nth: u64| {
        db.execute(&format!("insert into t values ({}, repeat('x', 470))", 1_000 + nth));
        poll::until(&format!("batch {nth} to reach the lane"), || (depth()? >= nth).then_some(()));
    };
    insert(1);
    receiver.wait("the first batch", |attempts| attempts.len() == 1);
    // A batch differs from the next by a few bytes; either way so many fit.
    const DIFFERENCE_BYTES: u64 = 16;
    let (least, most) = (held() - DIFFERENCE_BYTES, held() + DIFFERENCE_BYTES);
    let fit = SHARE_BYTES / most;
    assert_eq!(fit, SHARE_BYTES / least, "the test's rows are of an unlucky size: {least} to {most}");
    for nth in 2..=fit {
        let before = held();
        insert(nth);
        let more = poll::until(&format!("batch {nth}"), || Some(held() - before).filter(|more| *more > 0));
        assert!((least..=most).contains(&more), "batch {nth} has {more} bytes, not {least} to {most}");
    }
    assert!(SHARE_BYTES - held() < least, "there is no room for one more");
    // One more waits with its source, not in the lane; the rest of the share is promised to it.
    insert(fit + 1);
    poll::until("the rest to be promised", || (held() == SHARE_BYTES).then_some(()));
    db.execute("insert into t select n, repeat('x', 500) from generate_series(2001, 2100) n");
    assert_eq!((held(), depth()), (SHARE_BYTES, Some(fit + 1)));
    receiver.rule(|_| None);
    receiver.release();
    let rows = |deliveries: &[pgcdc_tests::support::receiver::Delivery]| -> usize {
        deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).lines().count()).sum()
    };
    let all = fit as usize + 1 + 100;
    receiver.wait("all rows", |seen| rows(seen) >= all);
    poll::until("everything to be answered", || (held() == 0 && depth() == Some(0)).then_some(()));
    assert_eq!(rows(&receiver.attempts()), all, "each once");
    pgcdc.stop_clean();
}

#[test]
fn batches_larger_than_the_whole_budget_pass_one_by_one() {
    let (db, desk) = (Database::create("tiny_budget"), Desk::new());
    db.execute("create table t (id int primary key, note text)");
    let manifest = Manifest::wal(&db).stdout().sink("log", "{ use: file, config: { path: ./log.jsonl } }");
    let pgcdc = desk.run(&manifest.line("bus: { buffer_bytes: 1, buffer_events: 1 }"));
    db.wait_streaming();
    for first in [1, 101, 201] {
        let last = first + 99;
        db.execute(&format!(
            "insert into t select n, repeat('x', 10000) from generate_series({first}, {last}) n"
        ));
    }
    let ids: Vec<_> =
        pgcdc.events(300).iter().map(|event| event.column("id").and_then(Exact::integer)).collect();
    assert_eq!(ids, (1..=300).map(Some).collect::<Vec<_>>());
    poll::until("the file to have them", || (desk.read("log.jsonl").lines().count() == 300).then_some(()));
    pgcdc.stop_clean();
}
