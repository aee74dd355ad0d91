//! What the host does around every sink: Retry-After, breaker, rate limit, attempts that run out of time, the nack window, and
//! what becomes of instances that keep ending.

use std::collections::HashSet;
use std::time::{Duration, Instant};

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

const BACKOFF: &str = "backoff: { base: 10ms, cap: 50ms }";
/// The same, and a Retry-After of up to ten seconds is honoured.
const PATIENT: &str = "backoff: { base: 10ms, cap: 1s }";

struct Scene {
    db: Database,
    receiver: Receiver,
    pgcdc: Pgcdc,
    address: String,
    _desk: Desk,
}

/// A table `t (id)`, and a sink `hook` that posts its rows one by one, with this policy.
fn hook(name: &str, policy: &str, rest: &str) -> Scene {
    scene(name, rest, |_, receiver| {
        format!("{{ use: webhook, config: {{ url: \"{}\" }}, policy: {{ {policy} }} }}", receiver.url())
    })
}

/// The same with the guest in this mode.
fn hostile(name: &str, mode: &str, rest: &str) -> Option<Scene> {
    let component = guest("sink", name)?;
    Some(scene(name, "", |desk, receiver| {
        desk.write("guest.wasm", std::fs::read(&component).unwrap());
        let config = format!("config: {{ mode: {mode}, url: \"{}\" }}", receiver.url());
        format!("{{ use: ./guest.wasm, {config}, {rest} }}")
    }))
}

fn scene(name: &str, rest: &str, sink: impl Fn(&Desk, &Receiver) -> String) -> Scene {
    let (db, desk, receiver) = (Database::create(name), Desk::new(), Receiver::start());
    let address = format!("127.0.0.1:{}", free_port());
    db.execute("create table t (id int primary key)");
    let manifest = Manifest::wal(&db).sink("hook", &sink(&desk, &receiver));
    let manifest = manifest.line(&format!("metrics_addr: \"{address}\"")).line(rest);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    Scene { db, receiver, pgcdc, address, _desk: desk }
}

impl Scene {
    fn insert(&self, from: u32, to: u32) {
        self.db.execute(&format!("insert into t select n from generate_series({from}, {to}) n"));
    }

    /// The value of a series of this sink, once there is one that `wanted` likes.
    fn metric(&self, name: &str, label: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let series = format!("{name}{{{label}}} ");
        poll::until(&series, || {
            let (_, metrics) = http::get(&self.address, "/metrics").ok()?;
            let value = metrics.lines().find_map(|line| line.strip_prefix(&*series)?.trim().parse().ok());
            value.filter(|value| wanted(*value))
        })
    }

    /// `/healthz`, once it says all this.
    fn health(&self, words: &[&str]) -> String {
        poll::until(&format!("/healthz to say {words:?}"), || {
            let (_, body) = http::get(&self.address, "/healthz").ok()?;
            words.iter().all(|word| body.contains(word)).then_some(body)
        })
    }

    fn says(&self, words: &[&str]) -> String {
        self.pgcdc.stderr().wait(0, &format!("a line with {words:?}"), |lines| {
            lines.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned()
        })
    }

    /// The dead letters, once there are so many.
    fn letters(&self, count: usize) -> Vec<Exact> {
        let lines = self.pgcdc.stderr().wait(0, &format!("{count} dead letters"), |lines| {
            let letters = lines.iter().filter(|line| line.contains("\"adapter\":\"hook\""));
            let letters: Vec<_> = letters.cloned().collect();
            (letters.len() >= count).then_some(letters)
        });
        lines.iter().map(|line| Exact::parse(line).unwrap()).collect()
    }
}

const OF_HOOK: &str = "adapter=\"hook\"";

fn row_id(delivery: &Delivery) -> i64 {
    delivery.event().column("id").and_then(Exact::integer).unwrap()
}

/// The ids of all rows in these posts, whether they are single events or lines of them; sorted, each once.
fn row_ids(deliveries: &[Delivery]) -> Vec<i64> {
    let lines = deliveries.iter().flat_map(|delivery| {
        let body = String::from_utf8_lossy(&delivery.body).into_owned();
        body.lines().map(|line| Event::parse(line)).collect::<Vec<_>>()
    });
    let ids: HashSet<i64> = lines.filter_map(|event| event.column("id").and_then(Exact::integer)).collect();
    let mut ids: Vec<i64> = ids.into_iter().collect();
    ids.sort_unstable();
    ids
}

fn taken(deliveries: &[Delivery]) -> Vec<Delivery> {
    deliveries.iter().filter(|delivery| delivery.taken).cloned().collect()
}

