//! What is wrong with a database is said before the first row, with the way out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod wal_support;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pgcdc::postgres::Error;
use pgcdc::wal;
use wal_support::{Server, gather, open, options, wait_for};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start("", |_| {}));

async fn refused(server: &Server, user: &str, database: &str, json: &str) -> Error {
    let error =
        wal::open(&server.params(user, database, ""), options(json), None).await.expect_err("a refusal");
    assert!(error.is_transient() || error.next_step().is_some());
    error
}

fn code(error: &Error) -> &str {
    match error {
        Error::Unfit { code, .. } => code,
        _ => "",
    }
}

#[tokio::test]
async fn a_server_that_does_not_decode() {
    let server = Server::start("wal_level = replica", |_| {});
    let error = refused(&server, "scram_user", "postgres", r#"{"publication":"p"}"#).await;
    assert_eq!((code(&error), error.is_transient()), ("wal_level", false));
    assert!(error.next_step().unwrap().contains("ALTER SYSTEM SET wal_level"));
}

#[tokio::test]
async fn no_free_slot_is_waited_for() {
    let server = Server::start("max_replication_slots = 1", |_| {});
    server.sql("postgres", "CREATE PUBLICATION p FOR ALL TABLES");
    let _first = open(&server.params("scram_user", "postgres", ""), r#"{"publication":"p"}"#).await;
    let error = refused(&server, "scram_user", "postgres", r#"{"publication":"p"}"#).await;
    assert_eq!((error.sqlstate(), error.is_transient()), (Some("53400"), true), "{error}");
}

#[tokio::test]
async fn a_missing_database_or_publication() {
    let error = refused(&SERVER, "scram_user", "nowhere", r#"{"publication":"p"}"#).await;
    assert_eq!((error.sqlstate(), error.is_transient()), (Some("3D000"), false));
    let database = SERVER.database();
    let error = refused(&SERVER, "scram_user", &database, r#"{"publication":"p'\"; q"}"#).await;
    assert_eq!((code(&error), error.is_transient()), ("publication_missing", false));
    SERVER.sql(&database, "SELECT pg_create_logical_replication_slot('pgcdc_late', 'pgoutput')");
    let error = refused(
        &SERVER,
        "postgres",
        &database,
        r#"{"publication":"late","persistent_slot":true,"all_tables":true}"#,
    )
    .await;
    assert_eq!(code(&error), "publication_missing", "{error}");
}

#[tokio::test]
async fn names_that_need_quotes_work() {
    let database = SERVER.database();
    SERVER.sql(
        &database,
        "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION \"o'd \"\"p\\, q\" FOR TABLE t",
    );
    let session =
        open(&SERVER.params("scram_user", &database, ""), r#"{"publication":"o'd \"p\\, q"}"#).await;
    SERVER.sql(&database, "INSERT INTO t VALUES (1)");
    gather(&session, 1).await;
}

#[tokio::test]
async fn all_tables_takes_what_the_role_may_publish() {
    let database = SERVER.database();
    let error = refused(&SERVER, "scram_user", &database, r#"{"all_tables":true}"#).await;
    assert_eq!((code(&error), error.code()), ("no_publication_right", "denied"), "{error}");
    assert!(error.next_step().unwrap().contains("CREATE PUBLICATION \"all\" FOR ALL TABLES;"));
    SERVER.sql(&database, &format!("CREATE TABLE mine (id int PRIMARY KEY); ALTER TABLE mine OWNER TO scram_user; CREATE TABLE theirs (id int); GRANT CREATE ON DATABASE {database} TO scram_user"));
    let session = open(&SERVER.params("scram_user", &database, ""), r#"{"all_tables":true}"#).await;
    assert_eq!(
        SERVER.sql(
            &database,
            "SELECT string_agg(tablename, ',') FROM pg_publication_tables WHERE pubname = 'all'"
        ),
        "mine"
    );
    assert!(
        session.facts().warnings.iter().any(|warning| warning.contains("does not list: public.theirs")),
        "{:?}",
        session.facts().warnings
    );
}

#[tokio::test]
async fn silent_subsets_are_said() {
    let database = SERVER.database();
    SERVER.sql(
        &database,
        "CREATE TABLE no_key (id int); CREATE TABLE part (id int PRIMARY KEY, hidden text); CREATE TABLE rows (id int PRIMARY KEY);
         CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY);
         CREATE PUBLICATION p FOR TABLE no_key, part (id), rows WHERE (id > 1) WITH (publish = 'insert, update');
         CREATE PUBLICATION every FOR ALL TABLES",
    );
    let params = SERVER.params("scram_user", &database, "");
    let warnings = open(&params, r#"{"publication":"p"}"#).await.facts().warnings.join("\n");
    for part in [
        "replica identity: public.no_key",
        "row filter hides rows of: public.rows",
        "column list hides columns of: public.part",
        "does not publish: delete, truncate",
    ] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
    assert!(!warnings.contains("volatile"));
    let warnings = open(&params, r#"{"publication":"every"}"#).await.facts().warnings.join("\n");
    assert!(warnings.contains("unlogged tables are never replicated: public.volatile"), "{warnings}");
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for_and_a_foreign_one_is_not() {
    let database = SERVER.database();
    SERVER.sql(&database, "CREATE PUBLICATION busy FOR ALL TABLES");
    let json = r#"{"publication":"busy","persistent_slot":true}"#;
    let _holder = open(&SERVER.params("scram_user", &database, ""), json).await;
    let error = refused(&SERVER, "scram_user", &database, json).await;
    assert!(error.is_transient(), "{error}");
    for word in ["is active", "another client reads it", "PID"] {
        assert!(error.to_string().contains(word), "{word} in {error}");
    }
    SERVER.sql(&database, "SELECT pg_create_physical_replication_slot('physical')");
    let error = refused(
        &SERVER,
        "scram_user",
        &database,
        r#"{"publication":"busy","persistent_slot":true,"slot_name":"physical"}"#,
    )
    .await;
    assert_eq!((code(&error), error.is_transient()), ("slot_unusable", false), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_replaced_stops_the_stream() {
    let database = SERVER.database();
    SERVER.sql(&database, "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    let json = r#"{"publication":"p","persistent_slot":true,"slot_name":"replaced"}"#;
    let session = open(&SERVER.params("scram_user", &database, ""), json).await;
    assert!(session.lag().await.is_ok());
    SERVER.sql(&database, "DROP PUBLICATION p");
    SERVER.sql(&database, "INSERT INTO t VALUES (1)");
    SERVER.sql(&database, "CREATE PUBLICATION p FOR TABLE t");
    let error = session.lag().await.unwrap_err();
    assert_eq!((code(&error), error.is_transient()), ("publication_gap", false));
    let error = session.next().await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("gone", false), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up() {
    let database = SERVER.database();
    SERVER.sql(&database, "CREATE PUBLICATION p FOR ALL TABLES");
    let session =
        open(&SERVER.params("scram_user", &database, ""), r#"{"publication":"p","receive_timeout_ms":300}"#)
            .await;
    let pid = SERVER.sql(
        &database,
        &format!(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = '{database}'"
        ),
    );
    let signal = |name: &str| std::process::Command::new("kill").args([name, &pid]).status().unwrap();
    // A server that is alive answers when it is asked.
    let alive = tokio::time::timeout(Duration::from_millis(1500), session.next()).await;
    assert!(alive.is_err(), "{alive:?}");
    signal("-STOP");
    let error = session.next().await.unwrap_err();
    signal("-CONT");
    assert!(matches!(error, Error::Timeout { .. }) && error.is_transient(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_shut_down_once_everything_is_stored() {
    let server = Server::start("", |_| {});
    server.sql("postgres", "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    let params = server.params("scram_user", "postgres", "");
    let json = r#"{"publication":"p","persistent_slot":true}"#;
    let session = open(&params, json).await;
    server.sql("postgres", "INSERT INTO t VALUES (1)");
    gather(&session, 1).await;
    let progress = session.progress();
    progress.stored(progress.settled(1));
    let host = tokio::spawn(async move {
        loop {
            progress.offered().await;
            progress.stored(progress.storable());
        }
    });
    let start = Instant::now();
    let (session, server) = (
        session,
        tokio::task::spawn_blocking(move || {
            server.down("fast");
            server
        })
        .await
        .unwrap(),
    );
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    host.abort();
    let error = session.next().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.up();
    let again = open(&params, json).await;
    server.sql("postgres", "INSERT INTO t VALUES (2)");
    gather(&again, 1).await;
    wait_for(&server, "postgres", "(SELECT active FROM pg_replication_slots)");
}
