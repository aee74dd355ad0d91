//! Dead letters in a PostgreSQL: shown, sent again through the sink as it is configured, removed; and a queue that is
//! away holds its lane, and says so.

use std::io::Write;
use std::process::Stdio;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::guests::guest;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::{Exit, Pgcdc};
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Delivery, Fault, Receiver};
use pgcdc_tests::support::signature;

const KEY: &str = "a signing key";
const BACKOFF: &str = "backoff: { base: 10ms, cap: 50ms }";

struct Scene {
    db: Database,
    letters: Database,
    receiver: Receiver,
    desk: Desk,
    pgcdc: Pgcdc,
}

impl Scene {
    /// A table `t (k, v)`, a webhook with a key and a transform, and a queue in another database.
    fn start(name: &str, letters: Database) -> Self {
        let (db, receiver, desk) = (Database::create(name), Receiver::start(), Desk::new());
        db.execute("create table t (k int primary key, v int, note text)");
        let config = format!("url: \"{}\", signing_key: {{ secret: hook }}", receiver.url());
        let hook = format!("use: webhook, config: {{ {config} }}, policy: {{ retries: 2, {BACKOFF} }}");
        let manifest = Manifest::persistent(&db)
            .transform("{ use: drop_columns, config: { columns: [ note ] } }")
            .stdout()
            .sink("hook", &format!("{{ {hook} }}"))
            .line(&format!("dlq: {{ use: pg_table, config: {{ db: \"{}\" }} }}", letters.url()))
            .line("secrets: { hook: { env: HOOK_KEY } }");
        let pgcdc = desk.run_text(&manifest.text(), &[("HOOK_KEY", KEY)]);
        db.wait_streaming();
        Self { db, letters, receiver, desk, pgcdc }
    }

    /// From now on rows with such a value are refused.
    fn refuse(&self, bad: impl Fn(i64) -> bool + Send + 'static) {
        self.receiver.rule(move |delivery| bad(value(delivery)).then_some(Fault::Reject(422)));
    }

    fn wait_letters(&self, count: usize) {
        let sql = format!("select 'all' from pgcdc_dead_letters having count(*) = {count}");
        poll::until(&format!("{count} letters"), || self.letters.text(&sql));
    }

    fn dlq(&self, arguments: &[&str]) -> Exit {
        let arguments: Vec<&str> = ["dlq"].iter().chain(arguments).copied().collect();
        self.desk.start(&arguments, &[("HOOK_KEY", KEY)]).wait()
    }

    /// What `dlq list --json` says.
    fn list(&self, arguments: &[&str]) -> Vec<Exact> {
        let arguments: Vec<&str> = ["list", "--json"].iter().chain(arguments).copied().collect();
        let exit = self.dlq(&arguments);
        assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
        match Exact::parse(&exit.stdout.join("\n")).unwrap() {
            Exact::List(records) => records,
            other => panic!("{other}"),
        }
    }
}

fn value(delivery: &Delivery) -> i64 {
    delivery.event().column("v").and_then(Exact::integer).unwrap()
}

fn values(records: &[Exact]) -> Vec<i64> {
    let payload = |record: &Exact| Event::parse(&record.get("payload").unwrap().to_string());
    records.iter().map(|record| payload(record).column("v").and_then(Exact::integer).unwrap()).collect()
}