fn letter_rows(letters: &[Exact]) -> Vec<i64> {
    let event = |letter: &Exact| Event::parse(&letter.get("event").unwrap().to_string());
    letters.iter().map(|letter| event(letter).column("id").and_then(Exact::integer).unwrap()).collect()
}

#[test]
fn a_date_in_retry_after_is_waited_for_by_the_receivers_clock() {
    let scene = hook("retry_date", PATIENT, "");
    // The receiver's clock is decades off; its date and its Date differ by two seconds.
    let refusal =
        [("Date", "Fri, 31 Dec 1999 23:59:57 GMT"), ("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")];
    let headers = refusal.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    scene.receiver.script([Fault::RejectWith(503, headers), Fault::RejectFor(429, 1)]);
    scene.insert(1, 1);
    scene.receiver.wait_accepted(1);
    let [first, second, third] = scene.receiver.attempts().try_into().unwrap();
    assert!(second.at.duration_since(first.at) >= Duration::from_millis(2_000), "the date");
    assert!(third.at.duration_since(second.at) >= Duration::from_millis(1_000), "the seconds");
    scene.pgcdc.stop_clean();
}

#[test]
fn an_absurd_retry_after_is_capped() {
    // Ten times the cap of the backoff, and no more.
    let scene = hook("retry_absurd", BACKOFF, "");
    scene.receiver.script([Fault::RejectFor(429, u32::MAX)]);
    scene.insert(1, 1);
    scene.receiver.wait_accepted(1);
    scene.pgcdc.stop_clean();
}

#[test]
fn a_server_that_asks_for_a_pause_is_not_asked_for_every_row() {
    let scene = hook("pause", PATIENT, "");
    scene.receiver.rule(|_| Some(Fault::RejectFor(429, 1)));
    scene.insert(1, 500);
    scene.receiver.wait("two attempts", |seen| {
        let first = seen.first().map(|delivery| delivery.at);
        seen.iter().any(|delivery| first.is_some_and(|first| delivery.at - first >= Duration::from_secs(1)))
    });
    let seen = scene.receiver.attempts();
    let first = seen.iter().filter(|one| one.at - seen[0].at < Duration::from_secs(1)).count();
    // Of each batch under way no more begin; 16 may be under way at once, whatever the rows.
    assert!(first < 250, "{first} requests in one attempt for 500 rows");
    scene.receiver.rule(|_| None);
    let all = scene.receiver.wait("all rows", |seen| row_ids(&taken(seen)).len() == 500);
    assert_eq!(row_ids(&taken(&all)), (1..=500).collect::<Vec<_>>());
    scene.pgcdc.stop_clean();
}

#[test]
fn every_event_is_tried_again_before_it_is_given_up() {
    let scene = hook("retries", &format!("retries: 2, {BACKOFF}"), "");
    scene.receiver.rule(|_| Some(Fault::Reject(503)));
    scene.insert(1, 60);
    let mut letters = letter_rows(&scene.letters(60));
    letters.sort_unstable();
    assert_eq!(letters, (1..=60).collect::<Vec<_>>());
    let attempts = scene.receiver.attempts();
    for row in 1..=60 {
        let tries = attempts.iter().filter(|delivery| row_id(delivery) == row).count();
        assert_eq!(tries, 3, "row {row}: one try, and two more");
    }
    scene.pgcdc.stop_clean();
}

#[test]
fn a_breaker_opens_lets_one_probe_through_and_closes_with_nothing_lost() {
    const RESET: Duration = Duration::from_secs(2);
    let scene = hook("breaker", &format!("breaker: {{ failures: 3, reset: 2s }}, {BACKOFF}"), "");
    scene.receiver.rule(|_| Some(Fault::Reject(503)));
    scene.insert(1, 40);
    assert_eq!(scene.metric("pgcdc_circuit_breaker_state", OF_HOOK, |state| state > 0.0), 1.0);
    scene.health(&["\"breaker\":\"open\"", "the circuit breaker is open", "failures in a row"]);
    // Two probes that fail, each of them one event, then one that does not.
    scene.metric("pgcdc_circuit_breaker_trips_total", OF_HOOK, |trips| trips >= 3.0);
    scene.receiver.rule(|_| None);
    let all = scene.receiver.wait("all rows", |seen| row_ids(&taken(seen)).len() == 40);
    assert_eq!(row_ids(&taken(&all)), (1..=40).collect::<Vec<_>>());
    let refused: Vec<_> = all.iter().take_while(|delivery| !delivery.taken).collect();
    // A time without requests of almost the whole reset is an open breaker.
    let gaps: Vec<usize> = (1..refused.len())
        .filter(|at| refused[*at].at - refused[*at - 1].at >= RESET - Duration::from_millis(100))
        .collect();
    assert!(gaps.len() >= 2, "{gaps:?} of {}", refused.len());
    for pair in gaps.windows(2) {
        assert_eq!(pair[1] - pair[0], 1, "one request is a probe");
    }
    assert_eq!(refused.len() - gaps.last().unwrap(), 1, "one request is a probe");
    assert_eq!(scene.metric("pgcdc_circuit_breaker_state", OF_HOOK, |state| state < 1.0), 0.0);
    scene.health(&["\"breaker\":\"closed\"", "\"status\":\"up\""]);
    scene.says(&["circuit breaker closed"]);
    let exit = scene.pgcdc.stop_clean();
    assert!(!exit.stderr.contains("\"adapter\""), "no dead letters:\n{}", exit.stderr);
}

