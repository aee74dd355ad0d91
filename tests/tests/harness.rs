//! The harness itself: what it starts, it ends; what it claims to have seen, was there.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use pgcdc_tests::support::cluster::{Cluster, Settings};
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::poll;
use pgcdc_tests::support::receiver::{Fault, Receiver};
use pgcdc_tests::support::samples::{ODD_SETTINGS, create_tables, fill};
use pgcdc_tests::support::signature;
use pgcdc_tests::support::writers::{TABLES, Writers};

#[test]
fn writers_know_what_a_killed_server_has_committed() {
    let db = Database::alone("writers");
    db.execute(TABLES);
    let writers = Writers::start(&db.url(), 2, 150);
    writers.wait_committed(40);
    db.cluster().kill();
    db.cluster().start_again();
    let done = writers.finish();
    let committed = done.iter().flatten().filter(|transaction| transaction.committed).count();
    assert!((200..300).contains(&committed), "{committed} of 300, a tenth is rolled back");
    let counted = db.text("select count(*)::text from ledger_commits");
    assert_eq!(counted, Some(committed.to_string()));
}

#[test]
fn tests_of_one_program_share_a_server_but_no_database() {
    let (one, two) = (Database::create("mine"), Database::create("mine"));
    assert_ne!(one.name(), two.name());
    assert_eq!(one.cluster().port(), two.cluster().port());
    one.execute("create table t (n numeric); insert into t values (1.00)");
    assert_eq!(one.rows("t").first().map(ToString::to_string).as_deref(), Some(r#"{"n":1.00}"#));
}

#[test]
fn a_killed_test_leaves_neither_processes_nor_data() {
    const FLAG: &str = "PGCDC_TEST_HANG";
    if std::env::var_os(FLAG).is_some() {
        let cluster = Cluster::start(Settings::default());
        let desk = Desk::new();
        println!("\n>{} {} {}", cluster.folder().display(), desk.folder().display(), cluster.pid());
        std::io::stdout().flush().unwrap();
        loop {
            std::thread::park();
        }
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command
        .args(["--exact", "a_killed_test_leaves_neither_processes_nor_data", "--nocapture"])
        .env(FLAG, "1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with('>')).unwrap();
    let told: Vec<&str> = line[1..].split(' ').collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = |path: &str| (!std::path::Path::new(path).exists()).then_some(());
    poll::until("the server's folder to go", || gone(told[0]));
    poll::until("the desk to go", || gone(told[1]));
    // Gone, or waiting for an init that never looks after its children.
    let ended = |pid: &str| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z ").then_some(()),
        Err(_) => {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), None).err().map(drop)
        }
    };
    poll::until("the server to go", || ended(told[2]));
}

#[test]
fn the_receiver_does_as_scripted() {
    let receiver = Receiver::start();
    receiver.script([Fault::Reject(500), Fault::FailAfterWrite, Fault::RejectFor(429, 7), Fault::Hold]);
    let post = |body: &str| {
        let mut stream = TcpStream::connect(receiver.address()).unwrap();
        write!(
            stream,
            "POST /in HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    };
    let answer = |stream: TcpStream| std::io::read_to_string(stream).unwrap_or_default();
    assert!(answer(post("a")).starts_with("HTTP/1.1 500"));
    assert_eq!(answer(post("b")), "");
    assert!(answer(post("c")).contains("retry-after: 7"));
    let held = post("d");
    receiver.wait("the held one", |all| all.len() == 4);
    receiver.release();
    assert!(answer(held).starts_with("HTTP/1.1 200"));
    let taken: Vec<_> = receiver.wait_accepted(2).into_iter().map(|delivery| delivery.body).collect();
    assert_eq!(taken, ["b", "d"]);
}

#[test]
fn the_samples_of_types_are_valid() {
    let db = Database::create("samples");
    db.execute(&ODD_SETTINGS.replace("{db}", db.name()));
    let mut client = db.connect();
    let tables = create_tables(&mut client);
    assert!(tables.len() > 40);
    for table in &tables {
        fill(&mut client, table);
        assert!(db.rows(&table.name).len() > 2);
    }
}

#[test]
fn signatures_are_those_of_rfc_4231() {
    let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(signature::expected("Jefe", b"what do ya want for nothing?"), expected);
}
