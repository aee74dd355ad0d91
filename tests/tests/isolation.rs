//! One sink that is behind holds nobody up: the others go on, and it gets everything in order once it is back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::guests::guest;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Delivery, Fault, Receiver};

/// Far more than a lane has room for: its share is 64 KiB.
const EVENTS: usize = 8_000;
const BUS: &str = "bus: { buffer_bytes: 256KiB }";

struct Scene {
    db: Database,
    desk: Desk,
    receiver: Receiver,
    address: String,
    manifest: Manifest,
}

impl Scene {
    /// Standard output, and beside it the sink `hook`, which posts one request after the other and waits as long as it takes.
    fn new(name: &str, policy: &str) -> Self {
        let receiver = Receiver::start();
        let hook = hook(&receiver, policy);
        Self::with(name, "hook", &hook, receiver)
    }

    fn with(name: &str, sink: &str, flow: &str, receiver: Receiver) -> Self {
        let (db, desk, address) = (Database::create(name), Desk::new(), format!("127.0.0.1:{}", free_port()));
        db.execute("create table t (id int primary key, note text)");
        let admin = format!("metrics_addr: \"{address}\"\nshutdown_timeout: 1s");
        let manifest = Manifest::persistent(&db).stdout().sink(sink, flow).line(BUS).line(&admin);
        receiver.rule(|_| Some(Fault::Hold));
        Self { db, desk, receiver, address, manifest }
    }

    fn run(&self) -> Pgcdc {
        let pgcdc = self.desk.run(&self.manifest);
        self.db.wait_streaming();
        pgcdc
    }

    /// Inserts all rows, in transactions of a hundred.
    fn insert(&self) {
        let mut client = self.db.connect();
        for first in (1..=EVENTS).step_by(100) {
            let rows = format!("select n, repeat('x', 100) from generate_series({first}, {first} + 99) n");
            client.batch_execute(&format!("insert into t {rows}")).unwrap();
        }
    }

