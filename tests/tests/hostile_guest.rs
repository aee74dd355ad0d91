//! A fault stays in its lane: whatever one sink does, the other gets everything, and the log says who and why.

use std::path::Path;
use std::time::Instant;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::guests::guest;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Delivery, Fault, Receiver};

const LIMITS: &str = "limits: { memory: 16MiB, cpu: 200ms, wall: 2s }";
const POLICY: &str = "policy: { backoff: { base: 10ms, cap: 50ms } }";

struct Scene {
    db: Database,
    receiver: Receiver,
    pgcdc: Pgcdc,
    _desk: Desk,
}

impl Scene {
    /// A table, standard output, and beside it the sink `bad` in this mode.
    fn sink(mode: &str) -> Option<Self> {
        let component = guest("sink", mode)?;
        Some(Self::start(mode, &component, |receiver| {
            let config = format!("config: {{ mode: {mode}, url: \"{}\" }}", receiver.url());
            format!("{{ use: ./guest.wasm, {config}, {LIMITS}, {POLICY} }}")
        }))
    }

    /// A table, standard output, and beside it the sink `bad`: a webhook behind a transform in this mode.
    fn transform(mode: &str) -> Option<Self> {
        let component = guest("transform", mode)?;
        Some(Self::start(&format!("transform_{mode}"), &component, |receiver| {
            let config = format!("config: {{ url: \"{}\" }}", receiver.url());
            let transform = format!("{{ use: ./guest.wasm, config: {{ mode: {mode} }}, {LIMITS} }}");
            format!("{{ use: webhook, {config}, transforms: [ {transform} ], {POLICY} }}")
        }))
    }

    fn start(name: &str, component: &Path, bad: impl Fn(&Receiver) -> String) -> Self {
        let (db, desk, receiver) = (Database::create(name), Desk::new(), Receiver::start());
        db.execute("create table t (id int primary key)");
        desk.write("guest.wasm", std::fs::read(component).unwrap());
        let pgcdc = desk.run(&Manifest::wal(&db).stdout().sink("bad", &bad(&receiver)));
        db.wait_streaming();
        Self { db, receiver, pgcdc, _desk: desk }
    }

    /// Inserts these rows in one transaction.
    fn insert(&self, from: u32, to: u32) {
        self.db.execute(&format!("insert into t select n from generate_series({from}, {to}) n"));
    }

    /// The other sink gets so many events; their numbers are the ids in order.
    fn other_gets(&self, count: usize) -> Vec<Event> {
        let events = self.pgcdc.events(count);
        let ids: Vec<_> = events.iter().map(|event| event.column("id").and_then(Exact::integer)).collect();
        assert_eq!(ids, (1..=count).map(|id| i64::try_from(id).ok()).collect::<Vec<_>>());
        events
    }

    /// A line of the log that holds all of this.
    fn says(&self, words: &[&str]) -> String {
        self.pgcdc.stderr().wait(0, &format!("a line with {words:?}"), |lines| {
            lines.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned()
        })
    }

    /// The ids of the events that `bad` could not be given, once there are so many.
    fn letters(&self, count: usize) -> Vec<String> {
        self.pgcdc.stderr().wait(0, &format!("{count} dead letters"), |lines| {
            let letters = lines.iter().filter(|line| line.contains("\"adapter\":\"bad\""));
            let ids: Vec<_> = letters.map(|line| letter_id(line)).collect();
            (ids.len() >= count).then_some(ids)
        })
    }

    /// Two rows, then another: the other sink has each of them, the log names the limit, every event is accounted for.
    fn contained(self, reason: &str) {
        self.insert(1, 2);
        self.other_gets(2);
        self.says(&["bad", reason]);
        self.insert(3, 3);
        let mut given: Vec<_> = self.other_gets(3).into_iter().map(|event| event.id).collect();
        let mut refused = self.letters(3);
        given.sort();
        refused.sort();
        assert_eq!(refused, given, "dead letters are exactly the events");
        assert!(self.receiver.attempts().is_empty());
        self.pgcdc.stop_clean();
    }
}

fn letter_id(line: &str) -> String {
    let letter = Exact::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    letter.get("event_id").and_then(Exact::text).unwrap_or_else(|| panic!("no event_id: {line}")).to_owned()
}

#[test]
fn an_endless_loop_ends_at_the_cpu_limit() {
    let Some(scene) = Scene::sink("loops") else { return };
    scene.contained("cpu: more than 200 ms");
}

#[test]
fn endless_growth_ends_at_the_memory_limit() {
    let Some(scene) = Scene::sink("grows") else { return };
    scene.contained("memory: ");
}

