//! Transactions that are received in pieces while they are in progress: what comes out is what comes out of a session that
//! gets them whole, to the last byte, however they were interleaved, rolled back in part, or cut off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod wal_support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use pgcdc::wal::{self, News, Session, SpillPlace};
use pgcdc_core::assembler::Finished;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::resume::Stored;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};
use wal_support::{Server, options, wait_for};

/// Every transaction of more than this is sent in pieces.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    Server::start(
        "logical_decoding_work_mem = '64kB'\nmax_prepared_transactions = 5\nautovacuum = off",
        |_| {},
    )
});

/// What a session has told of what it keeps.
#[derive(Default)]
struct Told {
    written_bytes: u64,
    committed: u64,
    open_max: usize,
}

struct Stage {
    database: String,
    folder: tempfile::TempDir,
    told: Arc<Mutex<Told>>,
}

impl Stage {
    fn new(tables: &str) -> Stage {
        let database = SERVER.database();
        SERVER.sql(
            &database,
            &format!("CREATE TABLE done (id int); {tables}; CREATE PUBLICATION p FOR ALL TABLES"),
        );
        let stage = Stage { database, folder: tempfile::tempdir().unwrap(), told: Arc::default() };
        for slot in ["pieces", "whole"] {
            let name = stage.slot(slot);
            SERVER.sql(
                &stage.database,
                &format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"),
            );
        }
        stage
    }

    fn slot(&self, which: &str) -> String {
        format!("{which}_{}", self.database)
    }

    fn sql(&self, sql: &str) -> String {
        SERVER.sql(&self.database, sql)
    }

    async fn client(&self) -> Client {
        let to = format!("host=127.0.0.1 port={} user=postgres dbname={}", SERVER.port, self.database);
        let (client, connection) = tokio_postgres::connect(&to, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn place(&self) -> SpillPlace {
        let told = Arc::clone(&self.told);
        SpillPlace::new(self.folder.path().to_path_buf(), move |news: News| {
            let mut told = told.lock().unwrap();
            told.written_bytes += news.written_bytes;
            told.committed += news.committed;
            told.open_max = told.open_max.max(news.open);
        })
    }

    /// Reads a slot, in pieces or whole.
    async fn session(
        &self,
        slot: &str,
        in_pieces: bool,
        more: &str,
        stored: Option<Stored>,
    ) -> Result<Session, String> {
        let json = format!(
            r#"{{"publication":"p","persistent_slot":true,"slot_name":"{}","messages":true,"tx_markers":true{more}}}"#,
            self.slot(slot)
        );
        let mut options = options(&json);
        options.spill = in_pieces.then(|| self.place());
        let params = SERVER.params("scram_user", &self.database, "");
        wal::open(&params, options, stored).await.map_err(|error| error.to_string())
    }

    fn wait_free(&self, slot: &str) {
        let name = self.slot(slot);
        wait_for(
            &SERVER,
            &self.database,
            &format!("NOT (SELECT active FROM pg_replication_slots WHERE slot_name = '{name}')"),
        );
    }

    fn files(&self) -> usize {
        count_files(self.folder.path())
    }

    /// Both sessions read to the end of what was done; what came must be the same, and in pieces for the one.
    async fn compare(&self, more: &str) -> Vec<Value> {
        self.sql("INSERT INTO done VALUES (1)");
        let whole = until_done(&self.session("whole", false, more, None).await.unwrap()).await;
        assert_eq!(self.told.lock().unwrap().committed, 0);
        let pieces = until_done(&self.session("pieces", true, more, None).await.unwrap()).await;
        assert!(self.told.lock().unwrap().committed > 0, "nothing came in pieces");
        assert_eq!(refused(&pieces), refused(&whole));
        let (pieces, whole) = (lines(&pieces), lines(&whole));
        assert_same(&pieces, &whole);
        pieces
    }
}

/// Envelopes without the time at which the change arrived, which is another each time.
fn lines(batches: &[Finished]) -> Vec<Value> {
    let mut lines = wal_support::lines(batches);
    lines.iter_mut().filter_map(Value::as_object_mut).for_each(|line| drop(line.remove("created_at")));
    lines
}

/// The first difference, if any: thousands of events are nobody's to read.
#[track_caller]
fn assert_same(left: &[Value], right: &[Value]) {
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left, right);
    }
    assert_eq!(left.len(), right.len());
}

fn count_files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

async fn until_done(session: &Session) -> Vec<Finished> {
    let mut all: Vec<Finished> = Vec::new();
    loop {
        let batches = session.next().await.unwrap();
        let is_done = lines(&batches)
            .iter()
            .any(|line| line["channel"] == "pgcdc:done" && line["operation"] == "INSERT");
        all.extend(batches);
        if is_done {
            return all;
        }
    }
}