#[test]
fn a_rate_limit_is_exact_and_loses_nothing() {
    const RATE: f64 = 20.0;
    const BURST: f64 = 5.0;
    let scene = hook("rate", "rate_limit: 20, rate_burst: 5", "");
    let began = Instant::now();
    scene.insert(1, 60);
    let all = scene.receiver.wait_accepted(60);
    assert_eq!(row_ids(&all), (1..=60).collect::<Vec<_>>());
    for (before, delivery) in all.iter().enumerate() {
        let accrued = BURST + RATE * (delivery.at - began).as_secs_f64();
        assert!(before as f64 + 1.0 <= accrued, "event {} when {accrued} tokens had accrued", before + 1);
    }
    let waits = scene.metric("pgcdc_rate_limit_waits_total", OF_HOOK, |waits| waits > 0.0);
    let waited = scene.metric("pgcdc_rate_limit_wait_duration_seconds_sum", OF_HOOK, |_| true);
    assert!(waits >= 11.0 && waited >= 2.0, "{waits} waits, {waited} s");
    scene.pgcdc.stop_clean();
}

#[test]
fn a_rate_of_less_than_one_event_a_second_lets_events_through() {
    let scene = hook("slow_rate", "rate_limit: 0.5", "");
    let began = Instant::now();
    scene.insert(1, 2);
    let all = scene.receiver.wait_accepted(2);
    assert!(all[1].at - began >= Duration::from_secs(2));
    scene.pgcdc.stop_clean();
}

#[test]
fn what_runs_out_of_time_is_unknown_and_comes_again_under_the_same_id() {
    let scene = hook("late", &format!("timeout: 1s, {BACKOFF}"), "");
    scene.receiver.script([Fault::Hold]);
    scene.insert(1, 1);
    let [first, second] = scene.receiver.wait_accepted(2).try_into().unwrap();
    assert_eq!(first.event().id, second.event().id);
    assert!(second.at - first.at >= Duration::from_secs(1));
    scene.says(&["no answer within 1000 ms (policy.timeout)"]);
    scene.metric("pgcdc_events_delivered_total", OF_HOOK, |events| events == 1.0);
    let exit = scene.pgcdc.stop_clean();
    assert!(!exit.stderr.contains("\"adapter\""), "no dead letters:\n{}", exit.stderr);
}

#[test]
fn a_batch_that_is_too_large_for_one_attempt_is_cut_until_it_fits() {
    let scene = hook("cut", &format!("timeout: 1s, {BACKOFF}"), "");
    // Sixteen at once, 100 ms each: 600 rows take almost four seconds.
    scene.receiver.rule(|_| Some(Fault::Slow(Duration::from_millis(100))));
    scene.insert(1, 600);
    scene.metric("pgcdc_events_delivered_total", OF_HOOK, |events| events == 600.0);
    assert_eq!(row_ids(&scene.receiver.accepted()), (1..=600).collect::<Vec<_>>());
    scene.pgcdc.stop_clean();
}

#[test]
fn one_poisonous_event_in_a_large_batch_is_found_in_a_blink() {
    let Some(scene) = hostile("poison", "traps", "policy: { backoff: { base: 20s, cap: 60s } }") else {
        return;
    };
    // Row 13 of 512: with growing pauses this would take minutes, and this test would run out of time.
    scene.pgcdc.at_once(&scene.db, || scene.insert(1, 512));
    let letters = scene.letters(1);
    assert_eq!(letter_rows(&letters), [13]);
    let error = letters[0].get("error").unwrap().to_string();
    assert!(error.contains("the row with the number 13"), "the panic's message: {error}");
    let all = scene.receiver.wait("the others", |seen| row_ids(seen).len() >= 511);
    assert_eq!(row_ids(&all), (1..=512).filter(|id| *id != 13).collect::<Vec<_>>());
    scene.health(&["\"component\":\"running\"", "\"status\":\"up\""]);
    scene.metric("pgcdc_component_restarts_total", "component=\"hook\"", |restarts| restarts >= 9.0);
    assert_eq!(scene.letters(1).len(), 1);
    scene.pgcdc.stop_clean();
}

