//! Checkpoints in a PostgreSQL: they outlive pgcdc and the server that keeps them, and two writers cannot both win.

use pgcdc_tests::support::audit::{Order, audit};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::fold::assert_none;
use pgcdc_tests::support::kills::{self, Victim};
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::writers::{TABLES, Writers};

fn checkpoint(state: &str) -> String {
    format!("checkpoint: {{ use: postgres, config: {{ db: \"{state}\" }} }}")
}

fn numbers(lines: &[String]) -> Vec<i64> {
    let number = |event: &Event| event.column("n").and_then(Exact::integer).unwrap();
    Event::parse_all(lines).iter().map(number).collect()
}

/// A state database, and a source database with a table `t (n)`.
fn databases(name: &str) -> (Database, Database) {
    let (state, db) = (Database::create(&format!("{name}_state")), Database::create(name));
    db.execute("create table t (n int primary key)");
    (state, db)
}

fn start_and_stop(desk: &Desk, db: &Database, manifest: &Manifest) {
    let pgcdc = desk.run(manifest);
    db.wait_streaming();
    db.execute("insert into t select count(*) + 1000 from t");
    assert_eq!(pgcdc.events(1).len(), 1);
    pgcdc.stop_clean();
}

#[test]
fn positions_survive_a_restart_on_another_machine() {
    let (state, db) = databases("moves");
    let manifest = Manifest::persistent(&db).stdout().line(&checkpoint(&state.url()));
    let desks = [Desk::new(), Desk::new()];
    let pgcdc = desks[0].run(&manifest);
    db.wait_streaming();
    db.execute("insert into t select generate_series(1, 50)");
    assert_eq!(pgcdc.events(50).len(), 50);
    pgcdc.stop_clean();
    db.execute("insert into t values (51)");
    let pgcdc = desks[1].run(&manifest);
    let _ = pgcdc.events(1);
    assert_eq!(numbers(&pgcdc.stop_clean().stdout), [51]);
    let stored = state.text("select version::text from pgcdc_state where key = 'source/source'").unwrap();
    assert!(stored.parse::<u32>().unwrap() >= 2, "{stored}");
}

#[test]
fn of_two_that_start_at_once_one_wins_and_the_other_says_why_it_stops() {
    let state = Database::create("duel_state");
    let sources = [Database::create("duel_a"), Database::create("duel_b")];
    let manifest = |db: &Database| Manifest::persistent(db).stdout().line(&checkpoint(&state.url()));
    let desks = [Desk::new(), Desk::new()];
    // The table is there, and nothing can be written to it for now.
    desks[0].write("pgcdc.yaml", manifest(&sources[0]).text());
    let sql = desks[0].start(&["init", "--state"], &[]).wait();
    assert_eq!(sql.code(), Some(0), "{}", sql.stderr);
    state.execute(&sql.stdout.join("\n"));
    let mut referee = state.connect();
    let mut held = referee.transaction().unwrap();
    held.batch_execute("lock table pgcdc_state in share mode").unwrap();

    for db in &sources {
        db.execute("create table t (n int primary key)");
    }
    let mut running: Vec<_> =
        sources.iter().zip(&desks).map(|(db, desk)| (db, desk.run(&manifest(db)))).collect();
    for (db, pgcdc) in &running {
        db.wait_streaming();
        db.execute("insert into t values (1)");
        assert_eq!(pgcdc.events(1).len(), 1);
    }
    let waiting = "select 'both' from pg_locks where relation = 'pgcdc_state'::regclass and not granted \
                   having count(*) = 2";
    poll::until("both to write their first checkpoint", || state.text(waiting));
    held.rollback().unwrap();

    let says = |pgcdc: &pgcdc_tests::support::pgcdc::Pgcdc| {
        pgcdc.stderr().lines().iter().any(|line| line.contains("was written by somebody else"))
    };
    let loser = poll::until("one of them to stop", || running.iter().position(|(_, pgcdc)| says(pgcdc)));
    let (lost_db, loser) = running.remove(loser);
    loser.wait().assert_refused(&["source/source", "was written by somebody else", "stop the other pgcdc"]);
    let (won_db, winner) = running.remove(0);
    won_db.execute("insert into t values (2)");
    assert_eq!(numbers(&winner.stdout().lines()[..1]), [1]);
    assert_eq!(winner.events(2).len(), 2);
    poll::until("the winner's next checkpoint", || {
        state.text("select 'there' from pgcdc_state where version >= 2")
    });
    winner.stop_clean();
    let unconfirmed = "select 'yes' from pg_replication_slots where slot_name = $$NAME$$ \
                       and confirmed_flush_lsn < pg_current_wal_flush_lsn()";
    assert!(lost_db.text(&unconfirmed.replace("NAME", lost_db.name())).is_some());
}

