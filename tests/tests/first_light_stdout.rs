//! Changes of a table arrive on standard output as envelopes, in order, with the right payloads.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;

const ITEMS: &str = "create table items (id int primary key, name text, note text)";

fn payload(json: &str) -> Exact {
    Exact::parse(json).unwrap()
}

fn operations(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.operation.as_str()).collect()
}

#[test]
fn insert_update_delete_and_truncate_arrive_in_order() {
    let (db, desk) = (Database::create("first_light"), Desk::new());
    db.execute(ITEMS);
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    db.execute("insert into items values (1, 'a', null), (2, 'n\u{e4}ive \"x\" </script>', 'b')");
    db.execute("update items set name = 'c' where id = 1");
    db.execute("update items set id = 3 where id = 1");
    db.execute("delete from items where id = 2");
    db.execute("truncate items");
    let events = pgcdc.events(6);
    assert_eq!(operations(&events), ["INSERT", "INSERT", "UPDATE", "UPDATE", "DELETE", "TRUNCATE"]);
    let payloads: Vec<&Exact> = events.iter().map(|event| &event.payload).collect();
    let expected = [
        r#"{"op":"INSERT","table":"items","row":{"id":1,"name":"a","note":null},"old":null}"#,
        r#"{"op":"INSERT","table":"items","row":{"id":2,"name":"näive \"x\" </script>","note":"b"},"old":null}"#,
        r#"{"op":"UPDATE","table":"items","row":{"id":1,"name":"c","note":null},"old":null}"#,
        r#"{"op":"UPDATE","table":"items","row":{"id":3,"name":"c","note":null},"old":{"id":1,"name":null,"note":null}}"#,
        r#"{"op":"DELETE","table":"items","row":{"id":2,"name":null,"note":null},"old":null}"#,
        r#"{"op":"TRUNCATE","table":"items","row":null,"old":null}"#,
    ];
    assert_eq!(payloads, expected.map(payload).iter().collect::<Vec<_>>());
    for event in &events {
        assert_eq!(event.channel, "pgcdc:items");
        assert_eq!(event.envelope.get("source").and_then(Exact::text), Some("wal_replication"));
        assert_eq!(event.id.len(), 36);
        assert_eq!(event.id.as_bytes()[14], b'7', "{} is no UUID of version 7", event.id);
        assert!(event.envelope.get("position").is_some(), "no position: {}", event.envelope);
    }
    pgcdc.stop_clean();
}

#[test]
fn listen_with_flags_is_the_same_pipeline() {
    let (db, desk) = (Database::create("listen"), Desk::new());
    db.execute(ITEMS);
    let url = db.url();
    let flags = ["listen", "--db", &url, "--detector", "wal", "--all-tables", "--adapter", "stdout"];
    let pgcdc = desk.start(&flags, &[]);
    db.wait_streaming();
    db.execute("insert into items values (1, 'a', 'b')");
    let [event] = pgcdc.events(1).try_into().unwrap();
    assert_eq!(event.row(), &payload(r#"{"id":1,"name":"a","note":"b"}"#));
    pgcdc.stop_clean();
}

#[test]
fn an_update_with_full_identity_tells_the_row_before() {
    let (db, desk) = (Database::create("identity"), Desk::new());
    db.execute(&format!("{ITEMS}; alter table items replica identity full"));
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    db.execute("insert into items values (1, 'a', null); update items set note = 'n'; delete from items");
    let events = pgcdc.events(3);
    assert_eq!(events[1].old(), &payload(r#"{"id":1,"name":"a","note":null}"#));
    assert_eq!(events[1].row(), &payload(r#"{"id":1,"name":"a","note":"n"}"#));
    assert_eq!(events[2].row(), &payload(r#"{"id":1,"name":"a","note":"n"}"#));
    pgcdc.stop_clean();
}

#[test]
fn another_schema_shows_in_the_channel() {
    let (db, desk) = (Database::create("schemas"), Desk::new());
    db.execute("create schema shop; create table shop.\"Odd Name\" (\"Id\" int primary key)");
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    db.execute("insert into shop.\"Odd Name\" values (1)");
    let [event] = pgcdc.events(1).try_into().unwrap();
    assert_eq!(event.channel, "pgcdc:shop.Odd Name");
    assert_eq!(event.table(), Some("Odd Name"));
    pgcdc.stop_clean();
}

#[test]
fn a_value_that_the_server_did_not_send_is_named() {
    let (db, desk) = (Database::create("toast"), Desk::new());
    db.execute("create table docs (id int primary key, title text, body text)");
    db.execute("alter table docs alter body set storage external");
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    db.execute("insert into docs values (1, 'a', repeat('long ', 4000))");
    db.execute("update docs set title = 'b'");
    let events = pgcdc.events(2);
    assert_eq!(events[0].column("body").and_then(Exact::text).map(str::len), Some(20_000));
    assert_eq!(events[1].payload.get("_unchanged_toast_columns"), Some(&payload(r#"["body"]"#)));
    pgcdc.stop_clean();
}

#[test]
fn rolled_back_work_never_arrives() {
    let (db, desk) = (Database::create("rollback"), Desk::new());
    db.execute(ITEMS);
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    db.execute("begin; insert into items values (1, 'no', null); rollback");
    db.execute("begin; savepoint s; insert into items values (2, 'no', null); rollback to s; insert into items values (3, 'yes', null); commit");
    let [event] = pgcdc.events(1).try_into().unwrap();
    assert_eq!(event.column("id").and_then(Exact::integer), Some(3));
    assert_eq!(pgcdc.stop_clean().stdout.len(), 1);
}
