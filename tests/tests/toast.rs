//! Values that an update does not touch and the server does not send: filled in from memory if that is true, else named.

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;

const DOCS: &str = "create table docs (id int primary key, title text, body text);
    alter table docs alter body set storage external";

/// In a server in which nothing else goes on: whenever the server describes a table again, for its statistics or because
/// others made many changes of their own, the memory of that table is gone.
fn quiet(name: &str) -> Database {
    Database::create_in(Cluster::start(Settings::default().with("autovacuum", "off")), name)
}

fn manifest(db: &Database, options: &str) -> Manifest {
    Manifest::wal_of(&db.url(), &format!("all_tables: true, toast_cache: true{options}")).stdout()
}

/// The letter that the body is made of; none if it was not sent and is not known.
fn letter(event: &Event) -> Option<char> {
    let missing = event.payload.get("_unchanged_toast_columns").is_some();
    let body = event.column("body").and_then(Exact::text);
    assert_eq!(body.is_none(), missing, "{}", event.payload);
    body.map(|body| {
        assert_eq!(body.len(), 20_001);
        body.chars().next().unwrap()
    })
}

/// A body that does not compress, so that it is out of line whatever its column's storage is.
fn body(letter: char) -> String {
    format!("(select '{letter}' || string_agg(md5(n::text), '') from generate_series(1, 625) n)")
}

fn insert(db: &Database, table: &str, id: i32, letter: char) {
    db.execute(&format!("insert into {table} values ({id}, 'new', {})", body(letter)));
}

fn touch(db: &Database, table: &str, id: i32) {
    db.execute(&format!("update {table} set title = title || '.' where id = {id}"));
}

#[test]
fn what_was_seen_is_filled_in_and_what_may_have_changed_is_not() {
    let (db, desk) = (quiet("toast_cache"), Desk::new());
    db.execute(DOCS);
    insert(&db, "docs", 1, 'a');
    let address = format!("127.0.0.1:{}", free_port());
    let pgcdc = desk.run(&manifest(&db, "").line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    touch(&db, "docs", 1);
    insert(&db, "docs", 2, 'b');
    touch(&db, "docs", 2);
    touch(&db, "docs", 1);
    db.execute("update docs set id = 3 where id = 2");
    db.execute(&format!("update docs set body = {} where id = 1", body('c')));
    touch(&db, "docs", 1);
    touch(&db, "docs", 3);
    let events = pgcdc.events(8);
    let seen: Vec<Option<char>> = events.iter().map(letter).collect();
    let (b, c) = (Some('b'), Some('c'));
    assert_eq!(seen, [None, b, b, None, b, c, c, b]);
    poll::until("the counters", || {
        let (_, metrics) = http::get(&address, "/metrics").ok()?;
        let sample = |name: &str, value: u32| {
            metrics.contains(&format!("pgcdc_toast_cache_{name}{{detector=\"source\"}} {value}\n"))
        };
        (sample("hits_total", 4) && sample("misses_total", 2) && sample("entries", 2)).then_some(())
    });
    // The rewrite changes values that no event has told.
    db.execute("alter table docs alter body type text using upper(body)");
    touch(&db, "docs", 1);
    db.execute("delete from docs where id = 1");
    insert(&db, "docs", 1, 'd');
    touch(&db, "docs", 1);
    let events = pgcdc.events(12);
    assert_eq!(letter(&events[8]), None);
    assert_eq!(letter(&events[11]), Some('d'));
    pgcdc.stop_clean();
}

#[test]
fn a_new_connection_starts_with_nothing() {
    let (db, desk) = (quiet("toast_again"), Desk::new());
    db.execute(DOCS);
    let slot = db.name();
    let pgcdc = desk.run(&manifest(&db, &format!(", persistent_slot: true, slot_name: {slot}")));
    db.wait_streaming();
    insert(&db, "docs", 1, 'a');
    touch(&db, "docs", 1);
    assert_eq!(letter(&pgcdc.events(2)[1]), Some('a'));
    db.wait_confirmed(slot);
    db.execute("select pg_terminate_backend(active_pid) from pg_replication_slots where active");
    db.wait_streaming();
    touch(&db, "docs", 1);
    assert_eq!(letter(&pgcdc.events(3)[2]), None);
    pgcdc.stop_clean();
}

#[test]
fn a_partition_that_is_exchanged_is_not_taken_for_the_one_before() {
    let (db, desk) = (quiet("toast_parts"), Desk::new());
    for name in ["one", "two"] {
        db.execute(&format!(
            "create table {name} (id int primary key, title text, body text); alter table {name} alter body set storage external"
        ));
    }
    db.execute("create table docs (id int primary key, title text, body text) partition by range (id)");
    db.execute("create publication p for table docs with (publish_via_partition_root = true)");
    insert(&db, "two", 1, 'b');
    db.execute("alter table docs attach partition one for values from (0) to (10)");
    let config = "publication: p, toast_cache: true";
    let pgcdc = desk.run(&Manifest::wal_of(&db.url(), config).stdout());
    db.wait_streaming();
    insert(&db, "docs", 1, 'a');
    touch(&db, "docs", 1);
    db.execute("alter table docs detach partition one");
    db.execute("alter table docs attach partition two for values from (0) to (10)");
    touch(&db, "docs", 1);
    let events = pgcdc.events(3);
    let seen: Vec<Option<char>> = events.iter().map(letter).collect();
    assert_eq!(seen, [Some('a'), Some('a'), None]);
    pgcdc.stop_clean();
}

#[test]
fn where_it_could_not_be_right_it_is_refused() {
    let (db, desk) = (Database::create("toast_refused"), Desk::new());
    db.execute("create publication updates for all tables with (publish = 'update')");
    let config = "publication: updates, toast_cache: true";
    let exit = desk.run(&Manifest::wal_of(&db.url(), config).stdout()).wait();
    exit.assert_refused(&["toast_cache", "does not publish insert", "ALTER PUBLICATION"]);
    let exit = desk.run(&manifest(&db, ", origin: none")).wait();
    exit.assert_refused(&["toast_cache", "origin: none"]);
}