#[test]
fn a_checkpoint_that_somebody_else_wrote_ends_the_run() {
    let ((state, db), desk) = (databases("usurped"), Desk::new());
    let pgcdc = desk.run(&Manifest::persistent(&db).stdout().line(&checkpoint(&state.url())));
    db.wait_streaming();
    db.execute("insert into t values (1)");
    assert_eq!(pgcdc.events(1).len(), 1);
    poll::until("a checkpoint", || state.text("select key from pgcdc_state"));
    state.execute("update pgcdc_state set version = version + 1, value = value || '\\x20'");
    db.execute("insert into t values (2)");
    pgcdc.wait().assert_refused(&["was written by somebody else"]);
}

#[test]
fn nothing_is_lost_when_the_state_and_pgcdc_are_killed() {
    let (state, db, desk) = (Database::alone("killed_state"), Database::create("killed"), Desk::new());
    db.execute(TABLES);
    let manifest = Manifest::persistent(&db).stdout().line(&checkpoint(&state.url()));
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    let writers = Writers::start(&db.url(), 2, 200);
    let (pgcdc, mut stdout, done) =
        kills::in_turns((&desk, &manifest), pgcdc, writers, (4, 80), |kill| match kill % 2 {
            1 => Victim::Server(state.cluster()),
            _ => Victim::Pgcdc,
        });
    db.wait_confirmed(db.name());
    stdout.extend(pgcdc.stop_clean().stdout);
    let report = audit(&Event::parse_all(&stdout), &done, &db.rows("ledger"), Order::Total);
    assert_none("stdout", &report.anomalies);
}

#[test]
fn a_commit_waits_for_the_device_whatever_the_role_says() {
    let (state, db) = databases("lazy");
    state.execute(&format!(
        "create role lazy_{0} login password 'x'; alter role lazy_{0} set synchronous_commit = off; \
         grant all on schema public to lazy_{0}; \
         create function refuse_lazy() returns trigger language plpgsql as \
         $$begin if current_setting('synchronous_commit') <> 'on' then raise 'lazy'; end if; return new; end$$",
        state.name()
    ));
    let url = state.cluster().url_as(&format!("lazy_{}", state.name()), "x", state.name());
    let manifest = Manifest::persistent(&db).stdout().line(&checkpoint(&url));
    let desk = Desk::new();
    start_and_stop(&desk, &db, &manifest);
    state.execute(
        "create trigger t before insert or update on pgcdc_state for each row execute function refuse_lazy()",
    );
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    assert_eq!(pgcdc.events(1).len(), 1);
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
}

#[test]
fn a_role_that_may_not_make_tables_is_told_what_somebody_else_is_to_run() {
    let (state, db) = databases("poor");
    let role = format!("poor_{}", state.name());
    state.execute(&format!(
        "create role {role} login password 'x'; revoke create on schema public from public"
    ));
    let url = state.cluster().url_as(&role, "x", state.name());
    let (desk, manifest) = (Desk::new(), Manifest::persistent(&db).stdout().line(&checkpoint(&url)));
    desk.run(&manifest).wait().assert_refused(&["pgcdc_state", "permission denied", "pgcdc init --state"]);
    let unready = desk.start(&["run", "pgcdc.yaml", "--skip-migrations"], &[]).wait();
    unready.assert_refused(&["pgcdc_state", "is not there as it should be"]);
    let sql = desk.start(&["init", "--state"], &[]).wait();
    assert_eq!(sql.code(), Some(0), "{}", sql.stderr);
    let sql = sql.stdout.join("\n");
    state.execute(&sql);
    // Running it again is harmless.
    state.execute(&sql);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    assert_eq!(pgcdc.events(1).len(), 1);
    pgcdc.stop_clean();
}

#[test]
fn a_migration_runs_once_and_a_table_may_have_any_name() {
    let (state, db) = databases("named");
    state.execute("create schema own");
    let line = format!(
        "checkpoint: {{ use: postgres, config: {{ db: \"{}\", table: 'own.The \"State\"' }} }}",
        state.url()
    );
    let manifest = Manifest::persistent(&db).stdout().line(&line);
    let desk = Desk::new();
    start_and_stop(&desk, &db, &manifest);
    let first = state.text("select applied_at::text from pgcdc_migrations where version = 1");
    start_and_stop(&desk, &db, &manifest);
    assert_eq!(state.text("select applied_at::text from pgcdc_migrations where version = 1"), first);
    assert!(state.text("select relation from pgcdc_migrations").unwrap().contains("The \"State\""));
    assert!(state.text("select key from own.\"The \"\"State\"\"\"").is_some());
}
