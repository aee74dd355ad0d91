//! SIGHUP and POST /reload: transforms, routes, policies and components are swapped between two batches with nothing lost;
//! an invalid part rejects all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use nix::sys::signal::Signal;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::guests::{guest, hello};
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Delivery, Fault, Receiver};
use pgcdc_tests::support::signature;

const TABLE: &str = "create table t (id int primary key, note text)";
const DROP_NOTE: &str = "{ use: drop_columns, config: { columns: [note] } }";

/// A database with the table `t`, and a desk; the pgcdc between them is the test's.
struct Scene {
    db: Database,
    desk: Desk,
    address: String,
}

impl Scene {
    fn new(name: &str) -> Self {
        let scene = Self {
            db: Database::create(name),
            desk: Desk::new(),
            address: format!("127.0.0.1:{}", free_port()),
        };
        scene.db.execute(TABLE);
        scene
    }

    fn manifest(&self) -> Manifest {
        Manifest::persistent(&self.db).line(&format!("metrics_addr: \"{}\"", self.address))
    }

    fn start(&self, manifest: &Manifest) -> Pgcdc {
        self.start_with(manifest, &[])
    }

    fn start_with(&self, manifest: &Manifest, environment: &[(&str, &str)]) -> Pgcdc {
        let pgcdc = self.desk.run_text(&manifest.text(), environment);
        self.db.wait_streaming();
        poll::until("the admin listener", || http::get(&self.address, "/livez").ok());
        pgcdc
    }

