//! A slot that lags slows its source down, pauses it, and sheds what was marked as sheddable; the connection stays alive,
//! and nothing that was not marked is ever missing.

use std::collections::BTreeSet;

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

fn number(event: &Event) -> i64 {
    event.column("n").and_then(Exact::integer).unwrap()
}

fn numbers(text: &str) -> Vec<i64> {
    Event::parse_all(&text.lines().collect::<Vec<_>>()).iter().map(number).collect()
}

/// WAL that no event comes from.
fn fill(db: &Database, bytes: usize) {
    let sql = format!("select pg_logical_emit_message(false, 'filler', repeat('x', {bytes}))::text");
    assert!(db.text(&sql).is_some());
}

fn get(address: &str, path: &str) -> (u16, Value) {
    let (code, body) = http::get(address, path).unwrap();
    (code, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn source(address: &str) -> Value {
    get(address, "/status").1["sources"][0].clone()
}

fn wait_source(address: &str, key: &str, wanted: &str) {
    poll::until(&format!("the source's {key} to be {wanted}"), || {
        let (_, body) = http::get(address, "/status").ok()?;
        let status: Value = serde_json::from_str(&body).ok()?;
        (status["sources"][0][key] == wanted).then_some(())
    });
}

fn sample(address: &str, series: &str) -> f64 {
    let (_, metrics) = http::get(address, "/metrics").unwrap();
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
}

fn shed(address: &str, sink: &str) -> f64 {
    sample(address, &format!("pgcdc_backpressure_load_shed_total{{adapter=\"{sink}\"}} "))
}

/// A webhook for as long as anybody wants to hold it.
fn hook(receiver: &Receiver, more: &str) -> String {
    let url = receiver.url();
    format!(
        "{{ use: webhook, config: {{ url: \"{url}\", timeout: 10m }}, policy: {{ timeout: 10m }}{more} }}"
    )
}

#[test]
fn a_lagging_slot_sheds_what_was_marked_and_nothing_else() {
    let (db, desk, receiver) = (Database::alone("zones"), Desk::new(), Receiver::start());
    db.execute("create table t (n int primary key)");
    let address = format!("127.0.0.1:{}", free_port());
    receiver.rule(|_| Some(Fault::Hold));
    let file = |name: &str, priority: &str| {
        format!("{{ use: file, config: {{ path: ./{name} }}, policy: {{ priority: {priority} }} }}")
    };
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink("hook", &hook(&receiver, ""))
        .sink("plain", &file("plain", "normal"))
        .sink("nice", &file("nice", "best-effort"))
        .line("backpressure: { enabled: true, warn_threshold: 4MB, critical_threshold: 16MB, poll_interval: 100ms, max_throttle: 50ms }")
        .line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    wait_source(&address, "pressure", "green");
    assert_eq!(get(&address, "/healthz").1["components"]["backpressure"]["status"], "up");
    db.execute("insert into t values (1)");
    receiver.wait("the first row", |attempts| !attempts.is_empty());
    poll::until("the first row in both files", || {
        (numbers(&desk.read("plain")) == [1] && numbers(&desk.read("nice")) == [1]).then_some(())
    });

    fill(&db, 5_000_000);
    wait_source(&address, "pressure", "yellow");
    let (code, health) = get(&address, "/healthz");
    assert_eq!(
        (code, &health["status"], &health["components"]["backpressure"]["status"]),
        (200, &Value::from("degraded"), &Value::from("degraded"))
    );
    db.execute("insert into t values (2)");
    poll::until("the second row in the file of normal priority", || {
        (numbers(&desk.read("plain")) == [1, 2]).then_some(())
    });
    poll::until("one event to be shed", || (shed(&address, "nice") == 1.0).then_some(()));

    fill(&db, 16_000_000);
    wait_source(&address, "pressure", "red");
    let (code, health) = get(&address, "/healthz");
    assert_eq!((code, &health["components"]["backpressure"]["status"]), (503, &Value::from("down")));
    assert_eq!(http::get(&address, "/livez").unwrap().0, 200);
    assert_eq!(sample(&address, "pgcdc_backpressure_state{detector=\"source\"} "), 2.0);
    db.execute("insert into t values (3)");
    assert_eq!(pgcdc.events(3).iter().map(number).collect::<Vec<_>>(), [1, 2, 3]);
    poll::until("the third row to be shed twice", || {
        (shed(&address, "nice") == 2.0 && shed(&address, "plain") == 1.0).then_some(())
    });

    receiver.rule(|_| None);
    receiver.release();
    wait_source(&address, "pressure", "green");
    db.execute("insert into t values (4)");
    poll::until("the fourth row everywhere", || {
        (numbers(&desk.read("plain")) == [1, 2, 4] && numbers(&desk.read("nice")) == [1, 4]).then_some(())
    });
    let posted: BTreeSet<i64> = receiver.wait_accepted(4).iter().map(|d| number(&d.event())).collect();
    assert_eq!(posted, (1..=4).collect());
    assert_eq!(pgcdc.events(4).iter().map(number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((shed(&address, "out"), shed(&address, "hook")), (0.0, 0.0));
    pgcdc.stop_clean();
}

#[test]
fn what_waits_for_a_sink_that_is_down_is_shed_so_that_the_slot_moves() {
    let (db, desk, receiver) = (Database::alone("down"), Desk::new(), Receiver::start());
    db.execute("create table t (n int primary key)");
    let address = format!("127.0.0.1:{}", free_port());
    receiver.rule(|_| Some(Fault::Reject(503)));
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink(
            "hook",
            &format!(
                "{{ use: webhook, config: {{ url: \"{}\" }}, policy: {{ priority: best-effort, backoff: {{ base: 100ms, cap: 200ms }} }} }}",
                receiver.url()
            ),
        )
        .line("backpressure: { enabled: true, warn_threshold: 4MB, critical_threshold: 16MB, poll_interval: 100ms }")
        .line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    receiver.wait("a refused attempt", |attempts| !attempts.is_empty());
    fill(&db, 5_000_000);
    poll::until("the waiting event to be shed", || (shed(&address, "hook") == 1.0).then_some(()));
    wait_source(&address, "pressure", "green");
    receiver.rule(|_| None);
    db.execute("insert into t values (2)");
    assert_eq!(number(&receiver.wait_accepted(1)[0].event()), 2);
    assert_eq!(pgcdc.events(2).iter().map(number).collect::<Vec<_>>(), [1, 2]);
    pgcdc.stop_clean();
}

#[test]
fn a_pause_outlives_wal_sender_timeout_and_ends_when_all_is_settled() {
    let cluster = Cluster::start(Settings::default().with("wal_sender_timeout", "2s"));
    let (db, desk, receiver) = (Database::create_in(cluster, "pause"), Desk::new(), Receiver::start());
    db.execute("create table t (n int primary key); create table bulk (n int, filler text)");
    let address = format!("127.0.0.1:{}", free_port());
    receiver.rule(|_| Some(Fault::Hold));
    // An hour of patience: nothing but what is settled ends this pause. Looking at the status measures the lag.
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink("hook", &hook(&receiver, ", routes: [ \"pgcdc:t\" ]"))
        .line("backpressure: { enabled: true, warn_threshold: 1MB, critical_threshold: 2MB, poll_interval: 1h }")
        .line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    receiver.wait("the first row", |attempts| !attempts.is_empty());
    assert_eq!(pgcdc.events(1).len(), 1);
    fill(&db, 3_000_000);
    wait_source(&address, "pressure", "red");
    // The reader waits for this one already; the pause comes after it.
    db.execute("insert into t values (2)");
    assert_eq!(pgcdc.events(2).len(), 2);
    wait_source(&address, "state", "paused");

    // More than the read-ahead and the socket hold.
    db.execute("insert into bulk select n, repeat('y', 1000) from generate_series(1, 40000) n");
    let slot = format!(
        "from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = '{}'",
        db.name()
    );
    let pid = db.text(&format!("select r.pid::text {slot}"));
    assert!(pid.is_some(), "no walsender");
    let began = db.text("select clock_timestamp()::text").unwrap();
    poll::until("status updates for four times wal_sender_timeout", || {
        db.text(&format!("select 'yes' {slot} and r.reply_time > timestamptz '{began}' + interval '8 s'"))
    });
    assert_eq!(
        db.text(&format!("select r.pid::text {slot}")),
        pid,
        "the connection did not outlive the pause"
    );
    assert_eq!(pgcdc.stdout().len(), 2, "the source was read while it was paused");
    assert_eq!(source(&address)["state"], "paused");

    receiver.rule(|_| None);
    receiver.release();
    let events = pgcdc.events(40_002);
    assert_eq!(events.iter().skip(2).map(number).collect::<Vec<_>>(), (1..=40_000).collect::<Vec<_>>());
    wait_source(&address, "pressure", "green");
    assert!(
        sample(&address, "pgcdc_backpressure_throttle_duration_seconds_count{detector=\"source\"} ") >= 1.0
    );
    let exit = pgcdc.stop_clean();
    assert!(!exit.stderr.contains("source failed"), "{}", exit.stderr);
}

#[test]
fn a_lag_that_no_pause_can_shrink_does_not_stop_reading() {
    let (db, desk) = (Database::alone("backlog"), Desk::new());
    db.execute("create table t (n int, filler text)");
    let manifest = Manifest::persistent(&db).stdout();
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    pgcdc.stop_clean();
    db.execute("insert into t select n, repeat('y', 1000) from generate_series(1, 40000) n");
    // Red from the first look on, and for as long as a byte is not confirmed.
    let pgcdc = desk.run(&manifest.line(
        "backpressure: { enabled: true, warn_threshold: 1, critical_threshold: 2, poll_interval: 1h }",
    ));
    let line = pgcdc.stderr().wait_line(0, "backpressure zone changed");
    assert!(line.contains("red"), "{line}");
    let events = pgcdc.events(40_000);
    assert_eq!(events.iter().map(number).collect::<Vec<_>>(), (1..=40_000).collect::<Vec<_>>());
    db.execute("insert into t values (40001, '')");
    pgcdc.event("a row after the backlog", |event| number(event) == 40_001);
    pgcdc.stop_clean();
}

#[test]
fn a_lagging_slot_is_warned_of_once_and_not_all_the_time() {
    let (db, desk, receiver) = (Database::alone("warn"), Desk::new(), Receiver::start());
    db.execute("create table t (n int primary key)");
    let address = format!("127.0.0.1:{}", free_port());
    receiver.rule(|_| Some(Fault::Hold));
    let config =
        format!("all_tables: true, persistent_slot: true, slot_name: {}, slot_lag_warn: 1MB", db.name());
    let manifest = Manifest::wal_of(&db.url(), &config)
        .sink("hook", &hook(&receiver, ""))
        .line("backpressure: { enabled: true, poll_interval: 50ms }")
        .line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    receiver.wait("the row", |attempts| !attempts.is_empty());
    fill(&db, 2_000_000);
    let line = pgcdc.stderr().wait_line(0, "slot lags");
    assert!(line.contains("lag_bytes") && line.contains("next_step"), "{line}");
    // Every look takes its value from a measurement of its own.
    let before = source(&address)["lag_bytes"].as_u64().unwrap();
    fill(&db, 1_000_000);
    poll::until("a later measurement", || {
        (source(&address)["lag_bytes"].as_u64()? >= before + 1_000_000).then_some(())
    });
    receiver.rule(|_| None);
    receiver.release();
    pgcdc.stderr().wait_line(0, "slot no longer lags");
    let exit = pgcdc.stop_clean();
    assert_eq!(exit.stderr.matches("slot lags").count(), 1, "{}", exit.stderr);
}

#[test]
fn status_says_where_each_sink_is() {
    let (db, desk, receiver) = (Database::alone("where"), Desk::new(), Receiver::start());
    db.execute("create table t (n int primary key)");
    let address = format!("127.0.0.1:{}", free_port());
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink("hook", &hook(&receiver, ""))
        .line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    receiver.wait_accepted(1);
    poll::until("the first row to be done with", || {
        let sinks = get(&address, "/status").1["sinks"].clone();
        (sinks[1]["in_flight"] == 0 && sinks[1]["position"].is_string()).then_some(())
    });
    receiver.rule(|_| Some(Fault::Hold));
    db.execute("insert into t values (2)");
    assert_eq!(pgcdc.events(2).len(), 2);
    receiver.wait("the second row", |attempts| attempts.len() >= 2);
    fill(&db, 3_000_000);
    let sinks = poll::until("a lag of the held sink alone", || {
        let sinks = get(&address, "/status").1["sinks"].clone();
        (sinks[1]["lag_bytes"].as_u64()? >= 3_000_000 && sinks[0]["in_flight"] == 0).then_some(sinks)
    });
    let position = |sink: &Value| sink["position"].as_str().unwrap().to_owned();
    let (ahead, behind) = (position(&sinks[0]), position(&sinks[1]));
    let compared = db.text(&format!("select (pg_lsn '{ahead}' > pg_lsn '{behind}')::text"));
    assert_eq!(compared.as_deref(), Some("true"), "{ahead} and {behind}");
    assert_eq!(sinks[1]["in_flight"], 1);
    poll::until("the held sink to be seconds behind", || {
        (get(&address, "/status").1["sinks"][1]["lag_seconds"].as_f64()? > 1.0).then_some(())
    });
    assert!(
        sample(&address, "pgcdc_ack_position{adapter=\"out\"} ")
            > sample(&address, "pgcdc_ack_position{adapter=\"hook\"} ")
    );
    let shown = desk.start(&["status", "--metrics-addr", &address], &[]).wait();
    assert!(
        shown.stdout.iter().any(|line| line.contains("hook") && line.contains("MiB")),
        "{:?}",
        shown.stdout
    );
    receiver.rule(|_| None);
    receiver.release();
    receiver.wait_accepted(2);
    pgcdc.stop_clean();
}

#[test]
fn backpressure_that_cannot_work_is_refused_with_the_reason() {
    let db = Database::create("refused");
    let on = "backpressure: { enabled: true }";
    let refused =
        |manifest: &Manifest, words: &[&str]| Desk::new().run(manifest).wait().assert_refused(words);
    refused(&Manifest::wal(&db).stdout().line(on), &["backpressure requires persistent_slot"]);
    let bounds = "backpressure: { enabled: true, warn_threshold: 2MB, critical_threshold: 1MB }";
    refused(
        &Manifest::persistent(&db).stdout().line(bounds),
        &["critical_threshold (1000000) must be > warn_threshold (2000000)"],
    );
    let word = "{ use: stdout, policy: { priority: best_effort } }";
    refused(
        &Manifest::persistent(&db).sink("out", word),
        &["priority must be one of critical, normal, best-effort"],
    );
    let listen = |more: &[&str]| {
        let url = db.url();
        Desk::new().start(&[&["listen", "--db", &url, "--backpressure"], more].concat(), &[]).wait()
    };
    listen(&["--channel", "c"]).assert_refused(&["backpressure requires the detector wal"]);
    listen(&["--adapter-priority", "stdout=high"]).assert_refused(&["unknown adapter priority"]);
    listen(&["--adapter-priority", "file=normal"]).assert_refused(&["there is no adapter `file`"]);
    listen(&["--bp-warn-threshold", "a lot"]).assert_refused(&["500MB"]);
}

#[test]
fn flags_say_the_same_as_a_manifest() {
    let arguments = "listen --db postgres://h/d --detector wal --all-tables --persistent-slot --slot-lag-warn 1GB --slot-wait 30s \
        --backpressure --bp-warn-threshold 500MB --bp-critical-threshold 2147483648 --bp-max-throttle 1s --bp-poll-interval 5s \
        --adapter-priority stdout=best-effort --standby --print-manifest";
    let exit = Desk::new().start(&arguments.split_whitespace().collect::<Vec<_>>(), &[]).wait();
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    let text = exit.stdout.join("\n");
    for line in [
        "slot_lag_warn: \"1GB\"",
        "slot_wait: \"30s\"",
        "priority: best-effort",
        "standby: true",
        "enabled: true",
        "warn_threshold: \"500000000\"",
        "critical_threshold: \"2GiB\"",
        "max_throttle: \"1s\"",
        "poll_interval: \"5s\"",
    ] {
        assert!(text.contains(line), "no `{line}` in:\n{text}");
    }
}