    fn sample(&self, series: &str) -> f64 {
        let (_, metrics) = http::get(&self.address, "/metrics").unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    fn answer(&self) {
        self.receiver.rule(|_| None);
        self.receiver.release();
    }

    /// Waits until `hook` has been given so many distinct rows.
    fn hook_gets(&self, count: usize) -> Vec<Event> {
        let all = self.receiver.wait(&format!("{count} rows"), |seen| {
            let mut ids: Vec<_> = ids(&posted(seen));
            ids.sort_unstable();
            ids.dedup();
            ids.len() >= count
        });
        posted(&all)
    }

    fn overflow(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.desk.path("state/overflow")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn hook(receiver: &Receiver, policy: &str) -> String {
    let config = format!("url: \"{}\", batch: ndjson, in_flight: 1, timeout: 1h", receiver.url());
    format!("{{ use: webhook, config: {{ {config} }}, policy: {{ timeout: 1h, {policy} }} }}")
}

fn posted(deliveries: &[Delivery]) -> Vec<Event> {
    let bodies = deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned());
    bodies.flat_map(|body| body.lines().map(Event::parse).collect::<Vec<_>>()).collect()
}

fn ids(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.column("id").and_then(Exact::integer).unwrap()).collect()
}

fn all() -> Vec<i64> {
    (1..=EVENTS as i64).collect()
}

#[test]
fn a_sink_that_never_answers_holds_nobody_up_and_gets_everything_once_in_order_when_it_does() {
    let scene = Scene::new("hung", "retries: 5");
    let pgcdc = scene.run();
    scene.insert();
    assert_eq!(ids(&pgcdc.events(EVENTS)), all());
    assert_eq!(scene.receiver.attempts().len(), 1, "it waits for its first answer");
    assert_eq!(scene.sample("pgcdc_events_delivered_total{adapter=\"hook\"} "), 0.0);
    poll::until("the metric to show what is on the disk", || {
        (scene.sample("pgcdc_overflow_bytes{adapter=\"hook\"} ") > 500_000.0).then_some(())
    });
    assert!(scene.sample("pgcdc_overflow_events_total{adapter=\"hook\"} ") > 1_000.0);
    assert!(scene.sample("pgcdc_bus_buffered_bytes{adapter=\"hook\"} ") <= 65_536.0, "its share, no more");
    assert_eq!(scene.sample("pgcdc_overflow_events_total{adapter=\"out\"} "), 0.0);
    let (_, health) = http::get(&scene.address, "/healthz").unwrap();
    let hook = Exact::parse(&health).unwrap().get("components").and_then(|all| all.get("hook")).cloned();
    let bytes = hook.as_ref().and_then(|hook| hook.get("overflow")?.get("bytes")?.integer());
    assert!(bytes.unwrap() > 500_000, "{health}");
    let says = |what: &str| {
        pgcdc.stderr().wait(0, what, |lines| lines.iter().any(|line| line.contains(what)).then_some(()))
    };
    says("sink is behind");
    scene.answer();
    assert_eq!(ids(&scene.hook_gets(EVENTS)), all(), "each once, in order");
    scene.db.wait_confirmed(scene.db.name());
    poll::until("the disk to be free", || scene.overflow().is_empty().then_some(()));
    assert_eq!(scene.sample("pgcdc_overflow_bytes{adapter=\"hook\"} "), 0.0);
    assert_eq!(pgcdc.stop_clean().stdout.len(), EVENTS);
}

#[test]
fn killed_while_a_sink_is_behind_nothing_is_lost_and_leftovers_go() {
    let scene = Scene::new("hung_killed", "retries: 5");
    let pgcdc = scene.run();
    scene.insert();
    let first = pgcdc.events(EVENTS);
    pgcdc.kill();
    assert!(!scene.overflow().is_empty(), "it was killed with batches on the disk");
    let left = scene.desk.write("state/overflow/left-behind", "x");
    let pgcdc = scene.run();
    assert!(!left.exists());
    scene.answer();
    let second = scene.hook_gets(EVENTS);
    scene.db.wait_confirmed(scene.db.name());
    // The first request was taken, and its answer lost with the process; what comes again has its id.
    let named = |events: &[Event]| -> BTreeSet<(i64, String)> {
        ids(events).into_iter().zip(events.iter().map(|event| event.id.clone())).collect()
    };
    let first = named(&first);
    assert_eq!(named(&second), first);
    let exit = pgcdc.stop_clean();
    assert!(named(&Event::parse_all(&exit.stdout)).is_subset(&first));
}

#[test]
fn a_component_that_hangs_in_a_write_holds_nobody_up() {
    let Some(component) = guest("sink", "isolation") else { return };
    let receiver = Receiver::start();
    let config = format!("config: {{ mode: sleeps, url: \"{}\" }}", receiver.url());
    let flow = format!("{{ use: ./guest.wasm, {config}, limits: {{ wall: 1h }} }}");
    let scene = Scene::with("hung_guest", "bad", &flow, receiver);
    scene.desk.write("guest.wasm", std::fs::read(component).unwrap());
    let pgcdc = scene.run();
    scene.insert();
    assert_eq!(ids(&pgcdc.events(EVENTS)), all());
    assert_eq!(scene.sample("pgcdc_events_delivered_total{adapter=\"bad\"} "), 0.0);
    assert!(scene.sample("pgcdc_overflow_events_total{adapter=\"bad\"} ") > 1_000.0);
    pgcdc.kill();
}

#[test]
fn a_damaged_overflow_stops_pgcdc_and_the_wal_brings_it_again() {
    let scene = Scene::new("damaged", "retries: 5");
    let pgcdc = scene.run();
    scene.insert();
    let _ = pgcdc.events(EVENTS);
    poll::until("everything to be on the disk", || {
        (scene.sample("pgcdc_overflow_bytes{adapter=\"hook\"} ") > 500_000.0).then_some(())
    });
    let file = scene.overflow().into_iter().min().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    scene.answer();
    let exit = pgcdc.wait();
    exit.assert_refused(&["sinks.hook: its overflow is damaged", "checksum", "comes again from the WAL"]);
    let before = ids(&posted(&scene.receiver.attempts()));
    assert!(before.len() < EVENTS && before == all()[..before.len()], "up to the damage, and nothing of it");
    let pgcdc = scene.run();
    let mut got = ids(&scene.hook_gets(EVENTS));
    got.sort_unstable();
    got.dedup();
    assert_eq!(got, all());
    pgcdc.stop_clean();
}

#[test]
fn a_full_overflow_holds_the_source_back_says_so_once_and_loses_nothing() {
    let scene = Scene::new("full", "overflow: 256KiB");
    let pgcdc = scene.run();
    scene.insert();
    let said = pgcdc.stderr().wait(0, "the overflow to be full", |lines| {
        lines.iter().find(|line| line.contains("the source waits for a sink")).cloned()
    });
    for word in ["hook", "overflow is full", "of 262144 bytes", "raise `overflow`"] {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    let (_, status) = http::get(&scene.address, "/status").unwrap();
    assert!(status.contains("its overflow is full"), "{status}");
    assert!(scene.sample("pgcdc_bus_backpressure_total{adapter=\"hook\"} ") >= 1.0);
    assert!(pgcdc.stdout().lines().len() < EVENTS, "the source waits");
    scene.answer();
    assert_eq!(ids(&scene.hook_gets(EVENTS)), all());
    assert_eq!(ids(&pgcdc.events(EVENTS)), all());
    pgcdc.stop_clean();
}

#[test]
fn shed_loses_what_does_not_fit_and_says_how_much() {
    let scene = Scene::new("shed", "on_full: shed");
    let pgcdc = scene.run();
    scene.insert();
    assert_eq!(ids(&pgcdc.events(EVENTS)), all());
    pgcdc.stderr().wait(0, "the loss in the log", |lines| {
        lines.iter().any(|line| line.contains("events are dropped") && line.contains("hook")).then_some(())
    });
    let lost = scene.sample("pgcdc_events_dropped_total{adapter=\"hook\"} ") as usize;
    assert!(lost > 0 && scene.overflow().is_empty());
    scene.answer();
    let got = ids(&scene.hook_gets(EVENTS - lost));
    assert_eq!(got.len() + lost, EVENTS, "what was not lost is there, once");
    assert!(got.is_sorted());
    scene.db.wait_confirmed(scene.db.name());
    let log = pgcdc.stop_clean().stderr;
    assert!(log.matches("events are dropped").count() <= 7, "a line every ten seconds at most:\n{log}");
}

#[test]
fn fail_ends_pgcdc_with_the_reason() {
    let scene = Scene::new("fail", "on_full: fail, overflow: 64KiB");
    let pgcdc = scene.run();
    scene.insert();
    let exit = pgcdc.wait();
    exit.assert_refused(&[
        "sinks.hook: its overflow is full",
        "on_full is `fail`",
        "look at what keeps the sink",
    ]);
    // Nothing was confirmed that it has not got. With so little room the backlog would be too much again.
    scene.answer();
    let manifest =
        Manifest::persistent(&scene.db).stdout().sink("hook", &hook(&scene.receiver, "retries: 5"));
    let pgcdc = scene.desk.run(&manifest);
    let got: BTreeSet<i64> = ids(&scene.hook_gets(EVENTS)).into_iter().collect();
    assert_eq!(got, all().into_iter().collect());
    pgcdc.stop_clean();
}
