//! A stop: what is under way is delivered, the position is stored, the exit code is 0; and nothing that hangs, waits or is
//! away keeps the process from ending. A second signal ends it at once, and nothing is lost by that.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
use pgcdc_tests::support::receiver::{Fault, Receiver};

const TABLE: &str = "create table t (id int primary key)";
const FILE: &str = "{ use: file, config: { path: ./log.jsonl } }";

fn ids(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.column("id").and_then(Exact::integer).unwrap()).collect()
}

fn file(desk: &Desk) -> Vec<Event> {
    Event::parse_all(&desk.read("log.jsonl").lines().collect::<Vec<_>>())
}

fn hook(receiver: &Receiver) -> String {
    format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", receiver.url())
}

/// It ended in order.
#[track_caller]
fn assert_clean(exit: &Exit) {
    assert_eq!(exit.code(), Some(0), "an orderly stop ends with 0; stderr:\n{}", exit.stderr);
    assert!(!exit.stderr.contains("panicked at"), "{}", exit.stderr);
}

#[test]
fn under_load_nothing_is_lost_and_nothing_repeated() {
    let (db, desk) = (Database::create("stop_load"), Desk::new());
    db.execute(TABLE);
    let url = db.url();
    let manifest = Manifest::persistent(&db).sink("log", FILE);
    let mut pgcdc = desk.run(&manifest);
    db.wait_streaming();
    let writer = std::thread::spawn(move || {
        let mut client = pgcdc_tests::support::database::connect(&url);
        for n in 0..1_000_i64 {
            let (first, last) = (n * 10 + 1, n * 10 + 10);
            client.batch_execute(&format!("insert into t select generate_series({first}, {last})")).unwrap();
        }
    });
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let before = file(&desk).len();
        poll::until("the file to grow", || (file(&desk).len() > before + 100).then_some(()));
        pgcdc.signal(signal);
        assert_clean(&pgcdc.wait());
        pgcdc = desk.run(&manifest);
        db.wait_streaming();
    }
    writer.join().unwrap();
    poll::until("all of it", || (file(&desk).len() >= 10_000).then_some(()));
    pgcdc.stop_clean();
    assert_eq!(ids(&file(&desk)), (1..=10_000).collect::<Vec<_>>());
}

#[test]
fn a_sink_that_hangs_stops_neither_the_others_nor_the_end() {
    let (db, desk, receiver) = (Database::create("stop_hung"), Desk::new(), Receiver::start());
    db.execute(TABLE);
    receiver.rule(|_| Some(Fault::Hold));
    let manifest = Manifest::persistent(&db).sink("hook", &hook(&receiver)).sink("log", FILE);
    let address = format!("127.0.0.1:{}", free_port());
    let pgcdc =
        desk.run(&manifest.clone().line(&format!("shutdown_timeout: 1s\nmetrics_addr: \"{address}\"")));
    db.wait_streaming();
    db.execute("insert into t select generate_series(1, 10)");
    receiver.wait_accepted(1);
    poll::until("everything to be received", || {
        let (_, metrics) = http::get(&address, "/metrics").ok()?;
        metrics.lines().any(|line| line == "pgcdc_events_received_total 10").then_some(())
    });
    let exit = pgcdc.stop();
    assert_clean(&exit);
    let told = exit.stderr.lines().find(|line| line.contains("not delivered") && line.contains("hook"));
    assert!(told.is_some_and(|line| line.contains("batches=")), "{}", exit.stderr);
    assert!(!exit.stderr.contains("sink=\"log\" batches"), "{}", exit.stderr);
    assert_eq!(ids(&file(&desk)), (1..=10).collect::<Vec<_>>());

    receiver.rule(|_| None);
    let tried = receiver.attempts().len();
    let pgcdc = desk.run(&manifest);
    receiver.wait_accepted(tried + 10);
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    assert_eq!(file(&desk).len(), 10, "the file's lane has had it all before");
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let (db, desk, receiver) = (Database::create("stop_twice"), Desk::new(), Receiver::start());
        db.execute(TABLE);
        receiver.rule(|_| Some(Fault::Hold));
        let manifest = Manifest::persistent(&db).sink("hook", &hook(&receiver)).line("shutdown_timeout: 10m");
        let pgcdc = desk.run(&manifest);
        db.wait_streaming();
        db.execute("insert into t values (1)");
        receiver.wait_accepted(1);
        pgcdc.signal(signal);
        pgcdc.stderr().wait_line(0, "stopping");
        pgcdc.signal(signal);
        let exit = pgcdc.wait();
        assert_eq!(exit.code(), Some(code), "{}", exit.stderr);
        receiver.rule(|_| None);
        let pgcdc = desk.run(&manifest);
        let again = receiver.wait_accepted(2);
        assert_eq!(again[0].event().id, again[1].event().id);
        db.wait_confirmed(db.name());
        pgcdc.stop_clean();
    }
}

