//! Replication slots by hand (`pgcdc slot`), and what is wrong with a database (`pgcdc doctor`), said with the SQL to paste.

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Exit;
use serde_json::Value;

/// A command that ends by itself.
fn ask(desk: &Desk, arguments: &[&str]) -> Exit {
    desk.start(arguments, &[]).wait()
}

fn document(exit: &Exit) -> Value {
    let text = exit.stdout.join("\n");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{}", exit.stderr))
}

fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["databases"][0]["findings"].as_array().unwrap();
    findings.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("no {check} in {report}"))
}

#[test]
fn a_slot_is_made_shown_and_dropped_by_hand() {
    let (db, desk) = (Database::alone("byhand"), Desk::new());
    let (url, name) = (db.url(), "pgcdc_mine");
    let made = ask(&desk, &["slot", "create", "--name", name, "--db", &url, "--json"]);
    assert_eq!((made.code(), document(&made)["name"].as_str()), (Some(0), Some(name)), "{}", made.stderr);
    db.execute("select pg_create_physical_replication_slot('theirs')");
    db.execute("create table t (n int); insert into t select generate_series(1, 10000)");

    let listed = document(&ask(&desk, &["slot", "list", "--db", &url, "--json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let slot = &listed[0];
    assert_eq!((slot["plugin"].as_str(), slot["database"].as_str()), (Some("pgoutput"), Some(db.name())));
    assert_eq!((slot["active"].as_bool(), slot["wal_status"].as_str()), (Some(false), Some("reserved")));
    assert!(
        slot["retained_bytes"].as_u64() > Some(100_000) && slot["lag_bytes"].as_u64() > Some(100_000),
        "{slot}"
    );
    let all = ask(&desk, &["slot", "list", "--all", "--db", &url]);
    assert!(all.stdout.iter().any(|line| line.starts_with("theirs")), "{:?}", all.stdout);

    let one = ask(&desk, &["slot", "status", "--name", name, "--db", &url]);
    assert!(
        one.stdout.iter().any(|line| line.starts_with("read by PID") && line.contains("nobody")),
        "{:?}",
        one.stdout
    );
    ask(&desk, &["slot", "status", "--name", "nowhere", "--db", &url])
        .assert_refused(&["nowhere", "slot list"]);

    assert_eq!(ask(&desk, &["slot", "drop", "--name", name, "--db", &url]).code(), Some(0));
    let left = db.text("select string_agg(slot_name, ',') from pg_replication_slots");
    assert_eq!(left.as_deref(), Some("theirs"));
    ask(&desk, &["slot", "drop", "--name", name, "--db", &url]).assert_refused(&[name]);
}

#[test]
fn a_slot_that_is_read_is_not_dropped_and_its_reader_is_named() {
    let (db, desk) = (Database::create("inuse"), Desk::new());
    db.execute("create table t (n int primary key)");
    let pgcdc = desk.run(&Manifest::persistent(&db).stdout());
    db.wait_streaming();
    let pid = db.text(&format!(
        "select active_pid::text from pg_replication_slots where slot_name = '{}'",
        db.name()
    ));
    let pid = pid.unwrap();
    // The manifest that lies here says which database.
    let refused = ask(&desk, &["slot", "drop", "--name", db.name()]);
    refused.assert_refused(&[
        "is active",
        &format!("PID {pid}"),
        "pgcdc",
        &format!("pg_terminate_backend({pid})"),
    ]);
    let listed = document(&ask(&desk, &["slot", "list", "--json"]));
    let slot = listed.as_array().unwrap().iter().find(|slot| slot["name"] == db.name()).unwrap();
    assert_eq!(slot["active_pid"].as_u64().map(|pid| pid.to_string()), Some(pid), "{slot}");
    pgcdc.stop_clean();
}

#[test]
fn a_failover_slot_on_an_older_server_is_refused_by_version() {
    let (db, desk) = (Database::create("noover"), Desk::new());
    let version = db.text("select current_setting('server_version_num')").and_then(|n| n.parse::<u32>().ok());
    let made = ask(&desk, &["slot", "create", "--name", "pgcdc_over", "--failover", "--db", &db.url()]);
    if version < Some(170_000) {
        made.assert_refused(&["failover", "17"]);
    } else {
        assert_eq!(made.code(), Some(0), "{}", made.stderr);
    }
}

#[test]
fn the_doctor_finds_nothing_wrong_with_a_sound_database() {
    let (db, desk) = (Database::alone("sound"), Desk::new());
    db.execute("create table t (n int primary key)");
    desk.write("pgcdc.yaml", Manifest::persistent(&db).stdout().text());
    let report = ask(&desk, &["doctor", "--json"]);
    assert_eq!(report.code(), Some(0), "{:?}", report.stdout);
    let report = document(&report);
    assert_ne!(report["worst"], "problem", "{report}");
    assert_eq!(finding(&report, "replication login")["level"], "ok");
    assert_eq!(finding(&report, "wal_level")["level"], "ok");
    assert_eq!(report["databases"][0]["detector"], "source");
}

#[test]
fn the_doctor_names_what_is_wrong_with_the_sql_to_mend_it() {
    let cluster = Cluster::start(
        Settings::default()
            .with("max_replication_slots", "1")
            .with("synchronous_standby_names", "*")
            .with("synchronous_commit", "local"),
    );
    let (db, desk) = (Database::create_in(cluster, "ill"), Desk::new());
    db.execute(
        "create role reader login password 'x'; create table keyless (n int); create table part (n int primary key, secret text);
         create unlogged table gone (n int primary key);
         create publication p for table keyless, part (n) with (publish = 'insert, update')",
    );
    db.execute("select pg_create_logical_replication_slot('pgcdc_old', 'pgoutput')");
    let mut client = db.connect();
    client.batch_execute("begin; insert into part values (1, 'x'); prepare transaction 'stuck'").unwrap();
    let url = db.cluster().url_as("reader", "x", db.name());
    let exit = ask(&desk, &["doctor", "--db", &url, "--publication", "p", "--json"]);
    assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
    let report = document(&exit);
    let expected = [
        ("replication login", "problem", "ALTER ROLE \"reader\" REPLICATION"),
        ("max_replication_slots", "problem", "max_replication_slots"),
        ("synchronous_standby_names", "problem", "synchronous_standby_names"),
        ("replica identity", "warning", "ALTER TABLE public.keyless REPLICA IDENTITY FULL"),
        ("table rights", "warning", "GRANT SELECT ON"),
        ("max_slot_wal_keep_size", "warning", "max_slot_wal_keep_size"),
        ("prepared transactions", "warning", "PREPARED 'stuck'"),
    ];
    for (check, level, sql) in expected {
        let one = finding(&report, check);
        assert_eq!(one["level"], level, "{one}");
        assert!(
            one["sql"].as_str().is_some_and(|text| text.contains(sql)) && one["remedy"].is_string(),
            "{one}"
        );
    }
    let left_out = report["databases"][0]["findings"].as_array().unwrap().iter();
    let left_out: Vec<String> =
        left_out.filter(|one| one["check"] == "left out").map(|one| one["found"].to_string()).collect();
    for part in ["delete, truncate", "public.part", "public.gone"] {
        assert!(left_out.iter().any(|found| found.contains(part)), "{part} in {left_out:?}");
    }
    db.execute("rollback prepared 'stuck'");
    assert!(!exit.stdout.join("").contains(":x@"), "a password is shown");
}

#[test]
fn the_role_that_the_doctor_prints_is_all_that_pgcdc_needs() {
    let (db, desk) = (Database::alone("least"), Desk::new());
    db.execute(
        "create schema shop; create table shop.t (n int primary key); create publication p for table shop.t",
    );
    let exit = ask(&desk, &["doctor", "--db", &db.url(), "--publication", "p", "--json"]);
    let sql = document(&exit)["databases"][0]["role_sql"].as_str().unwrap().replace('…', "least");
    db.execute(&sql);
    let url = db.cluster().url_as("pgcdc", "least", db.name());
    let config = "publication: p, persistent_slot: true";
    desk.write("pgcdc.yaml", Manifest::wal_of(&url, config).stdout().text());
    let report = document(&ask(&desk, &["doctor", "--json"]));
    assert_ne!(report["worst"], "problem", "{report}");
    assert_eq!(finding(&report, "table rights")["level"], "ok", "{report}");
    let pgcdc = desk.run(&Manifest::wal_of(&url, config).stdout());
    db.wait_streaming();
    db.execute("insert into shop.t values (1)");
    assert_eq!(pgcdc.events(1).len(), 1);
    let exit = pgcdc.stop_clean();
    assert!(!exit.stderr.contains("heartbeat not written"), "{}", exit.stderr);
}

#[test]
fn the_doctor_says_why_there_is_no_session() {
    let (db, desk) = (Database::create("nologin"), Desk::new());
    let url = db.cluster().url_as("postgres", "wrong-guess", db.name());
    let exit = ask(&desk, &["doctor", "--db", &url]);
    assert_eq!(exit.code(), Some(1));
    let text = exit.stdout.join("\n");
    assert!(
        text.contains("PROBLEM  connection") && text.contains("password authentication failed"),
        "{text}"
    );
    assert!(!text.contains("wrong-guess") && !exit.stderr.contains("wrong-guess"));
}
