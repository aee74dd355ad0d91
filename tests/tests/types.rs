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
