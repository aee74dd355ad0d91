//! A standby takes over: with a slot that it keeps a copy of nothing is lost and nobody is needed; without, pgcdc halts and
//! says why, and never skips.

use std::collections::BTreeSet;
use std::sync::Arc;

use pgcdc_tests::support::cluster::{Cluster, PASSWORD, Settings};
use pgcdc_tests::support::database::connect;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::peers;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::postgres::binaries_from;

const DATABASE: &str = "postgres";
const SLOT: &str = "pgcdc_over";

fn execute(cluster: &Cluster, sql: &str) {
    connect(&cluster.url(DATABASE)).batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

fn text(cluster: &Cluster, sql: &str) -> Option<String> {
    connect(&cluster.url(DATABASE)).query_opt(sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}"))?.get(0)
}

/// Both servers; pgcdc reads the one that takes writes.
fn manifest(one: &Cluster, other: &Cluster, more: &str) -> Manifest {
    let password = PASSWORD.replace(' ', "%20");
    let url = format!(
        "postgres://postgres:{password}@127.0.0.1:{},127.0.0.1:{}/{DATABASE}?target_session_attrs=read-write",
        one.port(),
        other.port()
    );
    Manifest::wal_of(&url, &format!("publication: p, persistent_slot: true, slot_name: {SLOT}{more}"))
        .stdout()
}

fn insert(cluster: &Cluster, from: i64, to: i64) {
    for n in from..=to {
        execute(cluster, &format!("insert into t values ({n})"));
    }
}

fn number(event: &Event) -> i64 {
    event.column("n").and_then(Exact::integer).unwrap()
}

fn wait_confirmed(cluster: &Cluster) {
    let goal = text(cluster, "select pg_current_wal_flush_lsn()::text").unwrap();
    let sql = format!(
        "select 'yes' from pg_replication_slots where slot_name = '{SLOT}' and confirmed_flush_lsn >= '{goal}'"
    );
    poll::until("everything to be confirmed", || text(cluster, &sql));
}

/// Until the standby has replayed all that the primary has written by now.
fn wait_replayed(primary: &Cluster, standby: &Cluster) {
    let goal = text(primary, "select pg_current_wal_flush_lsn()::text").unwrap();
    let sql = format!("select 'yes' where pg_last_wal_replay_lsn() >= '{goal}'");
    poll::until("the standby to follow", || text(standby, &sql));
}

fn prepare() -> (Arc<Cluster>, Arc<Cluster>) {
    let primary = Cluster::start(Settings::default());
    execute(&primary, "create table t (n int primary key); create publication p for table t");
    let standby = Cluster::standby_of(&primary, Settings::default());
    (primary, standby)
}

#[test]
fn a_standby_that_took_over_without_the_slot_halts() {
    let ((primary, standby), desk) = (prepare(), Desk::new());
    let pgcdc = desk.run(&manifest(&primary, &standby, ""));
    poll::until("the slot", || {
        text(
            &primary,
            &format!("select 'yes' from pg_replication_slots where slot_name = '{SLOT}' and active"),
        )
    });
    insert(&primary, 1, 5);
    assert_eq!(pgcdc.events(5).len(), 5);
    wait_confirmed(&primary);
    wait_replayed(&primary, &standby);
    primary.stop();
    standby.promote();
    insert(&standby, 6, 6);
    let exit = pgcdc.wait();
    exit.assert_refused(&["slot_missing", SLOT, "copy the tables anew"]);
    assert_eq!(exit.stdout.len(), 5, "{:?}", exit.stdout);
}

#[test]
fn a_standby_that_never_had_what_was_delivered_halts_though_it_has_a_slot() {
    let ((primary, standby), desk) = (prepare(), Desk::new());
    let pgcdc = desk.run(&manifest(&primary, &standby, ""));
    insert(&primary, 1, 5);
    let read = |events: &[String]| (events.len() >= 5).then_some(());
    poll::until("the slot", || {
        text(
            &primary,
            &format!("select 'yes' from pg_replication_slots where slot_name = '{SLOT}' and active"),
        )
    });
    insert(&primary, 6, 10);
    pgcdc.stdout().wait(0, "rows", read);
    wait_replayed(&primary, &standby);
    standby.stop();
    // What comes now is delivered, and the standby has never heard of it.
    insert(&primary, 11, 15);
    pgcdc.event("the last row", |event| number(event) == 15);
    wait_confirmed(&primary);
    pgcdc.stop_clean();
    primary.kill();
    standby.start_again();
    standby.promote();
    execute(&standby, &format!("select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"));
    insert(&standby, 100, 200);
    let exit = desk.run(&manifest(&primary, &standby, "")).wait();
    exit.assert_refused(&["timeline_changed", "what was delivered reaches to"]);
    assert_eq!(exit.stdout, [""; 0]);
}

#[test]
fn a_planned_promotion_loses_nothing_and_needs_no_hand() {
    let bin = match binaries_from(17) {
        Ok(bin) => bin,
        Err(why) => return peers::skipped("a planned promotion with a failover slot", &why),
    };
    let desk = Desk::new();
    let primary = Cluster::start_of(bin, Settings::default());
    execute(&primary, "create table t (n int primary key); create publication p for table t");
    let following =
        Settings::default().with("sync_replication_slots", "on").with("hot_standby_feedback", "on");
    let standby = Cluster::standby_of(&primary, following);
    execute(&primary, "alter system set synchronized_standby_slots = 'standby'");
    execute(&primary, "select pg_reload_conf()");
    let pgcdc = desk.run(&manifest(&primary, &standby, ", failover: true"));
    poll::until("the slot", || {
        text(
            &primary,
            &format!(
                "select 'yes' from pg_replication_slots where slot_name = '{SLOT}' and active and failover"
            ),
        )
    });
    insert(&primary, 1, 50);
    assert_eq!(pgcdc.events(50).len(), 50);
    let mut n = 50;
    poll::until("the standby's copy of the slot", || {
        n += 1;
        insert(&primary, n, n);
        execute(&primary, "select pg_log_standby_snapshot()");
        text(
            &standby,
            &format!(
                "select 'yes' from pg_replication_slots where slot_name = '{SLOT}' and synced and not temporary"
            ),
        )
    });
    primary.stop();
    standby.promote();
    insert(&standby, n + 1, n + 50);
    let last = n + 50;
    pgcdc.event("the last row", |event| number(event) == last);
    insert(&standby, last + 1, last + 1);
    pgcdc.event("a row more", |event| number(event) == last + 1);
    let exit = pgcdc.stop_clean();
    let events = Event::parse_all(&exit.stdout);
    let mut seen = BTreeSet::new();
    let firsts: Vec<i64> = events.iter().filter(|event| seen.insert(event.id.clone())).map(number).collect();
    assert_eq!(firsts, (1..=last + 1).collect::<Vec<_>>());
    // And it goes on there after a restart, too.
    let again = desk.run(&manifest(&primary, &standby, ", failover: true"));
    insert(&standby, last + 2, last + 2);
    again.event("the row after the restart", |event| number(event) == last + 2);
    again.stop_clean();
}
