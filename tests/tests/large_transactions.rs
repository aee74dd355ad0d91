//! Transactions that are received in pieces while they are in progress: killed in the middle, in flat memory, with too
//! little disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::fold::{Fold, assert_none};
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::usage::memory_bytes;
use postgres::Client;

/// Every transaction of more than this is sent in pieces.
static SERVER: LazyLock<Arc<Cluster>> =
    LazyLock::new(|| Cluster::start(Settings::default().with("logical_decoding_work_mem", "64kB")));

const TABLES: &str = "create table a (n int primary key, v text); create table b (n int primary key, v text);
    create table done (n int primary key)";

fn database(name: &str) -> Database {
    let db = Database::create_in(Arc::clone(&SERVER), name);
    db.execute(TABLES);
    db
}

fn manifest(db: &Database, more: &str) -> Manifest {
    let config = format!("all_tables: true, persistent_slot: true, slot_name: {}{more}", db.name());
    Manifest::wal_of(&db.url(), &config)
        .sink("log", "{ use: file, config: { path: ./events.jsonl, max_size: 0 } }")
}

fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

fn insert(table: &str, from: u32, to: u32) -> String {
    format!("insert into {table} select n, repeat('v', 150) from generate_series({from}, {to}) n;")
}

fn spilled(desk: &Desk) -> Vec<PathBuf> {
    let files = std::fs::read_dir(desk.path("state/spill")).into_iter().flatten().flatten();
    files.map(|file| file.path()).collect()
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |data| data.len())
}

/// What the sink has got, judged: the tables are what the source says, and one change has one id.
fn judge(db: &Database, desk: &Desk) -> usize {
    let text = desk.read("events.jsonl");
    let events = Event::parse_all(&text.lines().collect::<Vec<_>>());
    let mut fold = Fold::of(&[("a", &["n"]), ("b", &["n"])]);
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut anomalies = Vec::new();
    for event in &events {
        anomalies.extend(fold.apply(event).err());
        // No row is changed twice in the same way.
        let change = format!("{} {:?} {}", event.operation, event.table(), event.row());
        let first = ids.entry(change).or_insert_with(|| event.id.clone());
        assert_eq!(*first, event.id, "one change under two ids");
    }
    for table in ["a", "b"] {
        anomalies.extend(fold.differences(table, &db.rows(table)));
    }
    assert_none("file", &anomalies);
    fold.repeated()
}

#[test]
fn killed_while_pieces_come_in_and_while_they_go_out_nothing_is_lost_and_ids_stay() {
    let (db, desk) = (database("pieces"), Desk::new());
    let manifest = manifest(&db, "");
    let (mut one, mut two) = (db.connect(), db.connect());
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    run(&mut one, &format!("begin; {}", insert("a", 1, 20_000)));
    run(
        &mut one,
        &format!(
            "savepoint s; {} rollback to s; {}",
            insert("a", 50_001, 60_000),
            insert("a", 20_001, 30_000)
        ),
    );
    run(&mut two, &format!("begin; {}", insert("b", 1, 10_000)));
    // Something that commits makes the server flush what the others wrote, and decode it.
    db.execute(&insert("b", 100_001, 100_010));
    poll::until("pieces on the disk", || (!spilled(&desk).is_empty()).then_some(()));
    pgcdc.kill();
    let left: Vec<PathBuf> = spilled(&desk);
    assert!(!left.is_empty(), "the killed process could not have removed them");

    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    run(&mut two, &format!("{} rollback", insert("b", 10_001, 30_000)));
    poll::until("pieces on the disk again", || {
        spilled(&desk).iter().any(|path| length(path) > 1 << 20).then_some(())
    });
    let log = desk.path("events.jsonl");
    let before = length(&log);
    run(
        &mut one,
        &format!("update a set v = 'changed' where n % 5 = 0; {} commit", "delete from a where n % 7 = 0;"),
    );
    // In the middle of what comes out of the pieces.
    poll::until("some of it delivered", || (length(&log) > before + 100_000).then_some(()));
    pgcdc.kill();

    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    run(
        &mut two,
        &format!(
            "begin; {} truncate done; {} commit",
            insert("b", 30_001, 35_000),
            insert("b", 35_001, 36_000)
        ),
    );
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    println!("repeated: {}", judge(&db, &desk));
    assert_eq!(spilled(&desk), [] as [PathBuf; 0]);
}

/// The value of a sample whose line starts with `series`.
fn sample(address: &str, series: &str) -> Option<u64> {
    let (_, metrics) = http::get(address, "/metrics").ok()?;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn memory_stays_flat_whatever_a_transaction_weighs_and_metrics_say_what_is_on_the_disk() {
    const ROWS: u32 = 150_000;
    let (db, desk) = (database("flat"), Desk::new());
    let address = format!("127.0.0.1:{}", free_port());
    let pgcdc: Pgcdc = desk.run(&manifest(&db, "").line(&format!("metrics_addr: \"{address}\"")));
    db.wait_streaming();
    let mut client = db.connect();
    run(
        &mut client,
        &format!("begin; insert into a select n, repeat('v', 1000) from generate_series(1, {ROWS}) n"),
    );
    db.execute("insert into done values (1)");
    let held = poll::until("most of it on the disk", || {
        sample(&address, "pgcdc_wal_spill_bytes{detector=\"source\"}").filter(|bytes| *bytes > 100_000_000)
    });
    assert_eq!(sample(&address, "pgcdc_wal_streamed_open{detector=\"source\"}"), Some(1));
    assert_eq!(spilled(&desk).iter().map(|path| length(path)).max().map(|bytes| bytes >= held), Some(true));
    run(&mut client, "commit");
    db.wait_confirmed(db.name());
    assert_eq!(sample(&address, "pgcdc_wal_streamed_total{detector=\"source\"}"), Some(1));
    assert_eq!(sample(&address, "pgcdc_wal_spill_bytes{detector=\"source\"}"), Some(0));
    let written = sample(&address, "pgcdc_wal_spill_written_bytes_total{detector=\"source\"}").unwrap();
    // A thousand bytes and what stands around them in the stream.
    assert!(written < u64::from(ROWS) * 1_060, "{written} bytes were written for {ROWS} rows");
    let peak = memory_bytes(pgcdc.pid(), "VmHWM").unwrap();
    assert!(peak <= 128 << 20, "{peak} bytes of memory");
    pgcdc.stop_clean();
    assert_eq!(desk.read("events.jsonl").lines().count(), ROWS as usize + 1);
}

#[test]
fn what_the_disk_has_no_room_for_halts_with_size_and_place_and_comes_once_it_has() {
    let (db, desk) = (database("room"), Desk::new());
    let pgcdc = desk.run(&manifest(&db, ", spill_max: 1MiB"));
    db.wait_streaming();
    db.execute("insert into done values (1)");
    db.execute(&insert("a", 1, 20_000));
    let exit = pgcdc.wait();
    exit.assert_refused(&["spill_max", "1MiB", "state/spill", "streaming: off", "nothing is lost"]);
    assert_eq!(spilled(&desk), [] as [PathBuf; 0]);
    // The server keeps them, as it says.
    let pgcdc = desk.run(&manifest(&db, ", spill_max: 1MiB, streaming: off"));
    db.wait_streaming();
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    db.execute(&insert("b", 1, 20_000));
    let pgcdc = desk.run(&manifest(&db, ""));
    db.wait_streaming();
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    assert_eq!(judge(&db, &desk), 0);
    assert_eq!(desk.read("events.jsonl").lines().count(), 40_001);
}
