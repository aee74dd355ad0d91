//! A database that does not let pgcdc do its work: refused with the reason and the way out where waiting
//! cannot help, retried where it can.

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Exit;

fn run(url: &str, config: &str) -> Exit {
    Desk::new().run(&Manifest::wal_of(url, config).stdout()).wait()
}

fn number(event: &pgcdc_tests::support::event::Event) -> i64 {
    event.column("n").and_then(Exact::integer).unwrap()
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let db = Database::create("password");
    let url = db.cluster().url_as("postgres", "wrong-guess", db.name());
    let exit = run(&url, "all_tables: true");
    exit.assert_refused(&["password authentication failed", "postgres"]);
    assert!(!exit.stderr.contains("wrong-guess"), "{}", exit.stderr);
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let db = Database::create("present");
    run(&db.cluster().url("absent"), "all_tables: true").assert_refused(&["absent"]);
}

#[test]
fn a_role_without_replication_is_told_the_grant() {
    let db = Database::create("norepl");
    db.execute(
        "create role reader login password 'x'; grant all on database norepl_0 to reader"
            .replace("norepl_0", db.name())
            .as_str(),
    );
    db.execute("create publication p for all tables");
    let url = db.cluster().url_as("reader", "x", db.name());
    run(&url, "publication: p").assert_refused(&["REPLICATION", "reader"]);
}

#[test]
fn another_wal_level_is_refused_with_the_setting() {
    let cluster = Cluster::start(Settings::default().with("wal_level", "replica"));
    let db = Database::create_in(cluster, "level");
    run(&db.url(), "all_tables: true").assert_refused(&["wal_level", "logical"]);
}

#[test]
fn a_publication_that_is_not_there_is_named() {
    let db = Database::create("nopub");
    run(&db.url(), "publication: nowhere").assert_refused(&["publication", "nowhere"]);
}

#[test]
fn no_publication_at_all_is_refused_with_the_way_out() {
    let db = Database::create("which");
    run(&db.url(), "tx_metadata: false").assert_refused(&["publication", "all_tables"]);
}

#[test]
fn a_slot_in_use_is_waited_for_and_never_taken() {
    let db = Database::create("busy");
    db.execute("create table t (n int primary key)");
    let (first_desk, second_desk) = (Desk::new(), Desk::new());
    let first = first_desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    let second = second_desk.run(&Manifest::persistent(&db).stdout());
    let complaint = second.stderr().wait_line(0, "active");
    assert!(complaint.contains(db.name()), "{complaint}");
    db.execute("insert into t values (1)");
    assert_eq!(number(&first.events(1)[0]), 1);
    first.stop_clean();
    db.wait_streaming();
    db.execute("insert into t values (2)");
    second.event("the second row", |event| number(event) == 2);
    second.stop_clean();
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let db = Database::alone("away");
    db.execute("create table t (n int primary key)");
    let desk = Desk::new();
    let pgcdc = desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    db.execute("insert into t values (1)");
    assert_eq!(number(&pgcdc.events(1)[0]), 1);
    db.cluster().kill();
    db.cluster().start_again();
    db.execute("insert into t values (2)");
    pgcdc.event("the row after the crash", |event| number(event) == 2);
    db.cluster().stop();
    db.cluster().start_again();
    db.execute("insert into t values (3)");
    pgcdc.event("the row after the stop", |event| number(event) == 3);
    pgcdc.stop_clean();
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let desk = Desk::new();
    let url = format!("postgres://postgres:x@127.0.0.1:{}/d", free_port());
    let pgcdc = desk.run(&Manifest::wal_of(&url, "all_tables: true").stdout());
    let complaint = pgcdc.stderr().wait_line(0, "refused");
    assert!(complaint.contains("127.0.0.1"), "{complaint}");
    pgcdc.stop_clean();
}

#[test]
fn a_walsender_cut_off_within_a_transaction_loses_nothing() {
    let db = Database::create("cut");
    db.execute("create table t (n int primary key)");
    let desk = Desk::new();
    let pgcdc = desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    let cut = "select pg_terminate_backend(active_pid)::text from pg_replication_slots where slot_name = ";
    for round in 0..3 {
        let mut client = db.connect();
        let mut transaction = client.transaction().unwrap();
        let sql = format!(
            "insert into t select n from generate_series({}, {}) n",
            round * 1000 + 1,
            round * 1000 + 1000
        );
        transaction.batch_execute(&sql).unwrap();
        assert_eq!(db.text(&format!("{cut}'{}'", db.name())).as_deref(), Some("true"));
        transaction.commit().unwrap();
        db.wait_streaming();
    }
    let events = pgcdc.stdout().wait(0, "3000 rows", |lines| {
        let ids: std::collections::BTreeSet<&str> = lines.iter().filter_map(|line| line.get(..48)).collect();
        (ids.len() >= 3000).then(|| lines.to_vec())
    });
    let mut seen = std::collections::HashSet::new();
    let events = pgcdc_tests::support::event::Event::parse_all(&events);
    let firsts: Vec<i64> = events.iter().filter(|event| seen.insert(event.id.as_str())).map(number).collect();
    assert_eq!(firsts, (1..=3000).collect::<Vec<_>>());
    pgcdc.stop_clean();
}

#[test]
fn a_slot_dropped_meanwhile_halts_instead_of_skipping() {
    let db = Database::create("dropped");
    db.execute("create table t (n int primary key)");
    let desk = Desk::new();
    let pgcdc = desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    db.execute("insert into t values (1)");
    assert_eq!(pgcdc.events(1).len(), 1);
    pgcdc.stop_clean();
    db.execute(&format!("select pg_drop_replication_slot('{}')", db.name()));
    db.execute("insert into t values (2)");
    let exit = desk.run(&Manifest::persistent(&db).stdout()).wait();
    exit.assert_refused(&["slot", db.name()]);
    assert_eq!(exit.stdout, [""; 0]);
}