#[test]
fn a_source_that_waits_for_its_database_stops() {
    let (db, desk) = (Database::alone("stop_source"), Desk::new());
    db.execute(TABLE);
    let pgcdc = desk.run(&Manifest::persistent(&db).sink("log", FILE));
    db.wait_streaming();
    db.execute("insert into t values (1)");
    poll::until("the row", || (file(&desk).len() == 1).then_some(()));
    db.cluster().stop();
    pgcdc.stderr().wait_line(0, "trying again");
    assert_clean(&pgcdc.stop());
    db.cluster().start_again();
    let pgcdc = desk.run(&Manifest::persistent(&db).sink("log", FILE));
    db.wait_streaming();
    db.execute("insert into t values (2)");
    poll::until("the second row", || (file(&desk).len() >= 2).then_some(()));
    pgcdc.stop_clean();
    assert_eq!(ids(&file(&desk)), [1, 2]);
}

#[test]
fn a_sink_that_was_told_to_come_back_in_ten_minutes_stops() {
    let (db, desk, receiver) = (Database::create("stop_backoff"), Desk::new(), Receiver::start());
    db.execute(TABLE);
    receiver.rule(|_| Some(Fault::RejectFor(503, 600)));
    let manifest = Manifest::persistent(&db).sink("hook", &hook(&receiver));
    let pgcdc = desk.run(&manifest.clone().line("shutdown_timeout: 1s"));
    db.wait_streaming();
    db.execute("insert into t values (1)");
    pgcdc.stderr().wait_line(0, "delivery failed");
    let exit = pgcdc.stop();
    assert_clean(&exit);
    assert!(exit.stderr.contains("not delivered"), "{}", exit.stderr);
    receiver.rule(|_| None);
    let pgcdc = desk.run(&manifest);
    receiver.wait_accepted(1);
    pgcdc.stop_clean();
}

#[test]
fn a_dead_letter_queue_that_fails_does_not_hold_the_stop() {
    let (db, desk, receiver) = (Database::create("stop_dlq"), Desk::new(), Receiver::start());
    db.execute(TABLE);
    receiver.rule(|_| Some(Fault::Reject(400)));
    let address = format!("127.0.0.1:{}", free_port());
    let manifest = Manifest::persistent(&db)
        .sink("hook", &hook(&receiver))
        .line(&format!("metrics_addr: \"{address}\"\nshutdown_timeout: 1s"));
    desk.write("pgcdc.yaml", manifest.text());
    // Its dead letters go where nothing fits.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command: Command = Pgcdc::command(desk.folder(), &[]);
    let mut pgcdc =
        command.args(["run", "pgcdc.yaml"]).stdout(Stdio::null()).stderr(Stdio::from(full)).spawn().unwrap();
    db.wait_streaming();
    db.execute("insert into t values (1)");
    poll::until("the dead-letter queue to fail", || {
        let (_, metrics) = http::get(&address, "/metrics").ok()?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("pgcdc_dlq_errors_total "))?;
        (line != "0").then_some(())
    });
    kill(Pid::from_raw(i32::try_from(pgcdc.id()).unwrap()), Signal::SIGTERM).unwrap();
    let status = poll::until("its end", || pgcdc.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    // The letter was not kept, so the row is not done.
    let pgcdc = desk.run(&manifest);
    pgcdc.stderr().wait_line(0, "\"adapter\":\"hook\"");
    pgcdc.stop_clean();
}

#[test]
fn what_a_sink_holds_is_flushed_before_the_end() {
    let Some(component) = guest("sink", "what_a_sink_holds_is_flushed") else { return };
    let (db, desk, receiver) = (Database::create("stop_held"), Desk::new(), Receiver::start());
    db.execute(TABLE);
    desk.write("guest.wasm", std::fs::read(component).unwrap());
    let flow = format!("{{ use: ./guest.wasm, config: {{ url: \"{}\", mode: holds }} }}", receiver.url());
    let manifest = Manifest::persistent(&db).stdout().sink("guest", &flow);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t select generate_series(1, 9)");
    assert_eq!(pgcdc.events(9).len(), 9);
    pgcdc.stop_clean();
    let lines: usize =
        receiver.accepted().iter().map(|post| String::from_utf8_lossy(&post.body).lines().count()).sum();
    assert_eq!(lines, 9);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (10)");
    assert_eq!(ids(&pgcdc.events(1)), [10], "what was flushed and stored comes again");
    pgcdc.stop_clean();
}

#[test]
fn while_it_starts_a_hangup_is_kept_for_later_and_a_stop_ends_it() {
    // A server that takes the connection and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let desk = Desk::new();
    let url = format!("postgres://u:p@{}/d", silent.local_addr().unwrap());
    let pgcdc = desk.run(&Manifest::wal_of(&url, "all_tables: true").sink("log", FILE));
    let _connection = silent.accept().unwrap();
    pgcdc.signal(Signal::SIGHUP);
    assert_clean(&pgcdc.stop());
}
