//! A slot under pgcdc's eyes: it does not hoard WAL while its database is idle, signs of life are written, and what goes
//! wrong with it or with its publication is told before it hurts, by a name.

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Fault, Receiver};
use serde_json::Value;

fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

fn number(event: &Event) -> i64 {
    event.column("n").and_then(Exact::integer).unwrap()
}

fn sample(address: &str, series: &str) -> Option<f64> {
    let (_, metrics) = http::get(address, "/metrics").ok()?;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

fn wait_sample(address: &str, series: &str, enough: impl Fn(f64) -> bool) {
    poll::until(series, || sample(address, series).filter(|value| enough(*value)));
}

/// The WAL of a database with the options that a test is about.
fn persistent(db: &Database, more: &str) -> Manifest {
    let name = db.name();
    Manifest::wal_of(
        &db.url(),
        &format!("all_tables: true, persistent_slot: true, slot_name: {name}, {more}"),
    )
}

fn hook(receiver: &Receiver) -> String {
    format!(
        "{{ use: webhook, config: {{ url: \"{}\", timeout: 10m }}, policy: {{ timeout: 10m }} }}",
        receiver.url()
    )
}

#[test]
fn an_idle_database_does_not_hoard_the_wal_of_a_busy_neighbour() {
    let (db, desk) = (Database::alone("idle"), Desk::new());
    db.execute("create table t (n int primary key)");
    let neighbour = Database::create_in(std::sync::Arc::clone(db.cluster()), "busy");
    neighbour.execute("create table load (n int, filler text)");
    let pgcdc = desk.run(&persistent(&db, "heartbeat_interval: \"0\"").stdout());
    db.wait_streaming();
    let slot = format!("from pg_replication_slots where slot_name = '{}'", db.name());
    let load = "insert into load select n, repeat('x', 500) from generate_series(1, 4000) n";
    for _ in 0..2 {
        let goal = neighbour.text("select pg_current_wal_lsn()::text").unwrap();
        (0..10).for_each(|_| neighbour.execute(load));
        // All of it, though no more than a few megabytes were written and nothing happened in our database.
        db.wait_confirmed(db.name());
        poll::until("restart_lsn to follow", || {
            db.execute("checkpoint");
            db.text(&format!("select 'yes' {slot} and restart_lsn > '{goal}'"))
        });
    }
    db.execute("insert into t values (1)");
    assert_eq!(number(&pgcdc.events(1)[0]), 1);
    pgcdc.stop_clean();
}

#[test]
fn a_heartbeat_keeps_a_row_fresh_and_is_not_delivered() {
    let (db, desk, address) = (Database::create("beat"), Desk::new(), address());
    db.execute("create table t (n int primary key)");
    let manifest = persistent(&db, "heartbeat_table: pgcdc_heartbeat, heartbeat_interval: 100ms").stdout();
    let pgcdc = desk.run(&manifest.line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    wait_sample(&address, "pgcdc_heartbeats_total{detector=\"source\"} ", |count| count >= 3.0);
    let beat = "select updated_at::text from pgcdc_heartbeat where id = 1";
    let first = db.text(beat).unwrap();
    poll::until("a later beat", || db.text(beat).filter(|later| *later > first));
    db.execute("insert into t values (1)");
    let events = pgcdc.events(1);
    assert_eq!((events[0].table(), number(&events[0])), (Some("t"), 1));
    let exit = pgcdc.stop_clean();
    assert_eq!(exit.stdout.len(), 1, "{:?}", exit.stdout);
    assert_eq!(db.text("select count(*)::text from pgcdc_heartbeat").as_deref(), Some("1"));
}

#[test]
fn a_heartbeat_table_of_an_older_shape_will_do_and_its_events_can_be_had() {
    let (db, desk) = (Database::create("oldbeat"), Desk::new());
    db.execute("create table pgcdc_heartbeat (id int primary key default 1, last_beat timestamptz)");
    let more = "heartbeat: table, heartbeat_interval: 100ms, heartbeat_events: true";
    let pgcdc = desk.run(&persistent(&db, more).stdout());
    let beats = pgcdc.events(2);
    assert!(beats.iter().all(|beat| beat.table() == Some("pgcdc_heartbeat")), "{beats:?}");
    assert!(beats[1].column("last_beat").and_then(Exact::text).is_some(), "{beats:?}");
    pgcdc.stop_clean();
}

#[test]
fn heartbeats_by_message_are_kept_apart_from_messages_of_others() {
    let (db, desk, address) = (Database::create("msgbeat"), Desk::new(), address());
    let manifest = persistent(&db, "messages: true, heartbeat_interval: 100ms").stdout();
    let pgcdc = desk.run(&manifest.line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    wait_sample(&address, "pgcdc_heartbeats_total{detector=\"source\"} ", |count| count >= 3.0);
    assert!(db.text("select pg_logical_emit_message(true, 'app', 'hello')::text").is_some());
    let events = pgcdc.events(1);
    assert_eq!(events[0].payload.get("prefix").and_then(Exact::text), Some("app"), "{events:?}");
    assert_eq!(pgcdc.stop_clean().stdout.len(), 1);

    let desk = Desk::new();
    let name = format!("{}_2", db.name());
    let config = format!(
        "publication: all, persistent_slot: true, slot_name: {name}, messages: true, heartbeat_interval: 100ms, heartbeat_events: true"
    );
    let pgcdc = desk.run(&Manifest::wal_of(&db.url(), &config).stdout());
    db.wait_streaming();
    // A commit has the server flush what was written outside of any.
    db.execute("create table flush (n int)");
    let beat = pgcdc.event("a heartbeat", |event| {
        event.payload.get("prefix").and_then(Exact::text) == Some("pgcdc_heartbeat")
    });
    assert_eq!(beat.operation, "MESSAGE");
    pgcdc.stop_clean();
}

#[test]
fn a_heartbeat_that_fails_is_told_once_and_ends_nothing() {
    let (db, desk, address) = (Database::create("nobeat"), Desk::new(), address());
    db.execute(&format!(
        "create role {0}_reader login replication password 'x'; create table t (n int primary key);
         create publication all_{0} for table t; create schema ops",
        db.name()
    ));
    let url = db.cluster().url_as(&format!("{}_reader", db.name()), "x", db.name());
    let config = format!(
        "publication: all_{0}, persistent_slot: true, slot_name: {0}, heartbeat_table: ops.beat, heartbeat_interval: 100ms",
        db.name()
    );
    let pgcdc =
        desk.run(&Manifest::wal_of(&url, &config).stdout().line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    wait_sample(&address, "pgcdc_heartbeat_errors_total{detector=\"source\"} ", |count| count >= 3.0);
    db.execute("insert into t values (1)");
    assert_eq!(number(&pgcdc.events(1)[0]), 1);
    let exit = pgcdc.stop_clean();
    assert_eq!(exit.stderr.matches("heartbeat not written").count(), 1, "{}", exit.stderr);
}

#[test]
fn wal_that_is_about_to_be_dropped_is_told_and_a_lost_slot_halts_by_name() {
    let cluster = Cluster::start(Settings::default().with("max_slot_wal_keep_size", "32MB"));
    let (db, desk, address, receiver) =
        (Database::create_in(cluster, "keep"), Desk::new(), address(), Receiver::start());
    db.execute("create table t (n int primary key)");
    receiver.rule(|_| Some(Fault::Hold));
    let manifest = persistent(&db, "heartbeat_interval: \"0\"").sink("hook", &hook(&receiver));
    let pgcdc = desk.run(&manifest.line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    let status = |status: &str| format!("pgcdc_slot_wal_status{{detector=\"source\",status=\"{status}\"}} ");
    wait_sample(&address, &status("reserved"), |hot| hot == 1.0);
    db.execute("insert into t values (1)");
    receiver.wait("an attempt", |attempts| !attempts.is_empty());
    for _ in 0..20 {
        assert!(
            db.text("select pg_logical_emit_message(false, 'filler', repeat('x', 4000000))::text").is_some()
        );
    }
    wait_sample(&address, &status("unreserved"), |hot| hot == 1.0);
    assert_eq!(sample(&address, &status("reserved")), Some(0.0));
    assert!(sample(&address, "pgcdc_slot_retained_bytes{detector=\"source\"} ") > Some(5e7));
    let line = pgcdc.stderr().wait_line(0, "about to drop WAL");
    assert!(line.contains("unreserved"), "{line}");
    let (_, body) = http::get(&address, "/status").unwrap();
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["sources"][0]["wal_status"], "unreserved", "{shown}");
    db.execute("checkpoint");
    pgcdc.wait().assert_refused(&["slot_invalidated", "checkpoint reset"]);
}

#[test]
fn a_table_taken_out_of_the_publication_halts_by_name_and_a_dropped_one_does_not() {
    let (db, desk, address, receiver) =
        (Database::create("taken"), Desk::new(), address(), Receiver::start());
    db.execute(&format!(
        "create table keep (n int primary key); create table lost (n int primary key); create table doomed (n int primary key);
         create publication {} for table keep, lost, doomed",
        db.name()
    ));
    receiver.rule(|_| Some(Fault::Hold));
    let config = format!("publication: {0}, persistent_slot: true, slot_name: {0}", db.name());
    let manifest = Manifest::wal_of(&db.url(), &config).stdout().sink("hook", &hook(&receiver));
    let manifest = manifest.line(&format!("metrics_addr: \"{address}\"")).line("shutdown_timeout: 5m");
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into keep values (1)");
    receiver.wait("an attempt", |attempts| !attempts.is_empty());
    db.execute("drop table doomed");
    pgcdc.stderr().wait_line(0, "public.doomed was dropped");
    assert_eq!(http::get(&address, "/healthz").map(|(code, _)| code), Ok(200));
    db.execute(&format!("alter publication {} drop table lost", db.name()));
    // The hook holds on to its batch, so that the end takes long enough to be looked at.
    let (mut health, mut shown) = (Value::Null, Value::Null);
    poll::until("the halt", || {
        health = serde_json::from_str(&http::get(&address, "/healthz").ok()?.1).ok()?;
        shown = serde_json::from_str(&http::get(&address, "/status").ok()?.1).ok()?;
        (shown["sources"][0]["state"] == "halted").then_some(())
    });
    assert_eq!(health["status"], "down", "{health}");
    assert_eq!(health["components"]["source"]["reason"], "publication_gap", "{health}");
    assert_eq!(shown["sources"][0]["reason"], "publication_gap", "{shown}");
    assert!(
        shown["sources"][0]["last_error"].as_str().is_some_and(|error| error.contains("public.lost")),
        "{shown}"
    );
    receiver.rule(|_| None);
    receiver.release();
    pgcdc.wait().assert_refused(&["publication_gap", "public.lost", "publish it again"]);

    // Somebody meant it: the next start goes on without.
    let pgcdc = desk.run(&Manifest::wal_of(&db.url(), &config).stdout());
    db.wait_streaming();
    db.execute("insert into lost values (2); insert into keep values (3)");
    pgcdc.event("the row of what is left", |event| number(event) == 3);
    pgcdc.stop_clean();
}