#[test]
fn an_instance_that_keeps_ending_is_quarantined_and_says_why() {
    let rest = "policy: { backoff: { base: 10s, cap: 60s } }";
    let Some(scene) = hostile("quarantine", "grows", rest) else { return };
    scene.insert(1, 8);
    let health = scene.health(&["\"component\":\"quarantined\"", "in quarantine"]);
    assert!(health.contains("limit exceeded: memory"), "{health}");
    let of_state = "component=\"hook\",state=\"quarantined\"";
    assert_eq!(scene.metric("pgcdc_component_state", of_state, |state| state > 0.0), 1.0);
    assert!(scene.letters(1).len() < 8, "it is not fed everything while it keeps ending");
    scene.pgcdc.stop();
}

#[test]
fn too_much_output_ends_the_instance_and_names_the_limit() {
    for mode in ["answers", "hands"] {
        let rest = format!("limits: {{ output: 1MiB }}, policy: {{ {BACKOFF} }}");
        let Some(scene) = hostile(&format!("output_{mode}"), mode, &rest) else { return };
        scene.insert(1, 1);
        let letters = scene.letters(1);
        let error = letters[0].get("error").unwrap().to_string();
        assert!(error.contains("limit exceeded: output: more than 1048576 bytes"), "{mode}: {error}");
        scene.says(&["sink ended", "limit exceeded: output"]);
        assert!(scene.receiver.attempts().is_empty());
        scene.pgcdc.stop_clean();
    }
}

#[test]
fn a_log_rate_of_nothing_silences_a_guest_and_is_counted() {
    let rest = "limits: { log_rate: 0, cpu: 10s }";
    let Some(scene) = hostile("silent", "logs", rest) else { return };
    scene.insert(1, 1);
    scene.receiver.wait_accepted(1);
    let suppressed = "pgcdc_component_log_lines_suppressed_total";
    scene.metric(suppressed, "component=\"hook\"", |lines| lines == 100_000.0);
    let exit = scene.pgcdc.stop_clean();
    assert!(!exit.stderr.contains("a flood"));
}

#[test]
fn a_sink_that_refuses_too_much_is_passed_by_until_a_probe_gets_through() {
    let window = "dlq: { use: stderr, window_size: 10, window_threshold: 5 }";
    let scene = hook("window", BACKOFF, window);
    scene.receiver.rule(|_| Some(Fault::Reject(422)));
    scene.insert(1, 5);
    scene.letters(5);
    assert_eq!(scene.metric("pgcdc_adapter_paused", OF_HOOK, |paused| paused > 0.0), 1.0);
    let posts = scene.receiver.attempts().len();
    scene.receiver.rule(|_| None);
    scene.insert(6, 8);
    let letters = scene.letters(8);
    assert_eq!(letter_rows(&letters[5..]), [6, 7, 8], "passed by, and kept");
    assert!(letters[5].get("error").unwrap().to_string().contains("not delivered"), "{:?}", letters[5]);
    assert_eq!(scene.receiver.attempts().len(), posts);
    scene.metric("pgcdc_nack_window_exceeded_total", OF_HOOK, |events| events == 3.0);
    // One is tried every ten seconds; until then rows are passed by.
    let mut row = 8;
    poll::until("a probe", || {
        row += 1;
        scene.insert(row, row);
        (!scene.receiver.accepted().is_empty()).then_some(())
    });
    assert_eq!(scene.metric("pgcdc_adapter_paused", OF_HOOK, |paused| paused < 1.0), 0.0);
    let before = scene.receiver.accepted().len();
    scene.insert(row + 1, row + 20);
    scene.receiver.wait_accepted(before + 20);
    scene.pgcdc.stop_clean();
}

#[test]
fn a_delivery_is_a_span_at_debug_level() {
    let scene = hook("span", BACKOFF, "log: { level: debug }");
    scene.insert(1, 1);
    scene.receiver.wait_accepted(1);
    scene.says(&["deliver{sink=\"hook\" events=1 attempt=1}", "delivery came back", "durable"]);
    scene.pgcdc.stop_clean();
}
