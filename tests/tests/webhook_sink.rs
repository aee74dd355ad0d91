//! The webhook sink: what is posted, in which order, and what becomes of every kind of answer.

use std::collections::HashMap;
use std::time::Duration;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::receiver::{Delivery, Fault, Receiver};
use pgcdc_tests::support::signature;

const KEY: &str = "a signing key";

struct Scene {
    db: Database,
    receiver: Receiver,
    pgcdc: Pgcdc,
    _desk: Desk,
}

/// A table `t (k, v)`, a receiver, and a pgcdc between them that also writes to standard output.
fn scene(name: &str, policy: &str) -> Scene {
    let (db, desk, receiver) = (Database::create(name), Desk::new(), Receiver::start());
    db.execute("create table t (k int primary key, v int)");
    let config = format!("url: \"{}\", signing_key: {{ secret: hook }}", receiver.url());
    let manifest = Manifest::wal(&db)
        .stdout()
        .sink("hook", &format!("{{ use: webhook, config: {{ {config} }}, policy: {{ {policy} }} }}"))
        .line("secrets: { hook: { env: HOOK_KEY } }");
    let pgcdc = desk.run_text(&manifest.text(), &[("HOOK_KEY", KEY)]);
    db.wait_streaming();
    Scene { db, receiver, pgcdc, _desk: desk }
}

fn id(delivery: &Delivery) -> &str {
    delivery.header("x-pgcdc-event-id").unwrap()
}

