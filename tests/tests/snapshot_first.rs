//! `snapshot_first`: the rows that are there, then every change since, with nothing in between and nothing that is older than what
//! was before it; whatever is killed, altered or stopped meanwhile.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::fold::assert_none;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::versions::{Changer, judge};

const ROWS: u32 = 60_000;

fn manifest(db: &Database, policy: &str) -> Manifest {
    let slot = db.name();
    Manifest::wal_of(
        &db.url(),
        &format!("all_tables: true, persistent_slot: true, slot_name: {slot}, snapshot_first: true"),
    )
    .sink(
        "log",
        &format!("{{ use: file, config: {{ path: ./events.jsonl, max_size: 0 }}, policy: {{ {policy} }} }}"),
    )
    // Little is on its way, so that a sink that is slow on purpose sets the pace of the reading.
    .line("bus: { buffer_bytes: 1MiB }")
    .line("shutdown_timeout: 30s")
}

fn events(desk: &Desk) -> Vec<Event> {
    Event::parse_all(&desk.read("events.jsonl").lines().collect::<Vec<_>>())
}

fn size(desk: &Desk) -> u64 {
    std::fs::metadata(desk.path("events.jsonl")).map_or(0, |file| file.len())
}

fn wait_size(desk: &Desk, bytes: u64) {
    poll::until(&format!("{bytes} bytes of events"), || (size(desk) >= bytes).then_some(()));
}

fn rows_read(events: &[Event], table: &str) -> usize {
    events.iter().filter(|event| event.operation == "SNAPSHOT" && event.table() == Some(table)).count()
}

#[test]
fn rows_come_first_and_changes_after_them_without_gap_or_ghost() {
    let (db, desk) = (Database::alone("first"), Desk::new());
    Changer::prepare(&db, "t", ROWS);
    let changer = Changer::start(&db, "t", ROWS);
    let pgcdc = desk.run(&manifest(&db, ""));
    pgcdc.stderr().wait_line(0, "snapshot read");
    wait_size(&desk, 1);
    assert!(changer.finish() > 0);
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let events = events(&desk);
    assert_none("file", &judge("t", &events, &db.rows("t")));
    let first_change = events.iter().position(|event| event.operation != "SNAPSHOT").unwrap();
    let last_row = events.iter().rposition(|event| event.operation == "SNAPSHOT").unwrap();
    assert!(last_row < first_change, "the slot is new: rows come before all changes");
    let before = events.len();
    let pgcdc = desk.run(&manifest(&db, ""));
    db.wait_streaming();
    db.execute("insert into t values (-1, -1, 'after')");
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    assert_eq!(self::events(&desk).len(), before + 1, "what is done is not done again");
}

#[test]
fn killed_in_the_middle_it_goes_on_in_a_new_snapshot_without_gap_or_ghost() {
    let (db, desk) = (Database::alone("first_kill"), Desk::new());
    Changer::prepare(&db, "t", ROWS);
    db.execute("create table keyless (id bigint, version bigint); insert into keyless select i, i from generate_series(1, 3000) i");
    let changer = Changer::start(&db, "t", ROWS);
    // The sink sets the pace, so that every kill finds rows that are not read.
    let manifest = manifest(&db, "rate_limit: 15000");
    let mut pgcdc = desk.run(&manifest);
    for _ in 1..=3 {
        wait_size(&desk, size(&desk) + 1_500_000);
        pgcdc.kill();
        pgcdc = desk.run(&manifest);
    }
    pgcdc.stderr().wait_line(0, "snapshot read");
    assert!(pgcdc.stderr().text().contains("are read in a new snapshot"), "{}", pgcdc.stderr().text());
    assert!(changer.finish() > 0);
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let events = events(&desk);
    assert_none("file", &judge("t", &events, &db.rows("t")));
    assert_none("file", &judge("keyless", &events, &db.rows("keyless")));
    let read = rows_read(&events, "t");
    assert!(read < 2 * ROWS as usize, "{read} rows were read: every start has begun anew");
}

#[test]
fn a_clean_stop_repeats_nothing_and_keys_go_on_digit_for_digit() {
    let (db, desk) = (Database::alone("first_stop"), Desk::new());
    db.execute(
        "create table a (id int primary key); insert into a select generate_series(1, 1000);
         create table b (big bigint, u uuid, note text, primary key (u, big));
         insert into b select 9007199254740992 + i, md5(i::text)::uuid, E'it''s \\\\ ' || i from generate_series(1, 40000) i",
    );
    let manifest = manifest(&db, "rate_limit: 8000");
    for _ in 1..=2 {
        let before = size(&desk);
        let pgcdc = desk.run(&manifest);
        wait_size(&desk, before + 1_000_000);
        pgcdc.stop_clean();
    }
    let pgcdc = desk.run(&manifest);
    pgcdc.stderr().wait_line(0, "snapshot read");
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let events = events(&desk);
    assert_eq!((rows_read(&events, "a"), rows_read(&events, "b")), (1_000, 40_000));
    let text = |row: &Exact| row.to_string();
    let mut seen: Vec<String> =
        events.iter().filter(|event| event.table() == Some("b")).map(|event| text(event.row())).collect();
    let mut truth: Vec<String> = db.rows("b").iter().map(text).collect();
    seen.sort();
    truth.sort();
    assert!(seen == truth, "the rows of b are not what the server has");
}

#[test]
fn a_slot_that_is_there_already_is_no_error() {
    let (db, desk) = (Database::alone("first_slot"), Desk::new());
    Changer::prepare(&db, "t", 5_000);
    db.execute("create publication \"all\" for all tables");
    db.execute(&format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", db.name()));
    db.execute("update t set note = 'early' where id <= 100; delete from t where id = 7");
    let changer = Changer::start(&db, "t", 5_000);
    let pgcdc = desk.run(&manifest(&db, ""));
    pgcdc.stderr().wait_line(0, "snapshot read");
    changer.finish();
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let slots = db.text("select string_agg(slot_name, ',') from pg_replication_slots");
    assert_eq!(slots.as_deref(), Some(db.name()), "the slot in passing is gone");
    let events = events(&desk);
    assert_none("file", &judge("t", &events, &db.rows("t")));
    assert_eq!(events[0].operation, "UPDATE", "what the slot has kept comes before the rows");
}

#[test]
fn tables_that_are_altered_emptied_or_dropped_meanwhile_are_what_they_are_then() {
    let (db, desk) = (Database::alone("first_ddl"), Desk::new());
    Changer::prepare(&db, "a", 30_000);
    for table in ["b_altered", "c_emptied", "d_dropped"] {
        Changer::prepare(&db, table, 2_000);
    }
    let manifest = manifest(&db, "rate_limit: 8000");
    let pgcdc = desk.run(&manifest);
    wait_size(&desk, 1_000_000);
    db.execute(
        "alter table b_altered alter version type numeric using version + 0.5;
         truncate c_emptied; insert into c_emptied values (1, 1, 'only');
         drop table d_dropped; create table d_dropped (id bigint primary key, version bigint, note text);
         insert into d_dropped values (5, 5, 'new')",
    );
    pgcdc.stderr().wait_line(0, "snapshot read");
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let events = events(&desk);
    for table in ["a", "b_altered", "c_emptied", "d_dropped"] {
        assert_none(table, &judge(table, &events, &db.rows(table)));
    }
    assert_eq!(rows_read(&events, "a"), 30_000, "what was read once is not read again");
}