    fn post(&self) -> (u16, Exact) {
        let (status, body) = http::post(&self.address, "/reload", &[]).unwrap();
        (status, Exact::parse(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// Writes a manifest, reloads it, and returns what was changed.
    #[track_caller]
    fn reload(&self, manifest: &Manifest) -> Vec<String> {
        self.desk.write("pgcdc.yaml", manifest.text());
        let (status, answer) = self.post();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer.get("later").map(ToString::to_string).as_deref(), Some("[]"), "{answer}");
        texts(answer.get("changed"))
    }

    /// The same, and it must be refused: the report.
    #[track_caller]
    fn refused(&self, manifest: &str) -> String {
        self.desk.write("pgcdc.yaml", manifest);
        let (status, answer) = self.post();
        assert_eq!(status, 422, "{answer}");
        answer.get("error").and_then(Exact::text).unwrap_or_default().to_owned()
    }

    fn insert(&self, ids: std::ops::RangeInclusive<i64>) {
        let (first, last) = (ids.start(), ids.end());
        self.db.execute(&format!("insert into t select n, 'n' from generate_series({first}, {last}) n"));
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let (_, metrics) = http::get(&self.address, "/metrics").ok()?;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

fn texts(list: Option<&Exact>) -> Vec<String> {
    match list {
        Some(Exact::List(items)) => items.iter().filter_map(Exact::text).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn ids(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.column("id").and_then(Exact::integer).unwrap()).collect()
}

fn has_note(event: &Event) -> bool {
    event.column("note").is_some()
}

/// Every id from 1 on once and in order; the note is there up to one event, and never after it: where that is.
#[track_caller]
fn boundary(events: &[Event]) -> usize {
    assert_eq!(ids(events), (1..=events.len() as i64).collect::<Vec<_>>(), "lost, repeated or out of order");
    let boundary = events.iter().position(|event| !has_note(event)).unwrap_or(events.len());
    assert!(events[boundary..].iter().all(|event| !has_note(event)), "the note comes back behind {boundary}");
    boundary
}

#[test]
fn a_column_is_dropped_under_load_with_nothing_lost_and_one_clean_boundary_in_every_lane() {
    let scene = Scene::new("reload_load");
    let sinks =
        |manifest: Manifest| manifest.stdout().sink("log", "{ use: file, config: { path: ./log.jsonl } }");
    let pgcdc = scene.start(&sinks(scene.manifest()));
    let (begun, enough) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (url, begun, enough) = (scene.db.url(), Arc::clone(&begun), Arc::clone(&enough));
        std::thread::spawn(move || {
            let mut client = pgcdc_tests::support::database::connect(&url);
            let mut left = 100;
            while left > 0 {
                left -= i64::from(enough.load(Ordering::SeqCst));
                let last = begun.fetch_add(5, Ordering::SeqCst) + 5;
                let sql = format!("insert into t select n, 'n' from generate_series({}, {last}) n", last - 4);
                client.batch_execute(&sql).unwrap();
            }
        })
    };
    let _ = pgcdc.events(500);
    let changed = scene.reload(&sinks(scene.manifest().transform(DROP_NOTE)));
    assert_eq!(changed, ["transforms: +drop_columns"]);
    // What begins to be written from here on comes without the note, in every lane.
    let at_answer = usize::try_from(begun.load(Ordering::SeqCst)).unwrap();
    enough.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    let total = usize::try_from(begun.load(Ordering::SeqCst)).unwrap();
    let cut = boundary(&pgcdc.events(total));
    assert!((500..=at_answer).contains(&cut), "{cut} is not between 500 and {at_answer}");
    poll::until("the file", || (scene.desk.read("log.jsonl").lines().count() == total).then_some(()));
    let text = scene.desk.read("log.jsonl");
    let cut = boundary(&Event::parse_all(&text.lines().collect::<Vec<_>>()));
    assert!((1..=at_answer).contains(&cut), "{cut} is not between 1 and {at_answer}");
    pgcdc.stop_clean();
}

#[test]
fn one_lane_drops_everything_and_takes_it_up_again_and_the_other_never_notices() {
    let scene = Scene::new("reload_restore");
    let with = |own: &str| {
        let log = format!("{{ use: file, {own} config: {{ path: ./log.jsonl }} }}");
        scene.manifest().stdout().sink("log", &log)
    };
    let lines = || Event::parse_all(&scene.desk.read("log.jsonl").lines().collect::<Vec<_>>());
    let pgcdc = scene.start(&with(""));
    scene.insert(1..=3);
    assert_eq!(pgcdc.events(3).len(), 3);
    poll::until("the first three", || (lines().len() == 3).then_some(()));

    let nothing = "transforms: [ { use: filter, config: { operations: [TRUNCATE] } } ],";
    assert_eq!(scene.reload(&with(nothing)), ["sinks.log: transforms +filter"]);
    scene.insert(4..=6);
    assert_eq!(pgcdc.events(6).len(), 6);
    poll::until("three events to be filtered", || {
        (scene.metric("pgcdc_transform_dropped_total{adapter=\"log\"} ") == Some(3.0)).then_some(())
    });

    assert_eq!(scene.reload(&with("routes: [ \"pgcdc:t\" ],")), ["sinks.log: routes, transforms -filter"]);
    scene.insert(7..=9);
    assert_eq!(ids(&pgcdc.events(9)), (1..=9).collect::<Vec<_>>());
    poll::until("the last three", || (lines().len() == 6).then_some(()));
    assert_eq!(ids(&lines()), [1, 2, 3, 7, 8, 9]);
    pgcdc.stop_clean();
}

#[test]
fn an_invalid_part_rejects_everything_and_the_old_goes_on() {
    let scene = Scene::new("reload_bad");
    let good = scene.manifest().stdout().sink("log", "{ use: file, config: { path: ./log.jsonl } }");
    let pgcdc = scene.start(&good);
    let text = good.text();
    let with_transform = |flow: &str| scene.manifest().transform(DROP_NOTE).transform(flow).stdout().text();

    let error = scene.refused(&with_transform("{ use: drop_colums, config: { columns: [a] } }"));
    assert!(error.contains("drop_columns") && error.contains(":"), "{error}");
    let error = scene.refused(&text.replace("sinks:", "sinks: ["));
    assert!(error.contains("pgcdc.yaml"), "{error}");
    // A sink whose file cannot be opened: seen only when it is opened, with everything else ready.
    let elsewhere = good.text().replace("./log.jsonl", "./missing/folder/log.jsonl");
    let elsewhere = elsewhere.replace("sinks:", &format!("transforms:\n  - {DROP_NOTE}\nsinks:"));
    let error = scene.refused(&elsewhere);
    assert!(error.starts_with("sinks.log: "), "{error}");
    // What only a restart changes.
    let restart = [
        (
            "publication: elsewhere",
            text.replace("all_tables: true", "publication: elsewhere"),
            "detectors.source",
        ),
        ("dlq", format!("{text}dlq: {{ use: none }}\n"), "dlq"),
        ("bus", format!("{text}bus: {{ buffer_events: 7 }}\n"), "bus"),
        ("a lane that joins", text.replace("  out:", "  more: { use: stdout }\n  out:"), "sinks.more"),
    ];
    for (what, manifest, named) in &restart {
        let error = scene.refused(manifest);
        assert!(error.contains(named) && error.contains("needs a restart"), "{what}: {error}");
    }
    pgcdc.stderr().wait_line(0, "reload refused");
    assert_eq!(scene.metric("pgcdc_config_reload_errors_total "), Some(7.0));
    assert_eq!(scene.metric("pgcdc_config_reloads_total "), Some(0.0));

    scene.insert(1..=20);
    let events = pgcdc.events(20);
    assert!(events.iter().all(has_note), "part of a refused manifest is in effect");
    poll::until("the file", || (scene.desk.read("log.jsonl").lines().count() == 20).then_some(()));
    assert!(scene.reload(&good).is_empty(), "the same manifest again is no change");
    pgcdc.stop_clean();
}

#[test]
fn a_webhook_that_nobody_answers_gets_another_url_and_nothing_is_lost() {
    let scene = Scene::new("reload_url");
    let (dead, living) = (Receiver::start(), Receiver::start());
    dead.rule(|_| Some(Fault::RejectFor(503, 600)));
    let hook = |receiver: &Receiver, more: &str| {
        let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }}{more} }}", receiver.url());
        scene.manifest().sink("hook", &hook)
    };
    let pgcdc = scene.start(&hook(&dead, ""));
    scene.insert(1..=30);
    pgcdc.stderr().wait_line(0, "delivery failed");
    // It waits for ten minutes now, and the swap does not.
    assert_eq!(scene.reload(&hook(&living, "")), ["sinks.hook: config"]);
    let ids_of = |deliveries: &[Delivery]| {
        let mut ids: Vec<i64> = deliveries.iter().flat_map(|delivery| ids(&[delivery.event()])).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids_of(&living.wait_accepted(30)), (1..=30).collect::<Vec<_>>());
    assert_eq!(scene.reload(&hook(&living, ", policy: { retries: 3 }")), ["sinks.hook: policy"]);
    scene.insert(31..=40);
    assert_eq!(ids_of(&living.wait_accepted(40)), (1..=40).collect::<Vec<_>>());
    scene.db.wait_confirmed(scene.db.name());
    assert!(dead.accepted().is_empty());
    pgcdc.stop_clean();
}

