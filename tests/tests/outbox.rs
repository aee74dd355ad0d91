//! An outbox table: every row delivered in order, gone only when every sink has it, again with its id after whatever was
//! killed, read by one pgcdc at a time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Fault, Receiver};

/// A database with the table that `pgcdc init` prints.
fn prepare(name: &str, desk: &Desk, flags: &[&str]) -> Database {
    with_table(Database::create(name), desk, flags)
}

fn with_table(db: Database, desk: &Desk, flags: &[&str]) -> Database {
    let init = desk.start(&[&["init", "--adapter", "outbox"][..], flags].concat(), &[]).wait();
    assert_eq!(init.code(), Some(0), "{}", init.stderr);
    let sql = init.stdout.join("\n");
    db.execute(&sql);
    // What was printed can be run again.
    db.execute(&sql);
    db
}

fn outbox(db: &Database, config: &str) -> Manifest {
    let pace = "poll_interval: 20ms";
    Manifest::of(&format!("{{ use: outbox, config: {{ db: \"{}\", {pace}, {config} }} }}", db.url()))
}

/// Rows `from..=to`, each with the key of its number modulo ten.
fn insert(db: &Database, from: u32, to: u32) {
    db.execute(&format!(
        "insert into pgcdc_outbox (channel, operation, key, payload) \
         select 'orders', 'paid', (n % 10)::text, json_build_object('n', n, 'k', n % 10) from generate_series({from}, {to}) n"
    ));
}

#[track_caller]
fn wait_left(db: &Database, wanted: i64) {
    let sql =
        format!("select 'so many' from pgcdc_outbox where processed_at is null having count(*) = {wanted}");
    poll::until(&format!("{wanted} rows in the outbox"), || db.text(&sql));
}

fn number(event: &Event, name: &str) -> i64 {
    event.payload.get(name).and_then(Exact::integer).unwrap()
}

/// The first time that each row came, by key.
fn firsts(events: &[Event]) -> BTreeMap<i64, Vec<i64>> {
    let mut seen = HashSet::new();
    let mut keys: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for event in events.iter().filter(|event| seen.insert(event.id.clone())) {
        keys.entry(number(event, "k")).or_default().push(number(event, "n"));
    }
    keys
}

#[track_caller]
fn assert_in_order(events: &[Event], rows: usize) {
    let keys = firsts(events);
    assert_eq!(keys.values().map(Vec::len).sum::<usize>(), rows);
    for (key, numbers) in keys {
        assert!(numbers.is_sorted(), "key {key}: {numbers:?}");
    }
}

