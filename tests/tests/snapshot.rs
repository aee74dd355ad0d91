//! `pgcdc snapshot`: the rows that tables hold, to any sink, and an exit code that says whether all of them are there.

use std::collections::{BTreeSet, HashSet};

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Exit;
use pgcdc_tests::support::samples::{ODD_SETTINGS, Table, create_tables, fill};

fn snapshot(desk: &Desk, db: &Database, arguments: &[&str]) -> Exit {
    let url = db.url();
    let mut all = vec!["snapshot", "--db", &url];
    all.extend_from_slice(arguments);
    desk.start(&all, &[]).wait()
}

fn done(exit: &Exit) -> Vec<Event> {
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    Event::parse_all(&exit.stdout)
}

fn ids(events: &[Event]) -> BTreeSet<i64> {
    events.iter().filter_map(|event| event.column("id").and_then(Exact::integer)).collect()
}

#[test]
fn a_row_is_what_the_server_and_the_wal_make_of_it_for_every_type() {
    let (db, desk) = (Database::create("snapshot_types"), Desk::new());
    db.execute(&ODD_SETTINGS.replace("{db}", db.name()));
    let mut client = db.connect();
    let tables = create_tables(&mut client);
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    tables.iter().for_each(|table| fill(&mut client, table));
    client
        .batch_execute("create table the_end (id int primary key); insert into the_end values (1)")
        .unwrap();
    let last = |lines: &[String]| lines.iter().any(|line| line.contains("the_end")).then(|| lines.to_vec());
    let streamed = Event::parse_all(&pgcdc.stdout().wait(0, "the last event", last));
    pgcdc.stop_clean();

    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let read = done(&snapshot(&desk, &db, &["--table", &names.join(",")]));
    let row = |event: &Event| (event.table().map(str::to_owned), event.row().to_string());
    let streamed: HashSet<_> =
        streamed.iter().filter(|event| event.table() != Some("the_end")).map(row).collect();
    let seen: HashSet<_> = read.iter().map(row).collect();
    assert_eq!(read.len(), streamed.len());
    let differ: Vec<_> = seen.symmetric_difference(&streamed).take(10).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    for Table { kind, name, .. } in &tables {
        let truth: BTreeSet<String> = db.rows(name).iter().map(ToString::to_string).collect();
        let seen = read.iter().filter(|event| event.table() == Some(name));
        let seen: BTreeSet<String> = seen.map(|event| event.row().to_string()).collect();
        assert_eq!(seen, truth, "{kind}");
    }
}

#[test]
fn every_row_goes_to_every_sink_once_and_it_ends_by_itself() {
    let (db, desk) = (Database::create("snapshot_all"), Desk::new());
    db.execute(
        "create schema shop;
         create table shop.\"Orders\" (note text, id bigint primary key);
         insert into shop.\"Orders\" select repeat('x', i % 50), i from generate_series(1, 100000) i;
         create table log (id bigint, line text);
         insert into log select i, E'tab\\tand\\\\line\\n' from generate_series(1, 5000) i",
    );
    let arguments = ["--table", "shop.Orders,log", "--adapter", "stdout,file", "--file-path", "rows.jsonl"];
    let exit = snapshot(&desk, &db, &arguments);
    let events = done(&exit);
    assert_eq!(events.len(), 105_000);
    let (orders, log): (Vec<Event>, Vec<Event>) =
        events.into_iter().partition(|event| event.channel == "pgcdc:shop.Orders");
    assert_eq!(ids(&orders), (1..=100_000).collect());
    assert_eq!(ids(&log), (1..=5_000).collect());
    assert_eq!(log[0].channel, "pgcdc:log");
    assert_eq!(log[0].column("line").and_then(Exact::text), Some("tab\tand\\line\n"));
    let all = orders.iter().chain(&log);
    assert!(all.clone().all(|event| event.operation == "SNAPSHOT"));
    assert_eq!(all.clone().map(|event| &event.id).collect::<HashSet<_>>().len(), 105_000);
    let text = |key: &str| orders[0].envelope.get(key).and_then(Exact::text).map(str::to_owned);
    assert_eq!(text("source").as_deref(), Some("snapshot"));
    let payload = orders[0].payload.to_string();
    assert_eq!(payload, r#"{"old":null,"op":"SNAPSHOT","row":{"id":1,"note":"x"},"table":"Orders"}"#);
    let positions: Vec<_> = orders.iter().filter_map(|e| e.envelope.get("position")?.text()).collect();
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "positions ascend");
    assert_eq!(desk.read("rows.jsonl").lines().count(), 105_000);
    let left = std::fs::read_dir(desk.path("state/pgcdc")).unwrap();
    let left = left
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("snapshot-"));
    assert_eq!(left.count(), 0, "nothing is left behind");
}

