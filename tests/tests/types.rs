//! A row in an event is what `row_to_json` prints of it, for every type and its arrays, digit by digit.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::samples::{ODD_SETTINGS, Table, create_tables, fill};

fn id(row: &Exact) -> i64 {
    row.get("id").and_then(Exact::integer).unwrap()
}

/// Runs until `the_end` has been inserted by `fill`; all events before that.
fn events_of(
    db: &Database,
    manifest: &Manifest,
    fill: impl FnOnce(&mut postgres::Client),
) -> (Vec<Event>, String) {
    let desk = Desk::new();
    let pgcdc = desk.run(manifest);
    db.wait_streaming();
    let mut client = db.connect();
    fill(&mut client);
    client
        .batch_execute("create table the_end (id int primary key); insert into the_end values (1)")
        .unwrap();
    let last = |lines: &[String]| lines.iter().any(|line| line.contains("the_end")).then(|| lines.to_vec());
    let mut events = Event::parse_all(&pgcdc.stdout().wait(0, "the last event", last));
    events.retain(|event| event.table() != Some("the_end"));
    (events, pgcdc.stop_clean().stderr)
}

fn rows(events: &[Event]) -> Vec<Exact> {
    let mut rows: Vec<Exact> = events.iter().map(|event| event.row().clone()).collect();
    rows.sort_by_key(id);
    rows
}

fn truth(db: &Database, table: &str) -> Vec<Exact> {
    let mut rows = db.rows(table);
    rows.sort_by_key(id);
    rows
}

#[test]
fn a_number_keeps_all_of_its_digits_however_many_there_are() {
    let db = Database::create("digits");
    db.execute("create table t (id int primary key, n numeric)");
    let (events, _) = events_of(&db, &Manifest::wal(&db).stdout(), |client| {
        client
            .batch_execute(
                "insert into t values (1, (repeat('9', 131072) || '.' || repeat('7', 16383))::numeric),
                    (2, ('-0.' || repeat('0', 16382) || '1')::numeric)",
            )
            .unwrap();
    });
    assert_eq!(rows(&events), truth(&db, "t"));
}