#[test]
fn sleeping_for_ever_ends_at_the_wall_clock_limit() {
    let Some(scene) = Scene::sink("sleeps") else { return };
    scene.contained("no answer within 2000 ms");
}

#[test]
fn waiting_for_ever_ends_at_the_wall_clock_limit_and_so_does_what_is_waited_for() {
    let Some(scene) = Scene::sink("hangs") else { return };
    scene.receiver.rule(|_| Some(Fault::Hold));
    scene.insert(1, 1);
    let [event] = scene.other_gets(1).try_into().unwrap();
    scene.says(&["bad", "no answer within 2000 ms"]);
    assert_eq!(scene.letters(1), [event.id]);
    poll::until("the requests of instances that are gone to be given up", || {
        (scene.receiver.connections() == 0).then_some(())
    });
    scene.insert(2, 2);
    scene.other_gets(2);
    scene.letters(2);
    scene.pgcdc.stop_clean();
}

#[test]
fn an_answer_for_an_event_it_was_never_given_ends_the_instance() {
    let Some(scene) = Scene::sink("garbage") else { return };
    scene.contained("the outcome names event");
}

#[test]
fn a_flood_of_log_lines_is_cut_and_named() {
    let Some(scene) = Scene::sink("logs") else { return };
    let began = Instant::now();
    for row in 1..=20 {
        scene.insert(row, row);
    }
    scene.other_gets(20);
    scene.says(&["bad", "over its rate"]);
    let lines = |seen: &[Delivery]| -> usize {
        seen.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).lines().count()).sum()
    };
    scene.receiver.wait("all rows", |seen| lines(seen) >= 20);
    let flood = scene.pgcdc.stderr().lines().iter().filter(|line| line.contains("a flood")).count();
    let allowed = 100 + 10 * (1 + usize::try_from(began.elapsed().as_secs()).unwrap());
    assert!(flood <= allowed, "{flood} lines, {allowed} would do");
    scene.pgcdc.stop_clean();
}

#[test]
fn a_log_line_stays_one_line() {
    let Some(scene) = Scene::sink("forges") else { return };
    scene.insert(1, 1);
    scene.receiver.wait_accepted(1);
    let line = scene.says(&["bad", "one", "forged"]);
    assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
    let log = scene.pgcdc.stop_clean().stderr;
    let about: Vec<_> = log.lines().filter(|line| line.contains("forged")).collect();
    assert_eq!(about, [line.as_str()], "one line, and the host's name for the speaker in it");
}

#[test]
fn one_poisonous_event_is_dead_lettered_and_all_others_arrive_once() {
    let Some(scene) = Scene::sink("traps") else { return };
    scene.insert(1, 20);
    let events = scene.other_gets(20);
    let [poison] = scene.letters(1).try_into().unwrap();
    assert_eq!(poison, events[12].id);
    scene.says(&["bad", "sink ended"]);
    scene.insert(21, 25);
    scene.other_gets(25);
    let arrived = |deliveries: &[Delivery]| -> Vec<String> {
        let bodies = deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned());
        bodies.flat_map(|body| body.lines().map(|line| Event::parse(line).id).collect::<Vec<_>>()).collect()
    };
    let all = scene.receiver.wait("24 events", |seen| arrived(seen).len() >= 24);
    let mut expected: Vec<_> = scene.pgcdc.events(25).into_iter().map(|event| event.id).collect();
    expected.remove(12);
    assert_eq!(arrived(&all), expected, "each once, in order");
    assert_eq!(scene.letters(1).len(), 1);
    scene.pgcdc.stop_clean();
}

#[test]
fn a_transform_that_forgets_doubles_or_invents_is_at_fault() {
    for (mode, reason) in [
        ("forgets", "neither passed on, nor dropped, nor failed"),
        ("doubles", "is dropped and something else, too"),
        ("garbage", "failed names input"),
    ] {
        let Some(scene) = Scene::transform(mode) else { return };
        scene.contained(reason);
    }
}

#[test]
fn a_transform_that_loops_or_traps_fails_its_events_alone() {
    for (mode, reason) in [("loops", "cpu: more than 200 ms"), ("traps", "transform ended")] {
        let Some(scene) = Scene::transform(mode) else { return };
        scene.contained(reason);
    }
}

#[test]
fn bytes_that_are_no_batch_are_refused() {
    let Some(scene) = Scene::transform("malformed") else { return };
    scene.contained("invalid");
}

#[test]
fn what_is_refused_costs_no_memory() {
    let Some(scene) = Scene::transform("litters") else { return };
    scene.insert(1, 3);
    scene.other_gets(3);
    scene.receiver.wait_accepted(3);
    scene.pgcdc.stop_clean();
}