fn ids(db: &Database) -> BTreeSet<String> {
    let rows = db.connect().query("select id::text from pgcdc_outbox", &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn rows_are_delivered_in_order_with_their_ids_and_leave_the_table() {
    let desk = Desk::new();
    let db = prepare("outbox", &desk, &[]);
    // One transaction, and far more than one statement reads.
    insert(&db, 1, 250);
    let expected = ids(&db);
    let pgcdc = desk.run(&outbox(&db, "batch_size: 20").stdout());
    let events = pgcdc.events(250);
    let numbers: Vec<i64> = events.iter().map(|event| number(event, "n")).collect();
    assert_eq!(numbers, (1..=250).collect::<Vec<i64>>());
    assert_eq!(events.iter().map(|event| event.id.clone()).collect::<BTreeSet<_>>(), expected);
    for event in &events {
        assert_eq!((event.channel.as_str(), event.operation.as_str()), ("orders", "paid"));
        assert_eq!(event.envelope.get("source").and_then(Exact::text), Some("outbox"));
    }
    wait_left(&db, 0);
    let exit = pgcdc.stop_clean();
    assert_eq!(exit.stdout.len(), 250, "nothing comes twice");
}

#[test]
fn a_row_stays_until_every_sink_has_it_and_what_they_all_have_does_not_wait_for_it() {
    let (desk, receiver) = (Desk::new(), Receiver::start());
    let db = prepare("outbox_stays", &desk, &[]);
    receiver.rule(|_| Some(Fault::Hold));
    let hook = format!(
        "{{ use: webhook, routes: [ orders ], config: {{ url: \"{}\", timeout: 50s }}, policy: {{ timeout: 55s }} }}",
        receiver.url()
    );
    let pgcdc = desk.run(&outbox(&db, "batch_size: 10").stdout().sink("hook", &hook));
    insert(&db, 1, 1);
    let _ = pgcdc.events(1);
    receiver.wait("the held row", |deliveries| deliveries.len() == 1);
    // Batches behind the held one, of which the webhook wants nothing.
    for n in 2..=4 {
        db.execute(&format!(
            "insert into pgcdc_outbox (channel, payload) values ('other', '{{\"n\": {n}, \"k\": 0}}')"
        ));
        let _ = pgcdc.events(n);
    }
    wait_left(&db, 1);
    assert_eq!(db.text("select payload ->> 'n' from pgcdc_outbox").as_deref(), Some("1"));
    receiver.release();
    wait_left(&db, 0);
    let exit = pgcdc.stop_clean();
    assert_eq!(exit.stdout.len(), 4, "nothing comes twice");
}

#[test]
fn whatever_is_killed_nothing_is_lost_and_what_comes_again_has_its_id() {
    const ROWS: u32 = 1200;
    let desk = Desk::new();
    let db = with_table(Database::alone("outbox_killed"), &desk, &[]);
    insert(&db, 1, ROWS);
    let expected = ids(&db);
    let (manifest, path) = (outbox(&db, "batch_size: 10"), "{ use: file, config: { path: ./events.jsonl } }");
    let manifest = manifest.sink("log", path);
    let arrived = || desk.read("events.jsonl").lines().count();
    let mut pgcdc = desk.run(&manifest);
    for kill in 1..=4 {
        poll::until("some more rows", || (arrived() >= kill * 150).then_some(()));
        if kill == 3 {
            let server = Arc::clone(db.cluster());
            server.kill();
            server.start_again();
        } else {
            pgcdc.kill();
            pgcdc = desk.run(&manifest);
        }
    }
    wait_left(&db, 0);
    pgcdc.stop_clean();
    let text = desk.read("events.jsonl");
    let events = Event::parse_all(&text.lines().collect::<Vec<_>>());
    assert_eq!(events.iter().map(|event| event.id.clone()).collect::<BTreeSet<_>>(), expected);
    assert_in_order(&events, ROWS as usize);
}

#[test]
fn a_second_reader_waits_for_the_first_and_takes_over() {
    let (one, two) = (Desk::new(), Desk::new());
    let db = prepare("outbox_two", &one, &[]);
    let manifest = outbox(&db, "batch_size: 10").stdout();
    let first = one.run(&manifest);
    insert(&db, 1, 1);
    let _ = first.events(1);
    wait_left(&db, 0);
    let second = two.run(&manifest);
    second.stderr().wait_line(0, "another pgcdc reads the outbox");
    insert(&db, 2, 2);
    assert_eq!(number(&first.events(2)[1], "n"), 2);
    wait_left(&db, 0);
    let first = first.kill();
    insert(&db, 3, 3);
    assert_eq!(number(&second.events(1)[0], "n"), 3);
    wait_left(&db, 0);
    let second = second.stop_clean();
    assert_eq!((first.stdout.len(), second.stdout.len()), (2, 1));
}

#[test]
fn the_parts_of_a_table_have_one_reader_each() {
    let desks = [Desk::new(), Desk::new()];
    let db = prepare("outbox_parts", &desks[0], &[]);
    let manifest = outbox(&db, "batch_size: 10, partitions: 4, partitions_max: 2").stdout();
    let readers: Vec<Pgcdc> = desks
        .iter()
        .map(|desk| {
            let reader = desk.run(&manifest);
            reader.stderr().wait(0, "two parts", |lines| {
                lines
                    .iter()
                    .any(|line| line.contains("reads the outbox") && line.contains("parts=2"))
                    .then_some(())
            });
            reader
        })
        .collect();
    insert(&db, 1, 300);
    wait_left(&db, 0);
    let events: Vec<Vec<Event>> =
        readers.into_iter().map(|reader| Event::parse_all(&reader.stop_clean().stdout)).collect();
    let keys = |events: &[Event]| firsts(events).into_keys().collect::<BTreeSet<i64>>();
    assert!(keys(&events[0]).is_disjoint(&keys(&events[1])), "a key has one reader");
    assert!(events.iter().all(|events| !events.is_empty()));
    assert_eq!(events.iter().map(Vec::len).sum::<usize>(), 300, "nothing comes twice");
    let all: Vec<Event> = events.into_iter().flatten().collect();
    assert_in_order(&all, 300);
}

#[test]
fn a_row_that_is_kept_gets_a_time_and_does_not_come_again() {
    let desk = Desk::new();
    let db = prepare("outbox_kept", &desk, &["--table", "public.pgcdc_outbox"]);
    let manifest = outbox(&db, "keep_processed: true").stdout();
    let pgcdc = desk.run(&manifest);
    insert(&db, 1, 3);
    wait_left(&db, 0);
    pgcdc.stop_clean();
    assert_eq!(
        db.text("select 'kept' from pgcdc_outbox having count(processed_at) = 3").as_deref(),
        Some("kept")
    );
    insert(&db, 4, 4);
    let pgcdc = desk.run(&manifest);
    wait_left(&db, 0);
    let exit = pgcdc.stop_clean();
    let events = Event::parse_all(&exit.stdout);
    assert_eq!(events.iter().map(|event| number(event, "n")).collect::<Vec<_>>(), [4]);
}

#[test]
fn what_cannot_be_delivered_is_dead_lettered_once_and_the_rest_goes_on() {
    let (desk, receiver) = (Desk::new(), Receiver::start());
    let db = prepare("outbox_poison", &desk, &[]);
    receiver.rule(|delivery| (number(&delivery.event(), "n") == 2).then_some(Fault::Reject(400)));
    let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", receiver.url());
    insert(&db, 1, 2);
    let large = "insert into pgcdc_outbox (channel, payload) values ('orders', to_jsonb(repeat('x', 9000000))) returning id::text";
    let large = db.text(large).unwrap();
    insert(&db, 3, 3);
    let pgcdc = desk.run(&outbox(&db, "batch_size: 10").sink("hook", &hook));
    wait_left(&db, 0);
    let exit = pgcdc.stop_clean();
    let accepted: BTreeSet<i64> =
        receiver.accepted().iter().map(|taken| number(&taken.event(), "n")).collect();
    assert_eq!(accepted, BTreeSet::from([1, 3]));
    let letters: Vec<&str> =
        exit.stderr.lines().filter(|line| line.contains("\"adapter\":\"hook\"")).collect();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().any(|letter| letter.contains("400")), "{letters:?}");
    let refused = letters.iter().find(|letter| letter.contains(&large)).unwrap();
    assert!(refused.contains("9000002 bytes, more than 8388608"), "{refused}");
    assert!(refused.len() < 4096, "the payload itself is not in it");
}

#[test]
fn the_table_of_debezium_s_outbox_router_is_read_by_its_columns() {
    let desk = Desk::new();
    let db = prepare("outbox_debezium", &desk, &["--debezium"]);
    let id = "7a1c1b9e-32b5-4d4e-9d6f-0a5b6c7d8e9f";
    db.execute(&format!(
        "insert into outbox values ('{id}', 'order', '42', 'OrderPaid', '{{\"total\": 1.10}}')"
    ));
    let columns = "columns: { channel: aggregatetype, operation: type, key: aggregateid }";
    let config = format!("table: outbox, channel_prefix: outbox.event., {columns}");
    let pgcdc = desk.run(&outbox(&db, &config).stdout());
    let event = &pgcdc.events(1)[0];
    assert_eq!((event.id.as_str(), event.channel.as_str()), (id, "outbox.event.order"));
    assert_eq!(
        (event.operation.as_str(), event.payload.to_string().as_str()),
        ("OrderPaid", r#"{"total":1.10}"#)
    );
    poll::until("an empty table", || db.text("select 'empty' from outbox having count(*) = 0"));
    pgcdc.stop_clean();
}

#[test]
fn what_is_missing_is_said_before_anything_runs() {
    let (db, desk) = (Database::create("outbox_missing"), Desk::new());
    let url = db.url();
    let flags = ["listen", "--db", &url, "--detector", "outbox", "--outbox-table", "app.box"];
    desk.start(&flags, &[])
        .wait()
        .assert_refused(&["\"app\".\"box\"", "pgcdc init --adapter outbox --table app.box"]);
    db.execute("create table pgcdc_outbox (id int primary key, payload text)");
    let flags = ["listen", "--db", &url, "--detector", "outbox"];
    desk.start(&flags, &[]).wait().assert_refused(&["no column `channel`", "columns: { channel:"]);
    desk.start(&["init", "--adapter", "carrier-pigeon"], &[]).wait().assert_refused(&["unknown adapter"]);
}
