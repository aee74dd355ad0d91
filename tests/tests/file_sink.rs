//! The file sink appends one envelope a line, goes on where it stopped, and rotates by size.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::poll;

fn manifest(db: &Database, config: &str) -> Manifest {
    Manifest::persistent(db)
        .sink("log", &format!("{{ use: file, config: {{ path: ./events.jsonl{config} }} }}"))
}

fn numbers(text: &str) -> Vec<i64> {
    let lines: Vec<&str> = text.lines().collect();
    Event::parse_all(&lines).iter().map(|event| event.column("n").and_then(Exact::integer).unwrap()).collect()
}

#[test]
fn a_stop_and_a_start_neither_lose_nor_repeat() {
    let (db, desk) = (Database::create("file"), Desk::new());
    db.execute("create table t (n int primary key)");
    let pgcdc = desk.run(&manifest(&db, ""));
    db.wait_streaming();
    db.execute("insert into t select generate_series(1, 100)");
    poll::until("the first hundred", || (desk.read("events.jsonl").lines().count() == 100).then_some(()));
    pgcdc.stop_clean();
    db.execute("insert into t select generate_series(101, 200)");
    let pgcdc = desk.run(&manifest(&db, ""));
    db.wait_streaming();
    db.execute("insert into t values (201)");
    poll::until("the rest", || (desk.read("events.jsonl").lines().count() >= 201).then_some(()));
    pgcdc.stop_clean();
    assert_eq!(numbers(&desk.read("events.jsonl")), (1..=201).collect::<Vec<_>>());
}

#[test]
fn a_full_file_is_rotated_and_no_line_is_cut() {
    let (db, desk) = (Database::create("rotation"), Desk::new());
    db.execute("create table t (n int primary key, filler text)");
    let pgcdc = desk.run(&manifest(&db, ", max_size: 20000, max_files: 50"));
    db.wait_streaming();
    for block in 0..20 {
        let (first, last) = (block * 10 + 1, block * 10 + 10);
        db.execute(&format!(
            "insert into t select n, repeat('x', 200) from generate_series({first}, {last}) n"
        ));
    }
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    let old: Vec<String> = (1..=50).rev().map(|n| desk.read(&format!("events.jsonl.{n}"))).collect();
    let files: Vec<String> =
        old.into_iter().chain([desk.read("events.jsonl")]).filter(|f| !f.is_empty()).collect();
    assert!(files.len() > 2, "{} files of at most 20,000 bytes for more than 60,000", files.len());
    assert!(files.iter().all(|file| file.ends_with('\n')));
    assert_eq!(
        files.iter().flat_map(|file| numbers(file)).collect::<Vec<_>>(),
        (1..=200).collect::<Vec<_>>()
    );
}

#[test]
fn only_so_many_old_files_are_kept() {
    let (db, desk) = (Database::create("kept"), Desk::new());
    db.execute("create table t (n int primary key, filler text)");
    let pgcdc = desk.run(&manifest(&db, ", max_size: 2000, max_files: 2"));
    db.wait_streaming();
    for n in 1..=20 {
        db.execute(&format!("insert into t values ({n}, repeat('x', 1500))"));
    }
    db.wait_confirmed(db.name());
    pgcdc.stop_clean();
    assert!(desk.path("events.jsonl.2").is_file() && !desk.path("events.jsonl.3").exists());
}
