//! Changes as rows of another PostgreSQL: each once, whatever is killed; what a constraint refuses is dead-lettered alone.

use std::collections::HashSet;
use std::sync::Arc;

use pgcdc_tests::support::audit::{Order, audit};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::fold::assert_none;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::writers::{TABLES, Writers};

const POLICY: &str = "policy: { backoff: { base: 10ms, cap: 100ms } }";

fn sink(copy: &Database) -> String {
    format!("{{ use: pg_table, config: {{ url: \"{}\" }}, {POLICY} }}", copy.url())
}

fn count(copy: &Database, wanted: usize) {
    let sql = format!("select 'all' from pgcdc_events having count(*) = {wanted}");
    poll::until(&format!("{wanted} rows"), || copy.text(&sql));
}

/// A first start, which makes the table; from then on the rows are numbered as they come.
fn prepare(desk: &Desk, db: &Database, copy: &Database, manifest: &Manifest) {
    let pgcdc = desk.run(manifest);
    db.wait_streaming();
    pgcdc.stop_clean();
    copy.execute("alter table pgcdc_events add number bigserial");
}

/// The rows as the envelopes that they were, in the order in which they came.
fn events(copy: &Database) -> Vec<Event> {
    let sql = "select json_build_object('id', id, 'channel', channel, 'operation', operation, 'payload', payload, \
               'source', source, 'created_at', created_at)::text from pgcdc_events order by number";
    let rows = copy.connect().query(sql, &[]).unwrap();
    rows.iter().map(|row| Event::parse(row.get(0))).collect()
}

#[test]
fn an_event_is_one_row_with_everything_that_it_says() {
    let (copy, db) = (Database::create("rows_copy"), Database::create("rows"));
    db.execute("create table t (n int primary key, v numeric, note text)");
    let manifest = Manifest::wal(&db).stdout().sink("copy", &sink(&copy));
    let desk = Desk::new();
    prepare(&desk, &db, &copy, &manifest);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute(
        "insert into t values (1, 1.10, E'it''s \\\\ \"\\u00e9\"'); update t set v = 2; delete from t",
    );
    let printed = pgcdc.events(3);
    count(&copy, 3);
    for (row, printed) in events(&copy).iter().zip(&printed) {
        assert_eq!((&row.id, &row.operation), (&printed.id, &printed.operation));
        assert_eq!(row.row(), printed.row());
    }
    assert_eq!(copy.text("select distinct source from pgcdc_events").unwrap(), "wal_replication");
    pgcdc.stop_clean();
}

#[test]
fn whatever_is_killed_every_change_is_there_once() {
    let (copy, db, desk) = (Database::alone("kept_copy"), Database::create("kept"), Desk::new());
    db.execute(TABLES);
    let manifest = Manifest::persistent(&db).sink("copy", &sink(&copy));
    prepare(&desk, &db, &copy, &manifest);
    let mut pgcdc = desk.run(&manifest);
    db.wait_streaming();
    let writers = Writers::start(&db.url(), 2, 150);
    for kill in 1..=3 {
        writers.wait_committed(kill * 75);
        if kill == 2 {
            let server = Arc::clone(copy.cluster());
            server.kill();
            server.start_again();
        } else {
            pgcdc.kill();
            pgcdc = desk.run(&manifest);
        }
    }
    let done = writers.finish();
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let events = events(&copy);
    let ids: HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), events.len());
    let report = audit(&events, &done, &db.rows("ledger"), Order::Total);
    assert_none("the table", &report.anomalies);
}

#[test]
fn what_a_constraint_refuses_is_dead_lettered_and_the_rest_is_there() {
    let (copy, db, desk) = (Database::create("strict_copy"), Database::create("strict"), Desk::new());
    db.execute("create table t (n int primary key)");
    let manifest = Manifest::persistent(&db).sink("copy", &sink(&copy));
    prepare(&desk, &db, &copy, &manifest);
    copy.execute("alter table pgcdc_events add check ((payload -> 'row' ->> 'n')::int % 40 <> 7)");
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t select generate_series(1, 100)");
    count(&copy, 97);
    let lines = pgcdc.stderr().wait(0, "three letters", |lines| {
        let letters: Vec<String> =
            lines.iter().filter(|line| line.contains("\"adapter\":")).cloned().collect();
        (letters.len() == 3).then_some(letters)
    });
    let mut numbers: Vec<i64> = lines
        .iter()
        .map(|line| Event::parse(&Exact::parse(line).unwrap().get("event").unwrap().to_string()))
        .map(|event| event.column("n").and_then(Exact::integer).unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [7, 47, 87]);
    assert!(lines.iter().all(|line| line.contains("check constraint")), "{lines:?}");
    pgcdc.stop_clean();
}

#[test]
fn what_pgcdc_writes_into_the_database_that_it_reads_does_not_come_back() {
    let (db, desk) = (Database::create("mirror"), Desk::new());
    db.execute("create table t (n int primary key)");
    let manifest = Manifest::persistent(&db)
        .stdout()
        .sink("copy", &sink(&db))
        .line(&format!("dlq: {{ use: pg_table, config: {{ db: \"{}\" }} }}", db.url()))
        .line(&format!("checkpoint: {{ use: postgres, config: {{ db: \"{}\" }} }}", db.url()));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1), (2)");
    count(&db, 2);
    // Whatever came back would come before this, in the order of the WAL.
    db.execute("insert into t values (3)");
    count(&db, 3);
    let lines = pgcdc.stop_clean();
    let tables: HashSet<String> =
        Event::parse_all(&lines.stdout).iter().filter_map(|event| event.table().map(str::to_owned)).collect();
    assert_eq!((lines.stdout.len(), tables), (3, HashSet::from(["t".to_owned()])));
    assert!(lines.stderr.contains("own tables are left out"), "{}", lines.stderr);
}
