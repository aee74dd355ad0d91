//! A stranger's component: runs as the README says, gets what was granted, and not before it was granted.

use std::net::TcpListener;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::guests::{checkout, guest, hello};
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Exit;
use pgcdc_tests::support::receiver::Receiver;

/// The first block of YAML in the SDK's README.
fn manifest_of_the_readme() -> String {
    let readme = std::fs::read_to_string(checkout().join("sdk/README.md")).unwrap();
    let (_, block) = readme.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_example_runs_as_its_readme_says() {
    let Some(component) = hello("the_example_runs_as_its_readme_says") else { return };
    let (db, desk) = (Database::create("readme"), Desk::new());
    db.execute("create table t (id int primary key)");
    let folder = desk.path("target/wasm32-wasip2/release");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(component, folder.join("hello_sink.wasm")).unwrap();
    let pgcdc = desk.run_text(&manifest_of_the_readme(), &[("DATABASE_URL", &db.url())]);
    db.wait_streaming();
    pgcdc.at_once(&db, || db.execute("insert into t values (1), (2)"));
    pgcdc.stdout().wait_line(0, "hello Ada, 2 changes:");
    pgcdc.stop_clean();
}

/// Runs the example with `more` in its sink's braces, beside a file sink, from a server that nobody may connect to.
fn run_ungranted(desk: &Desk, more: &str) -> Exit {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let url = format!("postgres://u:p@{}/d", nobody.local_addr().unwrap());
    let manifest = Manifest::wal_of(&url, "all_tables: true")
        .sink("first", "{ use: file, config: { path: ./opened.ndjson } }")
        .sink("hello", &format!("{{ use: ./hello.wasm, config: {{ name: Ada }}{more} }}"));
    let exit = desk.run(&manifest).wait();
    assert!(nobody.accept().is_err(), "it connected to the database");
    assert!(!desk.path("opened.ndjson").exists(), "it opened another sink's file");
    exit
}

#[test]
fn more_than_granted_is_refused_before_anything_opens_and_the_line_to_paste_helps() {
    let Some(component) = hello("more_than_granted") else { return };
    let desk = Desk::new();
    desk.write("hello.wasm", std::fs::read(component).unwrap());
    let exit = run_ungranted(&desk, "");
    exit.assert_refused(&["hello", "console", "not granted", "grants: {"]);
    let paste = exit.stderr.lines().find_map(|line| line.split_once("add: ")).unwrap().1.trim_end();

    let db = Database::create("pasted");
    db.execute("create table t (id int primary key)");
    let flow = format!("{{ use: ./hello.wasm, config: {{ name: Ada }}, {paste} }}");
    let pgcdc = desk.run(&Manifest::wal(&db).sink("hello", &flow));
    db.wait_streaming();
    db.execute("insert into t values (1)");
    pgcdc.stdout().wait_line(0, "hello Ada, 1 changes:");
    pgcdc.stop_clean();
}

#[test]
fn a_pin_decides_which_file_runs() {
    let Some(component) = hello("a_pin_decides_which_file_runs") else { return };
    let desk = Desk::new();
    desk.write("hello.wasm", std::fs::read(component).unwrap());
    let granted = ", grants: { console: [ stdout ] }";
    let wrong = format!("{granted}, sha256: {}", "0123456789abcdef".repeat(4));
    let exit = run_ungranted(&desk, &wrong);
    exit.assert_refused(&["hello.wasm", "sha256"]);

    let added = desk.start(&["add", "hello.wasm"], &[]).wait();
    assert_eq!(added.code(), Some(0), "{}", added.stderr);
    let right = added.stdout.iter().find_map(|line| line.strip_prefix("sha256: ")).unwrap();
    let db = Database::create("pinned");
    db.execute("create table t (id int primary key)");
    let flow = format!("{{ use: ./hello.wasm, sha256: {right}{granted} }}");
    let pgcdc = desk.run(&Manifest::wal(&db).sink("hello", &flow));
    db.wait_streaming();
    db.execute("insert into t values (1)");
    pgcdc.stdout().wait_line(0, "hello world, 1 changes:");
    pgcdc.stop_clean();
}

#[test]
fn a_socket_of_ones_own_is_refused() {
    let Some(component) = guest("socket", "a_socket_of_ones_own_is_refused") else { return };
    let (desk, receiver) = (Desk::new(), Receiver::start());
    desk.write("socket.wasm", std::fs::read(component).unwrap());
    let flow = format!("{{ use: ./socket.wasm, config: {{ address: \"{}\" }} }}", receiver.address());
    let manifest = Manifest::wal_of("postgres://u:p@127.0.0.1:1/d", "all_tables: true").sink("out", &flow);
    desk.run(&manifest).wait().assert_refused(&["socket.wasm", "wasi:sockets"]);
    assert!(receiver.attempts().is_empty());
}

#[test]
fn what_a_standard_library_drags_in_shows_nothing_of_the_machine() {
    let Some(component) = guest("sink", "what_a_standard_library_drags_in") else { return };
    let (db, desk, receiver) = (Database::create("pried"), Desk::new(), Receiver::start());
    db.execute("create table t (id int primary key)");
    desk.write("guest.wasm", std::fs::read(component).unwrap());
    let flow = format!("{{ use: ./guest.wasm, config: {{ url: \"{}\", pry: true }} }}", receiver.url());
    let pgcdc = desk.run(&Manifest::wal(&db).sink("guest", &flow));
    db.wait_streaming();
    db.execute("insert into t values (1)");
    let [delivery] = receiver.wait_accepted(1).try_into().unwrap();
    assert_eq!(delivery.header("x-pried"), Some("files 0 arguments 0 variables 0"));
    assert!(!desk.path("pried").exists());
    pgcdc.stop_clean();
}

#[test]
fn a_source_of_ones_own_is_delivered_and_ends() {
    let Some(component) = guest("source", "a_source_of_ones_own") else { return };
    let desk = Desk::new();
    desk.write("guest.wasm", std::fs::read(component).unwrap());
    let manifest = "version: 1\nstate_dir: ./state\ndetectors:\n  made: { use: ./guest.wasm, config: { batches: 3 } }\n\
                    sinks:\n  out: { use: stdout }\n";
    let exit = desk.run_text(manifest, &[]).wait();
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    let events = Event::parse_all(&exit.stdout);
    let numbers: Vec<_> = events.iter().map(|e| e.payload.get("number").and_then(Exact::integer)).collect();
    assert_eq!(numbers, (0..6).map(Some).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.channel == "made-up"));
    let ids: std::collections::HashSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), 6, "ids repeat");
}

#[test]
fn a_transform_of_ones_own_passes_everything_on() {
    let Some(component) = guest("transform", "a_transform_of_ones_own") else { return };
    let (db, desk) = (Database::create("passed"), Desk::new());
    db.execute("create table t (id int primary key)");
    desk.write("guest.wasm", std::fs::read(component).unwrap());
    let pgcdc = desk.run(&Manifest::wal(&db).transform("{ use: ./guest.wasm }").stdout());
    db.wait_streaming();
    db.execute("insert into t select n from generate_series(1, 100) n");
    let ids: Vec<_> = pgcdc.events(100).iter().map(|e| e.column("id").and_then(Exact::integer)).collect();
    assert_eq!(ids, (1..=100).map(Some).collect::<Vec<_>>());
    pgcdc.stop_clean();
}
