//! Changes of a real server become batches, and only what is stored is confirmed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod wal_support;

use std::sync::LazyLock;

use pgcdc::wal::{self, Started};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::resume::Stored;
use wal_support::{Server, gather, lines, open, options, wait_for};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start("", |_| {}));

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_as_they_were_written() {
    let database = SERVER.database();
    SERVER.sql(
        &database,
        "CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TYPE pair AS (a int, b text);
         CREATE TABLE t (id int PRIMARY KEY, f float8, m mood, p pair, a text[], at timestamptz, b bytea);
         ALTER DATABASE postgres SET DateStyle = 'SQL, DMY';",
    );
    SERVER.sql("postgres", &format!("ALTER DATABASE {database} SET DateStyle = 'SQL, DMY'; ALTER DATABASE {database} SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE {database} SET bytea_output = 'escape'; ALTER DATABASE {database} SET extra_float_digits = -5"));
    let session =
        open(&SERVER.params("postgres", &database, ""), r#"{"all_tables":true,"tx_metadata":true}"#).await;
    assert_eq!(session.facts().started, Started::Created);
    SERVER.sql(&database, "INSERT INTO t VALUES (1, 0.1::float8 + 0.2::float8, 'sad', ROW(1, 'x,y'), ARRAY['a', NULL], '2026-01-05 09:30:00+00', '\\xdeff')");
    SERVER.sql(&database, "UPDATE t SET m = 'happy' WHERE id = 1; DELETE FROM t; TRUNCATE t");
    let events = lines(&gather(&session, 4).await);
    let row = &events[0]["payload"]["row"];
    let wanted = SERVER.sql("postgres", "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SELECT row_to_json(r) FROM (SELECT 1 AS id, 0.1::float8 + 0.2::float8 AS f, 'sad' AS m, '{\"a\":1,\"b\":\"x,y\"}'::json AS p, ARRAY['a', NULL] AS a, '2026-01-05 09:30:00+00'::timestamptz AS at, '\\xdeff'::bytea AS b) r");
    assert_eq!(row, &serde_json::from_str::<serde_json::Value>(&wanted).unwrap());
    let operations: Vec<_> = events.iter().map(|event| event["operation"].as_str().unwrap()).collect();
    assert_eq!(operations, ["INSERT", "UPDATE", "DELETE", "TRUNCATE"]);
    assert_eq!(events[0]["transaction"]["seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_stored_is_confirmed_and_a_new_session_goes_on_there() {
    let database = SERVER.database();
    SERVER.sql(&database, "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    let params = SERVER.params("scram_user", &database, "");
    let json = format!(r#"{{"publication":"p","persistent_slot":true,"slot_name":"kept_{database}"}}"#);
    let first = open(&params, &json).await;
    let progress = first.progress();
    SERVER.sql(&database, "INSERT INTO t VALUES (1)");
    let one = gather(&first, 1).await;
    SERVER.sql(&database, "INSERT INTO t VALUES (2)");
    let two = gather(&first, 1).await;
    let at = progress.settled(1);
    let second_commit = u64::from_be_bytes(two[0].first_key.as_bytes()[..8].try_into().unwrap());
    assert!(one[0].resume <= at && at.0 <= second_commit);
    progress.stored(at);
    wait_for(
        &SERVER,
        &database,
        &format!(
            "(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'kept_{database}') = '{at}'"
        ),
    );
    let stored =
        Stored { identity: first.facts().identity.clone(), resume: at, had: Lsn::ZERO, reached: None };
    first.close().await;
    wait_for(
        &SERVER,
        &database,
        &format!("NOT (SELECT active FROM pg_replication_slots WHERE slot_name = 'kept_{database}')"),
    );

    let second = wal::open(&params, options(&json), Some(stored.clone())).await.unwrap();
    assert_eq!((second.facts().started, second.facts().start), (Started::Resumed, at));
    let again = gather(&second, 1).await;
    assert_eq!(lines(&again)[0]["id"], lines(&two)[0]["id"]);
    second.close().await;
    wait_for(
        &SERVER,
        &database,
        &format!("NOT (SELECT active FROM pg_replication_slots WHERE slot_name = 'kept_{database}')"),
    );

    let third = open(&params, &json).await;
    assert_eq!(third.facts().started, Started::Adopted);
    drop(third);
    wait_for(
        &SERVER,
        &database,
        &format!("NOT (SELECT active FROM pg_replication_slots WHERE slot_name = 'kept_{database}')"),
    );
    SERVER.sql(&database, &format!("SELECT pg_drop_replication_slot('kept_{database}')"));
    let error = wal::open(&params, options(&json), Some(stored)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("is gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_publication_does_not_hold_back_wal() {
    let database = SERVER.database();
    SERVER.sql(&database, "CREATE TABLE quiet (id int PRIMARY KEY); CREATE TABLE noisy (id int); CREATE PUBLICATION p FOR TABLE quiet");
    let json = format!(r#"{{"publication":"p","persistent_slot":true,"slot_name":"idle_{database}"}}"#);
    let session = open(&SERVER.params("scram_user", &database, ""), &json).await;
    let progress = session.progress();
    SERVER.sql(&database, "INSERT INTO noisy SELECT generate_series(1, 300000)");
    let end = SERVER.sql(&database, "SELECT pg_current_wal_lsn()").parse().unwrap();
    while progress.storable() < end {
        progress.offered().await;
        let at = progress.storable();
        progress.stored(at);
        SERVER.sql(&database, "INSERT INTO noisy SELECT generate_series(1, 300000)");
    }
    assert!(session.lag().await.unwrap().wal_status == "reserved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_walsender_shows_no_partial_transaction_beyond_its_resume_position() {
    let database = SERVER.database();
    SERVER
        .sql(&database, "CREATE TABLE t (id int PRIMARY KEY, filler text); CREATE PUBLICATION p FOR TABLE t");
    let json = format!(
        r#"{{"publication":"p","persistent_slot":true,"slot_name":"cut_{database}","read_ahead_bytes":65536}}"#
    );
    let params = SERVER.params("scram_user", &database, "");
    let session = open(&params, &json).await;
    SERVER.sql(&database, "INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 50000) n");
    let some = session.next().await.unwrap();
    assert!(some.last().unwrap().open_tx);
    let commit = u64::from_be_bytes(some[0].first_key.as_bytes()[..8].try_into().unwrap());
    assert!(session.progress().settled(some.len() as u64).0 <= commit);
    SERVER.sql(&database, &format!("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'cut_{database}'"));
    let (mut batches, error) = (
        some.len(),
        loop {
            match session.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        },
    );
    batches += 1;
    assert!(error.is_transient() && batches > 1, "{error}");
    wait_for(
        &SERVER,
        &database,
        &format!("NOT (SELECT active FROM pg_replication_slots WHERE slot_name = 'cut_{database}')"),
    );
    let again = open(&params, &json).await;
    let all = gather(&again, 50_000).await;
    assert!(!all.last().unwrap().open_tx);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_host_is_not_cut_off() {
    let database = SERVER.database();
    SERVER
        .sql(&database, "CREATE TABLE t (id int PRIMARY KEY, filler text); CREATE PUBLICATION p FOR TABLE t");
    SERVER.sql("postgres", &format!("ALTER DATABASE {database} SET wal_sender_timeout = '2s'"));
    let json = r#"{"publication":"p","read_ahead_bytes":65536}"#;
    let session = open(&SERVER.params("scram_user", &database, ""), json).await;
    SERVER.sql(&database, "INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 100000) n");
    // The host takes nothing for two and a half time-outs of the server.
    let old = format!(
        "(SELECT backend_start < clock_timestamp() - interval '5s' FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = '{database}')"
    );
    wait_for(&SERVER, &database, &old);
    gather(&session, 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_too_large_is_named_and_the_stream_goes_on() {
    let database = SERVER.database();
    SERVER
        .sql(&database, "CREATE TABLE t (id int PRIMARY KEY, filler text); CREATE PUBLICATION p FOR TABLE t");
    let json = r#"{"publication":"p","max_event_bytes":100000}"#;
    let session = open(&SERVER.params("scram_user", &database, ""), json).await;
    SERVER.sql(
        &database,
        "INSERT INTO t VALUES (1, 'a'), (2, repeat('x', 150000)), (3, repeat('x', 3000000)), (4, 'd')",
    );
    let batches = gather(&session, 2).await;
    let refused: Vec<_> =
        batches.iter().flat_map(|batch| &batch.refused).map(|refused| refused.row_key.clone()).collect();
    assert_eq!(refused, [[("id".to_owned(), "2".to_owned())], [("id".to_owned(), "3".to_owned())]]);
}