#[test]
fn what_was_refused_is_sent_again_as_it_was_once_the_sink_is_mended() {
    let scene = Scene::start("mended", Database::create("mended_letters"));
    scene.refuse(|v| v >= 13);
    scene.db.execute("insert into t select n, n, 'hidden' from generate_series(11, 15) n");
    scene.wait_letters(3);
    let refused: Vec<Event> =
        scene.receiver.attempts().iter().filter(|d| value(d) >= 13).map(Delivery::event).collect();
    let before = scene.receiver.attempts().len();

    let dry = scene.dlq(&["replay", "--dry-run"]);
    assert_eq!(dry.code(), Some(0), "{}", dry.stderr);
    assert!(dry.stdout.iter().any(|line| line.contains("hook") && line.contains('3')), "{:?}", dry.stdout);
    assert_eq!(scene.receiver.attempts().len(), before, "a dry run sends nothing");

    // Half mended: what still fails fails the command, and stays.
    scene.refuse(|v| v == 14);
    let half = scene.dlq(&["replay"]);
    half.assert_refused(&["422", "1 letters were not replayed"]);
    assert_eq!(values(&scene.list(&["--pending"])), [14]);
    scene.receiver.rule(|_| None);
    let all = scene.dlq(&["replay"]);
    assert_eq!(all.code(), Some(0), "{}", all.stderr);
    assert!(scene.list(&["--pending"]).is_empty());

    let replayed = &scene.receiver.attempts()[before..];
    assert_eq!(replayed.iter().filter(|d| d.taken).map(value).collect::<Vec<_>>(), [13, 15, 14]);
    for delivery in replayed {
        let first = refused.iter().find(|event| event.id == delivery.event().id).unwrap();
        assert_eq!(first.envelope, delivery.event().envelope);
        assert!(delivery.event().column("note").is_none(), "transforms are not undone");
        let signature = signature::expected(KEY, &delivery.body);
        assert_eq!(delivery.header("x-pgcdc-signature"), Some(signature.as_str()));
    }
    let again = scene.receiver.attempts().len();
    assert_eq!(scene.dlq(&["replay"]).code(), Some(0));
    assert_eq!(scene.receiver.attempts().len(), again, "what was replayed is not sent again");
    scene.pgcdc.stop_clean();
}

