//! What the doctor makes of a server, without one.

use super::*;
use crate::wal::health::SlotView;
use crate::wal::health_facts::{Prepared, Writing};

fn seen(change: impl FnOnce(&mut Examined)) -> Examined {
    let settings = [
        ("wal_level", "logical"),
        ("max_replication_slots", "10"),
        ("max_wal_senders", "10"),
        ("max_slot_wal_keep_size", "51200"),
        ("wal_sender_timeout", "60000"),
    ];
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = ServerFacts {
        database: "shop".into(),
        user: "cdc".into(),
        sees_all: true,
        may_emit: true,
        settings: settings.collect(),
        ..ServerFacts::default()
    };
    let mut seen = Examined {
        place: "h:5432".into(),
        port: Some(5432),
        version: 17,
        server,
        replication: Ok(()),
        publication: None,
        unreadable: Vec::new(),
        slots: Vec::new(),
    };
    change(&mut seen);
    seen
}

/// Findings that are not ok.
fn troubles(seen: &Examined, wanted: &Wanted) -> Vec<(&'static str, Level)> {
    let all = judge(seen, wanted);
    for finding in &all {
        assert_eq!(finding.remedy.is_some(), finding.level != Level::Ok, "{finding:?}");
    }
    all.iter().filter(|one| one.level != Level::Ok).map(|one| (one.check, one.level)).collect()
}

fn set(seen: &mut Examined, name: &str, value: &str) {
    seen.server.settings.insert(name.into(), value.into());
}

#[test]
fn a_sound_server_has_nothing_to_say() {
    assert_eq!(troubles(&seen(|_| {}), &Wanted::default()), []);
}

#[test]
fn settings_that_hurt_are_named() {
    let of = |name: &str, value: &str| {
        troubles(
            &seen(|seen| set(seen, name, value)),
            &Wanted { application: "pgcdc".into(), ..Wanted::default() },
        )
    };
    assert_eq!(of("wal_level", "replica"), [("wal_level", Level::Problem)]);
    assert_eq!(of("max_slot_wal_keep_size", "-1"), [("max_slot_wal_keep_size", Level::Warning)]);
    assert_eq!(of("max_slot_wal_keep_size", "1"), [("max_slot_wal_keep_size", Level::Warning)]);
    assert_eq!(of("wal_sender_timeout", "1000"), [("wal_sender_timeout", Level::Warning)]);
    assert_eq!(of("wal_sender_timeout", "0"), []);
    assert_eq!(
        of("idle_replication_slot_timeout", "60"),
        [("idle_replication_slot_timeout", Level::Warning)]
    );
    for names in ["*", "ANY 1 (a, pgcdc)", "FIRST 2 (\"pgcdc\", b)", "PGCDC"] {
        assert_eq!(
            of("synchronous_standby_names", names),
            [("synchronous_standby_names", Level::Problem)],
            "{names}"
        );
    }
    assert_eq!(of("synchronous_standby_names", "ANY 1 (standby_a, pgcdc_standby)"), []);
}

#[test]
fn room_is_counted_unless_ours_is_among_it() {
    let wanted = Wanted { slot: Some("pgcdc_p".into()), ..Wanted::default() };
    let full = |slots: Vec<SlotView>| {
        seen(|seen| {
            seen.server.slots_used = 10;
            seen.slots = slots;
        })
    };
    assert_eq!(troubles(&full(vec![]), &wanted), [("max_replication_slots", Level::Problem)]);
    let ours = SlotView { name: "pgcdc_p".into(), plugin: Some("pgoutput".into()), ..SlotView::default() };
    assert_eq!(troubles(&full(vec![ours]), &wanted), []);
}

#[test]
fn slots_that_are_lost_or_forgotten_are_named() {
    let slot =
        |name: &str| SlotView { name: name.into(), plugin: Some("pgoutput".into()), ..SlotView::default() };
    let wanted = Wanted { slot: Some("mine".into()), ..Wanted::default() };
    let of = |slot: SlotView| troubles(&seen(|seen| seen.slots = vec![slot]), &wanted);
    let lost = |name: &str| SlotView { wal_status: Some("lost".into()), ..slot(name) };
    assert_eq!(of(lost("mine")), [("slot", Level::Problem)]);
    assert_eq!(of(lost("pgcdc_old")), [("slot", Level::Warning)]);
    assert_eq!(of(lost("theirs")), []);
    assert_eq!(
        of(SlotView { retained_bytes: Some(1 << 30), ..slot("pgcdc_old") }),
        [("slot", Level::Warning)]
    );
    assert_eq!(
        of(SlotView { wal_status: Some("unreserved".into()), ..slot("mine") }),
        [("slot", Level::Warning)]
    );
    assert_eq!(of(SlotView { plugin: Some("wal2json".into()), ..slot("mine") }), [("slot", Level::Problem)]);
}

#[test]
fn standbys_ask_for_a_failover_slot() {
    let of = |version: u32, failover: bool, named: &str| {
        let wanted = Wanted { slot: Some("s".into()), failover, ..Wanted::default() };
        let seen = seen(|seen| {
            seen.version = version;
            seen.server.standbys = 1;
            set(seen, "synchronized_standby_slots", named);
        });
        troubles(&seen, &wanted)
    };
    assert_eq!(of(17, false, ""), [("failover", Level::Warning)]);
    assert_eq!(of(17, true, ""), [("failover", Level::Warning)]);
    assert_eq!(of(17, true, "standby"), []);
    assert_eq!(of(16, true, ""), [("failover", Level::Problem)]);
    assert_eq!(of(16, false, ""), []);
}

#[test]
fn what_holds_wal_is_named_with_the_statement_that_ends_it() {
    let seen = seen(|seen| {
        seen.server.writing = vec![
            Writing { pid: 7, age_s: 61, ..Writing::default() },
            Writing { pid: 8, age_s: 5, ..Writing::default() },
        ];
        seen.server.prepared = vec![Prepared { gid: "it's".into(), ..Prepared::default() }];
    });
    let sql: Vec<String> = judge(&seen, &Wanted::default()).into_iter().filter_map(|one| one.sql).collect();
    assert_eq!(
        sql,
        ["SELECT pg_terminate_backend(7);", "COMMIT PREPARED 'it''s'; -- or ROLLBACK PREPARED 'it''s';"]
    );
}

#[test]
fn a_role_without_messages_is_told_the_grant() {
    let grant = |version| {
        let seen = seen(|seen| (seen.version, seen.server.may_emit) = (version, false));
        judge(&seen, &Wanted::default())
            .into_iter()
            .find(|one| one.check == "heartbeat")
            .and_then(|one| one.sql)
    };
    let sql = "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO \"cdc\";";
    assert_eq!(grant(15).as_deref(), Some(sql));
    assert!(grant(17).is_some_and(|sql| sql.contains("text, boolean)")));
}

#[test]
fn another_port_than_the_servers_is_told() {
    assert_eq!(
        troubles(&seen(|seen| seen.server.port = Some(6432)), &Wanted::default()),
        [("proxy", Level::Warning)]
    );
}