#[test]
fn where_transforms_and_partitions_hold() {
    let (db, desk) = (Database::create("snapshot_where"), Desk::new());
    db.execute(
        "create table parts (id int, note text, primary key (id)) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (100);
         create table parts_2 partition of parts for values from (100) to (200);
         insert into parts select i, 'n' from generate_series(0, 199) i;
         create table base (id int primary key, twice int generated always as (id * 2) stored);
         create table child () inherits (base);
         insert into base values (1); insert into child values (2);
         create view odd as select * from parts where id % 2 = 1",
    );
    let events = done(&snapshot(
        &desk,
        &db,
        &["--table", "parts", "--where", "id >= 90 and id < 110 -- why", "--drop-columns", "note"],
    ));
    assert_eq!(ids(&events), (90..110).collect());
    assert!(events.iter().all(|event| event.column("note").is_none()));
    assert!(events.iter().all(|event| event.channel == "pgcdc:parts"));
    assert_eq!(ids(&done(&snapshot(&desk, &db, &["--table", "odd"]))).len(), 100);
    let base = done(&snapshot(&desk, &db, &["--table", "base"]));
    assert_eq!(base[0].row().to_string(), r#"{"id":1}"#, "no generated column, as in the WAL");
    assert_eq!(base.len(), 1, "what inherits is a table of its own");
    assert!(done(&snapshot(&desk, &db, &["--table", "parts", "--where", "false"])).is_empty());
}

#[test]
fn the_sinks_of_a_running_pgcdc_serve() {
    let (db, desk) = (Database::create("snapshot_config"), Desk::new());
    db.execute("create table t (id int primary key, secret text); insert into t values (1, 'x'), (2, 'y')");
    let manifest = Manifest::persistent(&db)
        .transform("{ use: drop_columns, config: { columns: [ secret ] } }")
        .sink("log", "{ use: file, config: { path: ./events.jsonl } }")
        .stdout();
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    let exit =
        desk.start(&["snapshot", "--config", "pgcdc.yaml", "--table", "t", "--adapter", "out"], &[]).wait();
    let events = done(&exit);
    assert_eq!(ids(&events), [1, 2].into());
    assert!(events.iter().all(|event| event.column("secret").is_none()));
    pgcdc.stop_clean();
}

#[test]
fn whatever_is_not_delivered_ends_with_one() {
    let (db, desk) = (Database::create("snapshot_bad"), Desk::new());
    db.execute(
        "create table t (id int primary key, note text);
         insert into t values (1, 'short'), (2, repeat('long', 5000)), (3, 'short');
         create table hidden (id int primary key); insert into hidden values (1), (2);
         alter table hidden enable row level security;
         create policy part on hidden using (id = 1);
         do $$ begin create role snapshot_reader login password 'x'; exception when duplicate_object then null; end $$;
         grant select on hidden to snapshot_reader",
    );
    snapshot(&desk, &db, &["--table", "nowhere.t"])
        .assert_refused(&["there is no table nowhere.t", "schema.table"]);
    snapshot(&desk, &db, &["--table", "a.b.c"]).assert_refused(&["more than two parts"]);
    snapshot(&desk, &db, &[]).assert_refused(&["tables"]);
    snapshot(&desk, &db, &["--table", "t", "--where", "nonsense"]).assert_refused(&["nonsense"]);
    snapshot(&desk, &db, &["--table", "t", "--adapter", "nothing"]).assert_refused(&["--adapter"]);
    let reader = db.cluster().url_as("snapshot_reader", "x", db.name());
    let exit = desk.start(&["snapshot", "--db", &reader, "--table", "hidden"], &[]).wait();
    exit.assert_refused(&["row-level security"]);
    assert!(exit.stdout.is_empty());

    let manifest = format!(
        "version: 1\nstate_dir: ./state\ndetectors:\n  s: {{ use: snapshot, config: {{ db: \"{}\", tables: [ t ], max_event_bytes: 2KiB }} }}\nsinks:\n  out: {{ use: stdout }}\ndlq: {{ use: stderr }}\n",
        db.url()
    );
    let exit = desk.run_text(&manifest, &[]).wait();
    assert_eq!(ids(&Event::parse_all(&exit.stdout)), [1, 3].into());
    assert!(exit.stderr.contains("max_event_bytes is 2048"), "{}", exit.stderr);
    assert_eq!(exit.code(), Some(0), "in a manifest a dead letter is a dead letter: {}", exit.stderr);

    let refuse = |line: &str| format!("{}\n{line}\n", manifest.replace("max_event_bytes: 2KiB", ""));
    desk.write(
        "refuse.yaml",
        refuse("").replace(
            "{ use: stdout }",
            "{ use: webhook, config: { url: \"http://127.0.0.1:1/\" }, policy: { retries: 0 } }",
        ),
    );
    let exit = desk.start(&["snapshot", "--config", "refuse.yaml", "--table", "t"], &[]).wait();
    exit.assert_refused(&["3 deliveries were refused", "dead letters"]);
}