#[test]
fn letters_are_found_by_sink_time_and_id() {
    let scene = Scene::start("found", Database::create("found_letters"));
    scene.refuse(|_| true);
    scene.db.execute("insert into t values (1, 1), (2, 2), (3, 3)");
    scene.wait_letters(3);
    scene.letters.execute("update pgcdc_dead_letters set created_at = '2020-01-01' where payload -> 'payload' -> 'row' ->> 'v' = '1'");
    let all = scene.list(&[]);
    let newest_first: Vec<i64> = values(&all);
    let by_id = scene.letters.connect();
    let mut by_id = by_id;
    let order: Vec<i64> = by_id
        .query(
            "select (payload -> 'payload' -> 'row' ->> 'v')::bigint from pgcdc_dead_letters order by id desc",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(newest_first, order);
    assert_eq!(values(&scene.list(&["--until", "2020-06-01T00:00:00Z"])), [1]);
    assert_eq!(scene.list(&["--since", "2020-06-01T00:00:00+02:00"]).len(), 2);
    assert_eq!(scene.list(&["--adapter", "hook"]).len(), 3);
    assert!(scene.list(&["--adapter", "other"]).is_empty());
    let id = all[0].get("event_id").and_then(Exact::text).unwrap();
    assert_eq!(values(&scene.list(&["--id", id])), values(&all[..1]));
    let short = scene.dlq(&["list", "--limit", "2"]);
    assert!(short.stderr.contains("there are more"), "{}", short.stderr);
    assert_eq!(short.stdout.len(), 3, "a header and two letters: {:?}", short.stdout);
    let shown = scene.dlq(&["show", id]);
    assert!(shown.stdout.join("\n").contains("rejected: "), "{:?}", shown.stdout);
    scene.dlq(&["show", "nothing"]).assert_refused(&["there is no letter"]);
    assert_eq!(scene.dlq(&["list", "--since", "yesterday"]).code(), Some(1));

    // The same by --db, without a manifest.
    let elsewhere = Desk::new();
    let exit = elsewhere.start(&["dlq", "list", "--db", &scene.letters.url()], &[]).wait();
    assert_eq!((exit.code(), exit.stdout.len()), (Some(0), 4), "{}", exit.stderr);
    scene.pgcdc.stop_clean();
}

#[test]
fn purge_asks_first_and_then_removes_what_was_named() {
    let scene = Scene::start("purged", Database::create("purged_letters"));
    scene.refuse(|_| true);
    scene.db.execute("insert into t values (1, 1), (2, 2)");
    scene.wait_letters(2);
    scene.dlq(&["purge"]).assert_refused(&["nothing was removed"]);
    assert_eq!(scene.list(&[]).len(), 2);
    let first = scene.list(&[])[0].get("id").and_then(Exact::text).unwrap().to_owned();
    scene
        .letters
        .execute(&format!("update pgcdc_dead_letters set replayed_at = now() where letter = '{first}'"));
    let mut command = Pgcdc::command(scene.desk.folder(), &[("HOOK_KEY", KEY)]);
    command
        .args(["dlq", "purge", "--replayed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut asked = command.spawn().unwrap();
    asked.stdin.take().unwrap().write_all(b"y\n").unwrap();
    let answered = asked.wait_with_output().unwrap();
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    assert!(String::from_utf8_lossy(&answered.stderr).contains("letters replayed"));
    assert_eq!(scene.list(&[]).len(), 1);
    assert_eq!(scene.dlq(&["purge", "--force"]).stdout, ["removed: 1"]);
    scene.pgcdc.stop_clean();
}

#[test]
fn a_sink_that_is_down_fails_the_replay_and_keeps_the_letters() {
    let scene = Scene::start("down", Database::create("down_letters"));
    scene.refuse(|_| true);
    scene.db.execute("insert into t values (1, 1), (2, 2)");
    scene.wait_letters(2);
    scene.receiver.rule(|_| Some(Fault::Reject(503)));
    let before = scene.receiver.attempts().len();
    scene.dlq(&["replay"]).assert_refused(&["503", "does not work now", "2 letters were not replayed"]);
    assert_eq!(scene.receiver.attempts().len() - before, 3, "one letter, as often as its policy says");
    assert_eq!(scene.list(&["--pending"]).len(), 2);
    scene.pgcdc.stop_clean();
}

#[test]
fn what_a_transform_failed_on_goes_through_it_again() {
    let Some(component) = guest("transform", "what_a_transform_failed_on_goes_through_it_again") else {
        return;
    };
    let (db, letters, receiver) =
        (Database::create("raw"), Database::create("raw_letters"), Receiver::start());
    let desk = Desk::new();
    desk.write("guest.wasm", std::fs::read(component).unwrap());
    db.execute("create table t (n int primary key, note text)");
    let manifest = |mode: &str, raw: bool| {
        let own = format!(
            "{{ use: drop_columns, config: {{ columns: [ note ] }} }}, {{ use: ./guest.wasm, config: {{ mode: {mode} }} }}"
        );
        let hook =
            format!("{{ use: webhook, config: {{ url: \"{}\" }}, transforms: [ {own} ] }}", receiver.url());
        let dlq = format!("dlq: {{ use: pg_table, raw: {raw}, config: {{ db: \"{}\" }} }}", letters.url());
        Manifest::persistent(&db).sink("hook", &hook).line(&dlq)
    };
    let wait = |count: usize| {
        let sql = format!("select 'all' from pgcdc_dead_letters having count(*) = {count}");
        poll::until("a letter", || letters.text(&sql));
    };
    let pgcdc = desk.run(&manifest("traps", true));
    db.wait_streaming();
    db.execute("insert into t values (1, 'hidden')");
    wait(1);
    pgcdc.stop_clean();
    let pgcdc = desk.run(&manifest("traps", false));
    db.wait_streaming();
    db.execute("insert into t values (2, 'hidden')");
    wait(2);
    pgcdc.stop_clean();
    desk.write("pgcdc.yaml", manifest("passes", false).text());
    let replay = desk.start(&["dlq", "replay"], &[]).wait();
    replay.assert_refused(&["dlq.raw", "1 letters were not replayed"]);
    let [taken] = receiver.wait_accepted(1).try_into().unwrap();
    assert_eq!(taken.event().row(), &Exact::parse(r#"{"n":1}"#).unwrap());
}

#[test]
fn a_large_change_is_kept_and_sent_again() {
    let scene = Scene::start("large", Database::create("large_letters"));
    scene.receiver.rule(|_| Some(Fault::Reject(413)));
    scene.db.execute("alter table t add big text; insert into t values (1, 1, null, repeat('x', 8 << 20))");
    scene.wait_letters(1);
    scene.receiver.rule(|_| None);
    let replay = scene.dlq(&["replay"]);
    assert_eq!(replay.code(), Some(0), "{}", replay.stderr);
    let [taken] = scene.receiver.wait_accepted(1).try_into().unwrap();
    assert_eq!(taken.event().column("big").and_then(Exact::text).map(str::len), Some(8 << 20));
    scene.pgcdc.stop_clean();
}

#[test]
fn a_queue_that_is_away_holds_its_lane_and_says_so() {
    let letters = Database::alone("away_letters");
    let (db, receiver, desk) = (Database::create("away"), Receiver::start(), Desk::new());
    let address = format!("127.0.0.1:{}", free_port());
    db.execute("create table t (k int primary key, v int)");
    let hook =
        format!("{{ use: webhook, config: {{ url: \"{}\" }}, policy: {{ {BACKOFF} }} }}", receiver.url());
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink("hook", &hook)
        .line(&format!("dlq: {{ use: pg_table, config: {{ db: \"{}\" }} }}", letters.url()))
        .line(&format!("metrics_addr: \"{address}\""));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    receiver.rule(|delivery| (value(delivery) == 13).then_some(Fault::Reject(422)));
    letters.cluster().stop();
    db.execute("insert into t values (1, 13)");
    pgcdc.stderr().wait_line(0, "dead-letter queue fails: its lane waits");
    db.execute("insert into t values (2, 1), (3, 2)");
    assert_eq!(pgcdc.events(3).len(), 3, "the other lane goes on");
    let health = poll::until("/healthz to name it", || match http::get(&address, "/healthz") {
        Ok((_, body)) if body.contains("dead-letter queue: ") => Some(body),
        _ => None,
    });
    assert!(health.contains("\"hook\""), "{health}");
    let (_, metrics) = http::get(&address, "/metrics").unwrap();
    let failures = metrics.lines().find_map(|line| line.strip_prefix("pgcdc_dlq_errors_total "));
    assert!(
        failures.and_then(|count| count.parse::<f64>().ok()).is_some_and(|count| count > 0.0),
        "{metrics}"
    );
    assert_eq!(receiver.accepted().len(), 0, "the lane waits");
    let unconfirmed = format!(
        "select 'yes' from pg_replication_slots where slot_name = '{}' and confirmed_flush_lsn < pg_current_wal_flush_lsn()",
        db.name()
    );
    assert!(db.text(&unconfirmed).is_some(), "nothing of it is confirmed");
    letters.cluster().start_again();
    let mut taken: Vec<i64> = receiver.wait_accepted(2).iter().map(value).collect();
    taken.sort_unstable();
    assert_eq!(taken, [1, 2]);
    db.wait_confirmed(db.name());
    let kept = "select string_agg(payload -> 'payload' -> 'row' ->> 'v', ',') from pgcdc_dead_letters";
    assert_eq!(letters.text(kept).as_deref(), Some("13"));
    pgcdc.stderr().wait_line(0, "dead-letter queue works again");
    pgcdc.stop_clean();
}

#[test]
fn a_queue_that_keeps_nothing_says_so() {
    let (db, desk) = (Database::create("nothing"), Desk::new());
    desk.write("pgcdc.yaml", Manifest::wal(&db).stdout().text());
    desk.start(&["dlq", "list"], &[]).wait().assert_refused(&["letters cannot be listed here"]);
    desk.write("none.yaml", Manifest::wal(&db).stdout().line("dlq: { use: none }").text());
    let none = desk.start(&["dlq", "replay", "--manifest", "none.yaml"], &[]).wait();
    none.assert_refused(&["no dead-letter queue"]);
}