fn refused(batches: &[Finished]) -> Vec<String> {
    batches
        .iter()
        .flat_map(|batch| &batch.refused)
        .map(|refused| format!("{:?} {:?}", refused.id, refused.row_key))
        .collect()
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

fn rows(from: u32, to: u32) -> String {
    format!("INSERT INTO t SELECT n, repeat('x', 200), n % 7 FROM generate_series({from}, {to}) n")
}

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, filler text, k int)";

#[tokio::test(flavor = "multi_thread")]
async fn interleaved_transactions_with_savepoints_come_as_if_they_had_been_sent_whole() {
    let stage = Stage::new(T);
    let (a, b, c) = (stage.client().await, stage.client().await, stage.client().await);
    run(&a, &format!("BEGIN; {}; SAVEPOINT s1; {}", rows(1, 2_000), rows(2_001, 4_000))).await;
    run(
        &b,
        &format!("BEGIN; SAVEPOINT s1; {}; SAVEPOINT s2; {}", rows(10_001, 11_000), rows(11_001, 13_000)),
    )
    .await;
    run(&c, &rows(20_001, 20_010)).await;
    run(
        &a,
        &format!("ROLLBACK TO s1; {}; SAVEPOINT s2; {}; RELEASE s2", rows(4_001, 6_000), rows(6_001, 6_100)),
    )
    .await;
    run(&b, "RELEASE s2; UPDATE t SET k = 100 WHERE id BETWEEN 10001 AND 13000").await;
    run(&c, &format!("BEGIN; {}; ROLLBACK", rows(30_001, 33_000))).await;
    run(&a, "DELETE FROM t WHERE id BETWEEN 1000 AND 1500; SELECT pg_logical_emit_message(true, 'in', 'a')")
        .await;
    run(&c, "SELECT pg_logical_emit_message(false, 'alone', 'b')").await;
    run(&b, &format!("ROLLBACK TO s1; {}", rows(14_001, 14_500))).await;
    run(&b, "COMMIT").await;
    run(&c, &format!("BEGIN; {}; TRUNCATE done; {}; COMMIT", rows(40_001, 41_000), rows(41_001, 42_000)))
        .await;
    run(&a, "COMMIT").await;
    let events = stage.compare("").await;
    let ids: Vec<_> = events
        .iter()
        .filter(|e| e["operation"] == "INSERT" && e["payload"]["table"] == "t")
        .map(|e| e["payload"]["row"]["id"].as_u64().unwrap())
        .collect();
    assert!(
        !ids.iter()
            .any(|id| (2_001..=4_000).contains(id) || (10_001..=13_000).contains(id) || *id / 10_000 == 3)
    );
    assert_eq!(ids.len(), 2_000 + 2_100 + 10 + 500 + 2_000);
    assert!(stage.told.lock().unwrap().open_max >= 2, "they were not interleaved");
    assert_eq!(stage.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_many_rows_toast_conflicts_and_prepared_transactions_are_the_same_in_pieces() {
    let stage = Stage::new(&format!(
        "{T}; ALTER TABLE t REPLICA IDENTITY FULL; CREATE TABLE u (id int PRIMARY KEY, big text, n int)"
    ));
    let (a, b) = (stage.client().await, stage.client().await);
    let big = "(SELECT string_agg(md5((n * 1000 + m)::text), '') FROM generate_series(1, 150) m)";
    run(
        &a,
        &format!(
            "BEGIN; INSERT INTO u SELECT n, {big}, 0 FROM generate_series(1, 100) n; UPDATE u SET n = n + 1"
        ),
    )
    .await;
    run(&b, &format!("BEGIN; {}; PREPARE TRANSACTION 'kept'", rows(1, 2_000))).await;
    run(&b, &format!("BEGIN; {}; PREPARE TRANSACTION 'gone'", rows(10_001, 12_000))).await;
    // One record a page, and one LSN for all of its rows.
    run(&b, "CREATE TABLE copied AS SELECT n, repeat('y', 50) AS v FROM generate_series(1, 5000) n").await;
    run(&a, "INSERT INTO u SELECT n, 'small', n FROM generate_series(50, 3000) n ON CONFLICT (id) DO UPDATE SET n = 7").await;
    run(&b, "COMMIT PREPARED 'kept'").await;
    run(&b, "ROLLBACK PREPARED 'gone'").await;
    run(&a, "UPDATE t SET k = NULL WHERE id < 1000; DELETE FROM t WHERE id > 1500; COMMIT").await;
    let events = stage.compare(r#","tx_metadata":true"#).await;
    let copied: Vec<_> =
        events.iter().filter(|e| e["channel"] == "pgcdc:copied").map(|e| &e["position"]).collect();
    assert_eq!(copied.len(), 5_000);
    assert!(stage.told.lock().unwrap().written_bytes > 0, "nothing went to the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_and_new_types_inside_of_a_transaction_count_for_its_later_rows_alone() {
    let stage = Stage::new(T);
    let (a, b, c) = (stage.client().await, stage.client().await, stage.client().await);
    run(
        &a,
        "BEGIN; CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TABLE made_a (id int, v mood);
             INSERT INTO made_a SELECT n, 'sad' FROM generate_series(1, 3000) n",
    )
    .await;
    run(&b, "BEGIN; CREATE TABLE made_b (id int, v text); INSERT INTO made_b SELECT n, 'x' FROM generate_series(1, 3000) n;
             SAVEPOINT s; ALTER TABLE made_b ADD w text DEFAULT 'y'; INSERT INTO made_b SELECT n, 'x', 'z' FROM generate_series(1, 3000) n").await;
    run(&c, &rows(1, 3_000)).await;
    run(&b, "ROLLBACK TO s; INSERT INTO made_b SELECT n, 'after' FROM generate_series(1, 3000) n; ALTER TABLE made_b DROP v;
             INSERT INTO made_b SELECT n FROM generate_series(1, 3000) n; COMMIT").await;
    run(&a, "ALTER TABLE made_a ADD p mood DEFAULT 'happy'; INSERT INTO made_a SELECT n, 'sad', 'sad' FROM generate_series(1, 3000) n; COMMIT").await;
    // A change of shape that was rolled back with all of its transaction: the table is not described again.
    run(&c, &rows(3_001, 3_002)).await;
    run(&b, "BEGIN; ALTER TABLE t ADD gone int; INSERT INTO t SELECT n, 'x', 1, 2 FROM generate_series(5000, 9000) n; ROLLBACK").await;
    run(&c, &rows(3_003, 3_004)).await;
    run(&c, "INSERT INTO made_a VALUES (0, 'sad', 'happy'); INSERT INTO made_b VALUES (0)").await;
    let events = stage.compare(r#","include_schema":true"#).await;
    assert!(!events.iter().any(|e| e["payload"]["row"].get("gone").is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_described_anew_while_another_transaction_has_it_open_stays_so() {
    let stage = Stage::new(&format!("CREATE SCHEMA before; {T}; ALTER TABLE t SET SCHEMA before"));
    let (a, b) = (stage.client().await, stage.client().await);
    let insert =
        |schema: &str, from: u32, to: u32| rows(from, to).replace("INTO t", &format!("INTO {schema}.t"));
    run(&a, &format!("BEGIN; {}", insert("before", 1, 3_000))).await;
    // No lock on the table is needed for this. It is described to everybody under its new name …
    run(&b, "ALTER SCHEMA before RENAME TO after").await;
    run(&b, &insert("after", 10_001, 10_002)).await;
    // … and by its old one, which the first transaction's rows came under, to that transaction alone.
    run(&a, "COMMIT").await;
    run(&b, &insert("after", 10_003, 10_004)).await;
    stage.sql("INSERT INTO done VALUES (1)");
    let session = stage.session("pieces", true, "", None).await.unwrap();
    let events = lines(&until_done(&session).await);
    let channels: Vec<_> = events
        .iter()
        .filter(|e| e["operation"] == "INSERT")
        .map(|e| e["channel"].as_str().unwrap())
        .collect();
    // Later versions describe it anew for the first one's last piece, too.
    assert!(channels.iter().filter(|channel| **channel == "pgcdc:before.t").count() > 1_000);
    assert_eq!(channels.len(), 3_000 + 2 + 2 + 1);
    assert_eq!(channels[..2], ["pgcdc:after.t"; 2]);
    assert_eq!(channels[channels.len() - 3..], ["pgcdc:after.t", "pgcdc:after.t", "pgcdc:done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_too_large_are_the_same_ones() {
    let stage = Stage::new(T);
    let near = "SELECT n, repeat('x', 99900 + n), 1 FROM generate_series(1, 100) n";
    stage.sql(&format!(
        "BEGIN; {}; INSERT INTO t SELECT 5000, repeat('x', 3000000), 1; INSERT INTO t {near}; COMMIT",
        rows(1_001, 2_000)
    ));
    stage.compare(r#","max_event_bytes":100000"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_off_in_the_middle_is_repeated_under_the_same_ids_in_pieces_or_whole() {
    let stage = Stage::new(T);
    let (a, b) = (stage.client().await, stage.client().await);
    run(&a, &format!("BEGIN; {}", rows(1, 20_000))).await;
    run(&b, &rows(50_001, 52_000)).await;
    run(&a, &format!("{}; COMMIT", rows(20_001, 40_000))).await;
    stage.sql("INSERT INTO done VALUES (1)");
    let small = r#","read_ahead_bytes":65536"#;
    let cut = stage.session("pieces", true, small, None).await.unwrap();
    let mut some = Vec::new();
    // The second transaction is let out while the first goes on; then the middle of the first.
    while some.len() < 10_000 {
        some.extend(lines(&cut.next().await.unwrap()));
    }
    assert!(stage.files() > 0, "nothing was on the disk");
    drop(cut);
    stage.wait_free("pieces");
    let whole = lines(&until_done(&stage.session("pieces", false, "", None).await.unwrap()).await);
    stage.wait_free("pieces");
    let pieces = lines(&until_done(&stage.session("pieces", true, "", None).await.unwrap()).await);
    assert_same(&some, &whole[..some.len()]);
    assert_same(&pieces, &whole);
    assert_eq!(stage.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confirmed_while_a_transaction_is_in_progress_loses_nothing_of_it() {
    let stage = Stage::new(T);
    let (a, b) = (stage.client().await, stage.client().await);
    let session = stage.session("pieces", true, "", None).await.unwrap();
    run(&a, &format!("BEGIN; {}", rows(1, 5_000))).await;
    let began: Lsn = stage.sql("SELECT pg_current_wal_insert_lsn()").parse().unwrap();
    run(&b, &rows(10_001, 10_001)).await;
    let one = session.next().await.unwrap();
    assert!(stage.told.lock().unwrap().open_max > 0, "the large one was not received in pieces");
    let progress = session.progress();
    progress.settled(one.len() as u64);
    // A keepalive that comes between two pieces counts like any other: it is behind all that has committed.
    while progress.storable() <= began {
        run(&b, "SELECT pg_switch_wal()").await;
        progress.offered().await;
    }
    let at = progress.storable();
    progress.stored(at);
    let slot = stage.slot("pieces");
    wait_for(
        &SERVER,
        &stage.database,
        &format!(
            "(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}') >= '{at}'"
        ),
    );
    let identity = session.facts().identity.clone();
    session.close().await;
    drop(session);
    stage.wait_free("pieces");
    run(&a, "COMMIT").await;
    stage.sql("INSERT INTO done VALUES (1)");
    let stored = Stored { identity, resume: at, had: Lsn::ZERO, reached: None };
    let again = stage.session("pieces", true, "", Some(stored)).await.unwrap();
    let events = lines(&until_done(&again).await);
    assert_eq!(events.iter().filter(|e| e["payload"]["table"] == "t").count(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_disk_has_no_room_for_halts_with_its_size_and_place() {
    let stage = Stage::new(T);
    stage.sql(&rows(1, 20_000));
    stage.sql("INSERT INTO done VALUES (1)");
    let session = stage.session("pieces", true, r#","spill_max":1048576"#, None).await.unwrap();
    let error = session.next().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    for part in ["1MiB", "spill_max", &stage.folder.path().display().to_string()] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(error.next_step().unwrap().contains("streaming: off"));
    drop(session);
    stage.wait_free("pieces");
    assert_eq!(stage.files(), 0);
    let events = lines(&until_done(&stage.session("pieces", true, "", None).await.unwrap()).await);
    assert_eq!(events.iter().filter(|e| e["payload"]["table"] == "t").count(), 20_000);
}

/// A disk of a megabyte; gone with its owner. None where this process may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| SmallDisk(at.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_halts_and_is_empty_after_that() {
    let stage = Stage::new(T);
    let Some(_disk) = SmallDisk::mount(stage.folder.path()) else {
        println!("skipped: this process may not mount a small disk");
        return;
    };
    stage.sql(&rows(1, 20_000));
    let session = stage.session("pieces", true, "", None).await.unwrap();
    let error = session.next().await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("No space left"), "{error}");
    assert!(error.to_string().contains(&stage.folder.path().display().to_string()), "{error}");
    drop(session);
    stage.wait_free("pieces");
    assert_eq!(stage.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stalls_while_a_transaction_is_read_back_is_not_cut_off() {
    let stage = Stage::new(T);
    SERVER.sql("postgres", &format!("ALTER DATABASE {} SET wal_sender_timeout = '2s'", stage.database));
    stage.sql(&rows(1, 50_000));
    stage.sql("INSERT INTO done VALUES (1)");
    let session = stage.session("pieces", true, r#","read_ahead_bytes":65536"#, None).await.unwrap();
    let mut events = lines(&session.next().await.unwrap()).len();
    let old = format!(
        "(SELECT backend_start < clock_timestamp() - interval '5s' FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = '{}')",
        stage.database
    );
    wait_for(&SERVER, &stage.database, &old);
    events += lines(&until_done(&session).await).len();
    assert_eq!(events, 50_000 + 1 + 4);
}