#[test]
fn a_retry_policy_takes_effect_on_what_is_being_retried() {
    let scene = Scene::new("reload_policy");
    let receiver = Receiver::start();
    receiver.rule(|_| Some(Fault::RejectFor(503, 600)));
    let hook = |policy: &str| {
        let hook =
            format!("{{ use: webhook, config: {{ url: \"{}\" }}, policy: {{ {policy} }} }}", receiver.url());
        scene.manifest().sink("hook", &hook)
    };
    let pgcdc = scene.start(&hook("retries: 1000"));
    scene.insert(1..=1);
    pgcdc.stderr().wait_line(0, "delivery failed");
    assert_eq!(scene.reload(&hook("retries: 0, backoff: { base: 10ms, cap: 20ms }")), ["sinks.hook: policy"]);
    pgcdc.stderr().wait_line(0, "\"adapter\":\"hook\"");
    scene.db.wait_confirmed(scene.db.name());
    pgcdc.stop_clean();
}

#[test]
fn a_component_that_was_replaced_on_disk_is_compiled_and_swapped_at_sighup() {
    let Some(component) = hello("a_component_that_was_replaced_on_disk") else { return };
    let scene = Scene::new("reload_component");
    let first = std::fs::read(component).unwrap();
    scene.desk.write("hello.wasm", &first);
    let manifest = scene
        .manifest()
        .sink("hello", "{ use: ./hello.wasm, config: { name: Ada }, grants: { console: [ stdout ] } }");
    let pgcdc = scene.start(&manifest);
    scene.insert(1..=2);
    pgcdc.stdout().wait_line(0, "\"id\":2,");

    let mut second = first.clone();
    for at in 0..second.len() - 6 {
        if second[at..].starts_with(b"hello ") {
            second[at..at + 6].copy_from_slice(b"howdy ");
        }
    }
    assert_ne!(first, second, "the example greets in other words now: mend this test");
    scene.desk.write("hello.wasm", &second[..second.len() / 2]);
    pgcdc.signal(Signal::SIGHUP);
    let refused = pgcdc.stderr().wait_line(0, "reload refused");
    assert!(refused.contains("hello.wasm"), "{refused}");
    scene.insert(3..=5);
    pgcdc.stdout().wait_line(0, "\"id\":5,");

    scene.desk.write("hello.wasm", &second);
    pgcdc.signal(Signal::SIGHUP);
    let reloaded = pgcdc.stderr().wait_line(0, "reloaded");
    assert!(reloaded.contains("sinks.hello: component file"), "{reloaded}");
    scene.insert(6..=9);
    pgcdc.stdout().wait_line(0, "\"id\":9,");
    assert_eq!(scene.metric("pgcdc_config_reloads_total "), Some(1.0));
    let exit = pgcdc.stop_clean();
    let greetings: Vec<&str> =
        exit.stdout.iter().filter_map(|line| line.split_once(" Ada")).map(|(g, _)| g).collect();
    let change = greetings.iter().position(|greeting| *greeting == "howdy").unwrap();
    assert!(greetings[..change].iter().all(|greeting| *greeting == "hello"), "{greetings:?}");
    assert!(greetings[change..].iter().all(|greeting| *greeting == "howdy"), "{greetings:?}");
    for id in 1..=9 {
        let lines = exit.stdout.iter().filter(|line| line.contains(&format!("\"id\":{id},"))).count();
        assert_eq!(lines, 1, "row {id} came {lines} times");
    }
}

