//! drop_columns takes a column away before any sink, or before one sink only, and never from the others.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;

const TABLE: &str = "create table t (id int primary key, note text, secret text); \
    alter table t replica identity full";
const CHANGES: &str = "insert into t values (1, 'n', 's'); update t set note = 'm'; delete from t";

fn columns(row: &Exact) -> Vec<String> {
    match row {
        Exact::Object(fields) => fields.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

#[test]
fn for_every_sink() {
    let (db, desk) = (Database::create("drop"), Desk::new());
    db.execute(TABLE);
    let drop = "{ use: drop_columns, config: { columns: [secret, missing] } }";
    let pgcdc = desk.run(&Manifest::wal(&db).transform(drop).stdout());
    db.wait_streaming();
    db.execute(CHANGES);
    let events = pgcdc.events(3);
    for event in &events {
        assert_eq!(columns(event.row()), ["id", "note"]);
    }
    assert_eq!(columns(events[1].old()), ["id", "note"]);
    assert_eq!(events[1].column("note").and_then(Exact::text), Some("m"));
    pgcdc.stop_clean();
}

#[test]
fn for_one_sink_only() {
    let (db, desk) = (Database::create("drop_one"), Desk::new());
    db.execute(TABLE);
    let drop = "[ { use: drop_columns, config: { columns: [secret] } } ]";
    let log = format!("{{ use: file, transforms: {drop}, config: {{ path: ./log.jsonl }} }}");
    let pgcdc = desk.run(&Manifest::wal(&db).stdout().sink("log", &log));
    db.wait_streaming();
    db.execute(CHANGES);
    let whole = pgcdc.events(3);
    poll::until("the file", || (desk.read("log.jsonl").lines().count() == 3).then_some(()));
    pgcdc.stop_clean();
    let text = desk.read("log.jsonl");
    let less = Event::parse_all(&text.lines().collect::<Vec<_>>());
    for (whole, less) in whole.iter().zip(&less) {
        assert_eq!(columns(whole.row()), ["id", "note", "secret"]);
        assert_eq!(columns(less.row()), ["id", "note"]);
        assert_eq!(whole.id, less.id, "the same change has the same id at every sink");
    }
}

#[test]
fn by_flag() {
    let (db, desk) = (Database::create("drop_flag"), Desk::new());
    db.execute(TABLE);
    let url = db.url();
    let flags =
        ["listen", "--db", &url, "--detector", "wal", "--all-tables", "--drop-columns", "secret,note"];
    let pgcdc = desk.start(&flags, &[]);
    db.wait_streaming();
    db.execute("insert into t values (1, 'n', 's')");
    assert_eq!(columns(pgcdc.events(1)[0].row()), ["id"]);
    pgcdc.stop_clean();
}
