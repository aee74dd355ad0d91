//! Two pgcdc for one slot, or for one state directory: the second waits or refuses, says for whom, and never steals.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Fault, Receiver};
use serde_json::Value;

fn number(event: &Event) -> i64 {
    event.column("n").and_then(Exact::integer).unwrap()
}

fn numbers(pgcdc: &Pgcdc, count: usize) -> Vec<i64> {
    pgcdc.events(count).iter().map(number).collect()
}

/// The process on the server that reads the slot.
fn reader(db: &Database) -> Option<String> {
    db.text(&format!("select active_pid::text from pg_replication_slots where slot_name = '{}'", db.name()))
}

fn slots(db: &Database) -> Option<String> {
    db.text(&format!("select count(*)::text from pg_replication_slots where database = '{}'", db.name()))
}

fn database(name: &str) -> Database {
    let db = Database::alone(name);
    db.execute("create table t (n int primary key)");
    db
}

#[test]
fn the_second_waits_for_the_slot_names_its_reader_and_takes_over() {
    let (db, first_desk, second_desk) = (database("slot"), Desk::new(), Desk::new());
    let address = format!("127.0.0.1:{}", free_port());
    let manifest = Manifest::persistent(&db).stdout();
    let first = first_desk.run(&manifest);
    db.wait_streaming();
    let holder = reader(&db).unwrap();
    let second = second_desk.run(&manifest.clone().line(&format!("metrics_addr: \"{address}\"")));
    let line = second.stderr().wait_line(0, "waits for its turn");
    for words in [db.name(), &format!("PID {holder}"), "application_name pgcdc", "127.0.0.1"] {
        assert!(line.contains(words), "no `{words}` in {line}");
    }
    poll::until("the second to be a standby", || {
        let (_, body) = http::get(&address, "/status").ok()?;
        let status: Value = serde_json::from_str(&body).ok()?;
        (status["sources"][0]["state"] == "standby").then_some(())
    });
    assert_eq!(http::get(&address, "/readyz").unwrap().0, 503);
    assert_eq!(http::get(&address, "/livez").unwrap().0, 200);
    db.execute("insert into t values (1)");
    assert_eq!(numbers(&first, 1), [1]);
    assert_eq!(reader(&db).as_ref(), Some(&holder), "the first lost its connection");
    first.stop_clean();
    db.wait_streaming();
    db.execute("insert into t values (2)");
    assert_eq!(numbers(&second, 1), [2]);
    assert_eq!(slots(&db).as_deref(), Some("1"));
    let exit = second.stop_clean();
    assert!(exit.stderr.contains("the slot is ours now"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("source failed"), "{}", exit.stderr);
}

#[test]
fn who_takes_over_goes_on_from_what_the_other_has_stored() {
    let (db, first_desk, second_desk, store) = (database("shared"), Desk::new(), Desk::new(), Desk::new());
    let receiver = Receiver::start();
    receiver.rule(|_| Some(Fault::Hold));
    let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", receiver.url());
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink("hook", &hook)
        .line("shutdown_timeout: 1s")
        .line(&format!("checkpoint: {{ use: file, config: {{ path: \"{}\" }} }}", store.folder().display()));
    let first = first_desk.run(&manifest);
    db.wait_streaming();
    let second = second_desk.run(&manifest);
    second.stderr().wait_line(0, "waits for its turn");
    // The first ends with one sink ahead of the other; the second has looked into the store before any of this.
    db.execute("insert into t select generate_series(1, 5)");
    assert_eq!(numbers(&first, 5), [1, 2, 3, 4, 5]);
    receiver.wait("a post", |attempts| !attempts.is_empty());
    first.stop_clean();
    receiver.rule(|_| None);
    receiver.release();
    second.stderr().wait_line(0, "the slot is ours now");
    db.execute("insert into t values (6)");
    receiver.wait("the sixth post", |attempts| {
        attempts.iter().any(|attempt| attempt.taken && number(&attempt.event()) == 6)
    });
    assert_eq!(numbers(&second, 1), [6], "what the first had delivered came again");
    let mut posted: Vec<i64> = receiver.accepted().iter().map(|post| number(&post.event())).collect();
    posted.sort_unstable();
    posted.dedup();
    assert_eq!(posted, [1, 2, 3, 4, 5, 6]);
    db.wait_confirmed(db.name());
    second.stop_clean();
    // Both have written to the store in turn; the third reads the last word of it.
    let third = second_desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (7)");
    assert_eq!(numbers(&third, 1), [7]);
    third.stop_clean();
}

#[test]
fn a_wait_that_is_limited_ends_with_the_readers_name() {
    let (db, first_desk, second_desk) = (database("limited"), Desk::new(), Desk::new());
    let first = first_desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    let holder = reader(&db).unwrap();
    let config =
        format!("all_tables: true, persistent_slot: true, slot_name: {}, slot_wait: \"0\"", db.name());
    let exit = second_desk.run(&Manifest::wal_of(&db.url(), &config).stdout()).wait();
    exit.assert_refused(&[db.name(), &format!("PID {holder}"), "slot_wait"]);
    assert_eq!(reader(&db), Some(holder), "the first lost its connection");
    db.execute("insert into t values (1)");
    assert_eq!(numbers(&first, 1), [1]);
    first.stop_clean();
}

#[test]
fn a_state_directory_in_use_is_refused_with_the_pid() {
    let (db, desk) = (database("state"), Desk::new());
    let first = desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    let pid = format!("PID {}", first.pid());
    desk.start(&["run", "pgcdc.yaml"], &[]).wait().assert_refused(&["state directory", &pid, "--standby"]);
    db.execute("insert into t values (1)");
    assert_eq!(numbers(&first, 1), [1]);
    first.stop_clean();
}

#[test]
fn a_standby_waits_for_the_state_directory_and_takes_over_from_a_crash() {
    let (db, desk) = (database("standby"), Desk::new());
    let first = desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    let start = || {
        let standby = desk.start(&["run", "pgcdc.yaml", "--standby"], &[]);
        let line = standby.stderr().wait_line(0, "standby: another pgcdc uses the state directory");
        assert!(line.contains(&first.pid().to_string()), "{line}");
        standby
    };
    let (told_to_stop, second) = (start(), start());
    assert_eq!(told_to_stop.stop_clean().stdout, [""; 0]);
    db.execute("insert into t values (1)");
    assert_eq!(numbers(&first, 1), [1]);
    db.wait_confirmed(db.name());
    first.kill();
    second.stderr().wait_line(0, "standby: the state directory is ours now");
    db.wait_streaming();
    db.execute("insert into t values (2)");
    assert_eq!(numbers(&second, 1), [2]);
    second.stop_clean();
}