#[test]
fn arrays_with_bounds_and_composites_and_many_dimensions_are_as_the_server_prints_them() {
    let db = Database::create("arrays");
    db.execute(
        "create type pair as (a int, b text); create domain numbers as int[]; create domain few as numbers;
         create table t (id int primary key, i int[], p pair[], n numbers, f few[], b box[], j jsonb[])",
    );
    let (events, _) = events_of(&db, &Manifest::wal(&db).stdout(), |client| {
        client
            .batch_execute(
                r#"insert into t values
                (1, '[0:1]={1,NULL}', array[row(1, 'a,"b"\'), null, row(null, '')]::pair[], '{1,2}', null, '{(2,2),(1,1);(4,4),(3,3)}', null),
                (2, '[-1:0][2:3]={{1,2},{3,4}}', '{}', '[5:6]={1,2}', '{"{1,NULL}",NULL}', '{}', array['{"a": [1]}'::jsonb, 'null', null]),
                (3, '{{{{{{1},{2}}}}}}', '{"(1,\"{x,y}\")"}', '{}', '{}', null, '{}')"#,
            )
            .unwrap();
    });
    assert_eq!(rows(&events), truth(&db, "t"));
}

#[test]
fn a_json_value_is_passed_on_as_it_was_written() {
    let (db, desk) = (Database::create("verbatim"), Desk::new());
    db.execute("create table t (id int primary key, v json)");
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    let value = r#"{"a":1.0E+2, "a" :  "\u0000 \ud800", "n":123456789012345678901234567890.10}"#;
    db.execute(&format!("insert into t values (1, '{value}')"));
    let line = pgcdc.stdout().wait(0, "the row", |lines| lines.first().cloned());
    assert!(line.contains(&format!(r#""row":{{"id":1,"v":{value}}}"#)), "{line}");
    pgcdc.stop_clean();
}

#[test]
fn types_may_change_while_rows_flow() {
    let db = Database::create("live_types");
    db.execute("create type mood as enum ('sad'); create table t (id int primary key, m mood, ms mood[])");
    let (events, _) = events_of(&db, &Manifest::wal(&db).stdout(), |client| {
        for step in [
            "insert into t values (1, 'sad', '{sad}')",
            "alter type mood add value 'so so' before 'sad'",
            "insert into t values (2, 'so so', '{sad,\"so so\",NULL}')",
            "alter type mood rename value 'sad' to 'blue'; insert into t values (3, 'blue', '{}')",
            "create domain positive as int check (value > 0); create type pair as (a positive, b mood[]);
             alter table t add p pair[]; insert into t values (4, null, null, array[row(1, '{blue}')]::pair[])",
            "alter table t alter ms type text using 'none', drop p; insert into t values (5, null, 'some')",
        ] {
            client.batch_execute(step).unwrap();
        }
    });
    let seen: Vec<String> = rows(&events).iter().map(Exact::to_string).collect();
    let expected = [
        r#"{"id":1,"m":"sad","ms":["sad"]}"#,
        r#"{"id":2,"m":"so so","ms":["sad","so so",null]}"#,
        r#"{"id":3,"m":"blue","ms":[]}"#,
        r#"{"id":4,"m":null,"ms":null,"p":[{"a":1,"b":["blue"]}]}"#,
        r#"{"id":5,"m":null,"ms":"some"}"#,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn text_in_another_encoding_is_converted_and_bytes_in_none_are_dead_lettered() {
    let latin = Database::encoded("latin", "LATIN1");
    latin.execute("create table t (id int primary key, \"größe\" text)");
    let (events, _) = events_of(&latin, &Manifest::wal(&latin).stdout(), |client| {
        client.batch_execute("insert into t values (1, 'déjà vu'), (2, E'\\xe9'), (3, '')").unwrap();
    });
    assert_eq!(rows(&events), truth(&latin, "t"));
    assert_eq!(rows(&events)[1].get("größe").and_then(Exact::text), Some("é"));

    let ascii = Database::encoded("ascii", "SQL_ASCII");
    ascii.execute("create table t (id int primary key, v text)");
    let (events, log) = events_of(&ascii, &Manifest::wal(&ascii).stdout(), |client| {
        client.batch_execute("insert into t values (1, 'plain'), (2, E'\\xff\\xfe'), (3, 'déjà')").unwrap();
    });
    let seen: Vec<Option<i64>> =
        events.iter().map(|event| event.column("id").and_then(Exact::integer)).collect();
    assert_eq!(seen, [Some(1), Some(3)]);
    assert_eq!(events[1].column("v").and_then(Exact::text), Some("déjà"));
    let letter = log
        .lines()
        .find(|line| line.contains("is not UTF-8"))
        .unwrap_or_else(|| panic!("no dead letter:\n{log}"));
    assert!(letter.contains(r#""id":"2""#), "{letter}");
}

#[test]
fn rows_are_what_the_server_itself_makes_of_them() {
    let (db, desk) = (Database::create("types"), Desk::new());
    db.execute(&ODD_SETTINGS.replace("{db}", db.name()));
    let mut client = db.connect();
    let tables = create_tables(&mut client);
    let pgcdc = desk.run(&Manifest::wal(&db).stdout());
    db.wait_streaming();
    for table in &tables {
        fill(&mut client, table);
    }
    client
        .batch_execute("create table the_end (id int primary key); insert into the_end values (1)")
        .unwrap();
    let last = |lines: &[String]| lines.iter().any(|line| line.contains("the_end")).then(|| lines.to_vec());
    let events = Event::parse_all(&pgcdc.stdout().wait(0, "the last event", last));
    pgcdc.stop_clean();

    let mut wrong = Vec::new();
    for Table { kind, name, .. } in &tables {
        let mut truth = db.rows(name);
        let mut seen: Vec<Exact> = events
            .iter()
            .filter(|event| event.table() == Some(name))
            .map(|event| event.row().clone())
            .collect();
        truth.sort_by_key(id);
        seen.sort_by_key(id);
        if seen.len() != truth.len() {
            wrong.push(format!("{kind}: {} rows instead of {}", seen.len(), truth.len()));
        }
        let differ = truth.iter().zip(&seen).filter(|(truth, seen)| truth != seen);
        wrong.extend(differ.map(|(truth, seen)| format!("{kind}:\n  event  {seen}\n  server {truth}")));
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}