#[test]
fn a_rotated_secret_file_is_read_again() {
    let scene = Scene::new("reload_secret");
    let receiver = Receiver::start();
    scene.desk.write("key", "the old key");
    let hook = format!(
        "{{ use: webhook, config: {{ url: \"{}\", signing_key: {{ secret: hook }} }} }}",
        receiver.url()
    );
    let manifest = scene.manifest().sink("hook", &hook).line("secrets: { hook: { file: ./key } }");
    let pgcdc = scene.start(&manifest);
    scene.insert(1..=1);
    receiver.wait_accepted(1);
    scene.desk.write("key", "the new key\n");
    assert_eq!(scene.reload(&manifest), ["sinks.hook: secret"]);
    scene.insert(2..=2);
    let deliveries = receiver.wait_accepted(2);
    for (delivery, key) in deliveries.iter().zip(["the old key", "the new key"]) {
        let expected = signature::expected(key, &delivery.body);
        assert_eq!(delivery.header("x-pgcdc-signature"), Some(expected.as_str()), "{key}");
    }
    let exit = pgcdc.stop_clean();
    assert!(!exit.stderr.contains("the new key") && !exit.stderr.contains("the old key"));
}

#[test]
fn what_a_sink_holds_is_settled_before_it_is_replaced() {
    let Some(component) = guest("sink", "what_a_sink_holds_is_settled") else { return };
    let scene = Scene::new("reload_held");
    let (old, new) = (Receiver::start(), Receiver::start());
    scene.desk.write("guest.wasm", std::fs::read(component).unwrap());
    let holds = |receiver: &Receiver| {
        let sink = format!("{{ use: ./guest.wasm, config: {{ url: \"{}\", mode: holds }} }}", receiver.url());
        scene.manifest().stdout().sink("guest", &sink)
    };
    let pgcdc = scene.start(&holds(&old));
    scene.insert(1..=7);
    assert_eq!(pgcdc.events(7).len(), 7);
    poll::until("the sink to hold all of it", || {
        (scene.metric("pgcdc_connector_gauge{connector=\"guest\",name=\"held\"} ") == Some(7.0)).then_some(())
    });
    assert!(old.attempts().is_empty());
    assert_eq!(scene.reload(&holds(&new)), ["sinks.guest: config"]);
    let [flushed] = old.wait_accepted(1).try_into().unwrap();
    assert_eq!(flushed.header("x-flush"), Some("reload"));
    assert_eq!(String::from_utf8_lossy(&flushed.body).lines().count(), 7);
    scene.insert(8..=9);
    assert_eq!(pgcdc.events(9).len(), 9);
    pgcdc.stop_clean();
    let [drained] = new.wait_accepted(1).try_into().unwrap();
    assert_eq!(drained.header("x-flush"), Some("drain"));
    assert_eq!(String::from_utf8_lossy(&drained.body).lines().count(), 2);
    assert_eq!(old.attempts().len(), 1);
}

