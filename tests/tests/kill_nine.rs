//! kill -9 of pgcdc and of PostgreSQL under load: nothing is lost, and what is repeated has its first id.

use std::sync::atomic::{AtomicUsize, Ordering};

use pgcdc_tests::support::audit::{Order, audit};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::fold::assert_none;
use pgcdc_tests::support::kills::{self, Victim};
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::receiver::{Fault, Receiver};
use pgcdc_tests::support::writers::{TABLES, Writers};

const WRITERS: u32 = 3;
const TRANSACTIONS: u32 = 300;
/// Committed transactions between one kill and the next; six kills fit into what the writers do.
const STEP: usize = 110;

fn manifest(db: &Database, receiver: &Receiver) -> Manifest {
    Manifest::persistent(db)
        .stdout()
        .sink("log", "{ use: file, config: { path: ./events.jsonl } }")
        .sink(
            "hook",
            &format!(
                "{{ use: webhook, config: {{ url: \"{}\" }}, policy: {{ backoff: {{ base: 10ms, cap: 100ms }} }} }}",
                receiver.url()
            ),
        )
}

/// Now and then a request is refused, or taken without an answer: so that batches that are done lie behind ones
/// that are not when the kill comes.
fn unreliable(receiver: &Receiver) {
    let count = AtomicUsize::new(0);
    receiver.rule(move |_| match count.fetch_add(1, Ordering::Relaxed) % 300 {
        100 => Some(Fault::Reject(500)),
        200 => Some(Fault::FailAfterWrite),
        _ => None,
    });
}

#[test]
fn nothing_is_lost_and_repetitions_keep_their_id() {
    let (db, desk, receiver) = (Database::alone("kill_nine"), Desk::new(), Receiver::start());
    db.execute(TABLES);
    unreliable(&receiver);
    let manifest = manifest(&db, &receiver);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    let writers = Writers::start(&db.url(), WRITERS, TRANSACTIONS);
    let (pgcdc, mut stdout, done) =
        kills::in_turns((&desk, &manifest), pgcdc, writers, (6, STEP), |kill| match kill {
            4 => Victim::Server(db.cluster()),
            _ => Victim::Pgcdc,
        });
    db.wait_confirmed(db.name());
    stdout.extend(pgcdc.stop_clean().stdout);

    let source = db.rows("ledger");
    let file = desk.read("events.jsonl");
    let posted: Vec<Event> = receiver.accepted().iter().map(|delivery| delivery.event()).collect();
    let sinks = [
        ("stdout", Event::parse_all(&stdout), Order::Total),
        ("file", Event::parse_all(&file.lines().collect::<Vec<_>>()), Order::Total),
        ("webhook", posted, Order::PerRow),
    ];
    for (sink, events, order) in sinks {
        let report = audit(&events, &done, &source, order);
        println!("{sink}: {} deliveries, {} of them repeated", events.len(), report.repeated);
        assert_none(sink, &report.anomalies);
    }
}

#[test]
fn a_clean_restart_repeats_nothing() {
    let (db, desk, receiver) = (Database::alone("clean"), Desk::new(), Receiver::start());
    db.execute(TABLES);
    let manifest = manifest(&db, &receiver);
    let mut pgcdc = desk.run(&manifest);
    db.wait_streaming();
    let writers = Writers::start(&db.url(), 2, 100);
    for stop in 1..=3 {
        writers.wait_committed(stop * 40);
        pgcdc.stop_clean();
        pgcdc = desk.run(&manifest);
        db.wait_streaming();
    }
    let done = writers.finish();
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let file = desk.read("events.jsonl");
    let report =
        audit(&Event::parse_all(&file.lines().collect::<Vec<_>>()), &done, &db.rows("ledger"), Order::Total);
    assert_none("file", &report.anomalies);
    assert_eq!(report.repeated, 0);
}