#[test]
fn a_post_is_one_signed_envelope() {
    let scene = scene("signed", "retries: 5");
    scene.db.execute("insert into t values (1, 2)");
    let [delivery] = scene.receiver.wait_accepted(1).try_into().unwrap();
    let event = delivery.event();
    assert_eq!(event.row(), &Exact::parse(r#"{"k":1,"v":2}"#).unwrap());
    assert_eq!(delivery.header("content-type"), Some("application/json"));
    assert!(delivery.header("user-agent").unwrap().starts_with("pgcdc/"));
    assert_eq!(id(&delivery), event.id);
    assert_eq!(delivery.header("x-pgcdc-channel"), Some("pgcdc:t"));
    let signature = signature::expected(KEY, &delivery.body);
    assert_eq!(delivery.header("x-pgcdc-signature"), Some(signature.as_str()));
    scene.pgcdc.stop_clean();
}

#[test]
fn changes_of_one_row_stay_in_order_whatever_the_answers() {
    let scene = scene("order", "retries: 20");
    let unlucky = |delivery: &Delivery| delivery.event().id.as_bytes()[35];
    scene.receiver.rule(move |delivery| match unlucky(delivery) {
        b'0' | b'8' => Some(Fault::Slow(Duration::from_millis(20))),
        _ => None,
    });
    scene.receiver.script([Fault::Reject(503), Fault::FailAfterWrite, Fault::Reject(500)]);
    scene.db.execute("insert into t select k, 0 from generate_series(1, 8) k");
    for v in 1..=30 {
        scene.db.execute(&format!("update t set v = {v}"));
    }
    let all = |seen: &[Delivery]| {
        last_values(seen).values().filter(|values| values.last() == Some(&30)).count() == 8
    };
    let accepted = scene.receiver.wait("every row to reach 30", all);
    for (key, values) in last_values(&accepted) {
        assert_eq!(values, (0..=30).collect::<Vec<_>>(), "row {key}");
    }
    scene.pgcdc.stop_clean();
}

/// Per row, its values in the order of their first acceptance.
fn last_values(deliveries: &[Delivery]) -> HashMap<i64, Vec<i64>> {
    let mut ids = std::collections::HashSet::new();
    let mut values: HashMap<i64, Vec<i64>> = HashMap::new();
    for event in deliveries.iter().filter(|d| d.taken).map(Delivery::event) {
        let number = |column| event.column(column).and_then(Exact::integer).unwrap();
        if ids.insert(event.id.clone()) {
            values.entry(number("k")).or_default().push(number("v"));
        }
    }
    values
}

#[test]
fn a_failing_server_gets_the_same_bytes_again() {
    let scene = scene("retry", "retries: 5");
    scene.receiver.script([Fault::Reject(500), Fault::Reject(502)]);
    scene.db.execute("insert into t values (1, 1)");
    scene.receiver.wait_accepted(1);
    let attempts = scene.receiver.attempts();
    assert_eq!(attempts.len(), 3);
    assert!(
        attempts.iter().all(|attempt| attempt.body == attempts[0].body && id(attempt) == id(&attempts[0]))
    );
    scene.pgcdc.stop_clean();
}

#[test]
fn an_answer_that_got_lost_repeats_under_the_same_id() {
    let scene = scene("lost_answer", "retries: 5");
    scene.receiver.script([Fault::FailAfterWrite]);
    scene.db.execute("insert into t values (1, 1)");
    let [first, second] = scene.receiver.wait_accepted(2).try_into().unwrap();
    assert_eq!((id(&first), &first.body), (id(&second), &second.body));
    scene.pgcdc.stop_clean();
}

#[test]
fn retry_after_is_honoured() {
    let scene = scene("retry_after", "retries: 5");
    scene.receiver.script([Fault::RejectFor(429, 2)]);
    scene.db.execute("insert into t values (1, 1)");
    scene.receiver.wait_accepted(1);
    let [refused, taken] = scene.receiver.attempts().try_into().unwrap();
    assert!(taken.at.duration_since(refused.at) >= Duration::from_millis(1_900));
    scene.pgcdc.stop_clean();
}

#[test]
fn what_the_receiver_refuses_is_dead_lettered_and_the_rest_goes_on() {
    let scene = scene("refused", "retries: 5");
    scene.receiver.rule(|delivery| {
        let bad = delivery.event().column("v").and_then(Exact::integer) == Some(13);
        bad.then_some(Fault::Reject(422))
    });
    scene.db.execute("insert into t values (1, 12), (2, 13), (3, 14)");
    let taken = scene.receiver.wait_accepted(2);
    // Three rows, three keys: their order among each other is nobody's promise.
    let mut taken: Vec<_> =
        taken.iter().map(|d| d.event().column("v").and_then(Exact::integer).unwrap()).collect();
    taken.sort_unstable();
    assert_eq!(taken, [12, 14]);
    let line = scene.pgcdc.stderr().wait_line(0, "\"adapter\":");
    let letter = Exact::parse(&line).unwrap();
    assert_eq!(letter.get("adapter").and_then(Exact::text), Some("hook"));
    let event = Event::parse(&letter.get("event").unwrap().to_string());
    assert_eq!(event.column("v").and_then(Exact::integer), Some(13));
    assert!(letter.get("error").unwrap().to_string().contains("422"), "{line}");
    assert!(letter.get("timestamp").is_some(), "{line}");
    let attempts = scene.receiver.attempts();
    assert_eq!(attempts.len(), 3, "what was refused is not posted again");
    scene.pgcdc.stop_clean();
}

#[test]
fn retries_come_to_an_end_and_the_sink_goes_on() {
    let scene = scene("exhausted", "retries: 2");
    scene.receiver.rule(|delivery| {
        let bad = delivery.event().column("k").and_then(Exact::integer) == Some(1);
        bad.then_some(Fault::Reject(500))
    });
    scene.db.execute("insert into t values (1, 1), (2, 2)");
    scene.receiver.wait_accepted(1);
    scene.pgcdc.stderr().wait_line(0, "\"adapter\":");
    scene.db.execute("insert into t values (3, 3)");
    scene.receiver.wait_accepted(2);
    scene.pgcdc.stop_clean();
}

#[test]
fn a_stuck_receiver_delays_no_other_sink() {
    let scene = scene("stuck", "retries: 5");
    scene.receiver.rule(|_| Some(Fault::Hold));
    scene.db.execute("insert into t select n, n from generate_series(1, 50) n");
    let events = scene.pgcdc.events(50);
    assert_eq!(events.len(), 50);
    scene.receiver.rule(|_| None);
    scene.receiver.release();
    scene.receiver.wait_accepted(50);
    scene.pgcdc.stop_clean();
}