#[test]
fn a_write_that_hangs_delays_only_its_own_lane() {
    let scene = Scene::new("reload_hang");
    let receiver = Receiver::start();
    receiver.script([Fault::Hold]);
    let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", receiver.url());
    let with = |manifest: Manifest| manifest.stdout().sink("hook", &hook);
    let pgcdc = scene.start(&with(scene.manifest()));
    scene.insert(1..=1);
    receiver.wait_accepted(1);
    assert_eq!(scene.reload(&with(scene.manifest().transform(DROP_NOTE))), ["transforms: +drop_columns"]);
    scene.insert(2..=2);
    let events = pgcdc.events(2);
    assert_eq!(events.iter().map(has_note).collect::<Vec<_>>(), [true, false]);
    receiver.release();
    let deliveries = receiver.wait_accepted(2);
    assert!(has_note(&deliveries[0].event()) && !has_note(&deliveries[1].event()));
    pgcdc.stop_clean();
}

#[test]
fn pages_foreign_names_and_those_without_the_token_may_not_reload() {
    let scene = Scene::new("reload_who");
    let manifest = scene.manifest().stdout();
    let pgcdc = scene.start(&manifest);
    let post = |headers: &[(&str, &str)]| http::post(&scene.address, "/reload", headers).unwrap().0;
    assert_eq!(post(&[("host", "rebound.example:9187")]), 403);
    assert_eq!(post(&[("origin", "http://evil.example")]), 403);
    assert_eq!(http::get(&scene.address, "/reload").unwrap().0, 405);
    assert_eq!(scene.metric("pgcdc_config_reloads_total "), Some(0.0));
    assert_eq!(post(&[]), 200);
    pgcdc.stop_clean();

    let pgcdc = scene.start_with(&manifest, &[("PGCDC_ADMIN_TOKEN", "canary-token")]);
    assert_eq!(post(&[]), 401);
    assert_eq!(post(&[("authorization", "Bearer canary-tokem")]), 401);
    assert_eq!(post(&[("authorization", "Bearer canary-token")]), 200);
    let exit = pgcdc.stop_clean();
    assert!(!exit.stderr.contains("canary"), "{}", exit.stderr);
}

#[test]
fn flags_are_reloaded_too() {
    let (db, desk) = (Database::create("reload_flags"), Desk::new());
    db.execute(TABLE);
    let url = db.url();
    let flags = ["listen", "--db", &url, "--detector", "wal", "--all-tables", "--drop-columns", "note"];
    let pgcdc = desk.start(&flags, &[]);
    db.wait_streaming();
    pgcdc.signal(Signal::SIGHUP);
    pgcdc.stderr().wait_line(0, "reloaded");
    db.execute("insert into t values (1, 'n')");
    assert!(!has_note(&pgcdc.events(1)[0]));
    pgcdc.stop_clean();
}
