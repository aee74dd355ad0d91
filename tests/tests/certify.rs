//! `pgcdc certify`, the command: it proves a sound pgcdc, leaves nothing behind, and touches nothing that is not its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::repository::{faulty_binary, pgcdc_binary, root};
use pgcdc_tests::support::{peers, poll};

fn certify(db: &Database, arguments: &[&str]) -> Output {
    let mut command = Command::new(pgcdc_binary());
    command.env_clear().args(["certify", "--db", &db.url()]).args(arguments);
    command.output().unwrap_or_else(|error| panic!("pgcdc does not run: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Schemas, publications and slots of certify's name.
const LEFT: &str = "select (select count(*) from pg_namespace where nspname = 'pgcdc_certify')
    + (select count(*) from pg_publication) + (select count(*) from pg_replication_slots)";

#[test]
fn kills_at_random_lose_nothing_and_leave_nothing() {
    let db = Database::alone("certify");
    let output = certify(&db, &["--kills", "60", "--syscalls", "--json"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    let report = Exact::parse(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    println!("{said}");
    assert_eq!(report.get("crash_points").and_then(Exact::integer), Some(60));
    let Some(Exact::Object(anomalies)) = report.get("anomalies") else { panic!("{said}") };
    assert!(anomalies.len() > 8 && anomalies.values().all(|count| count.integer() == Some(0)), "{said}");
    assert!(report.get("changes").and_then(Exact::integer) > Some(100), "{said}");
    let Some(Exact::Object(crashes)) = report.get("crashes") else { panic!("{said}") };
    match report.get("skipped") {
        Some(Exact::List(skipped)) if skipped.is_empty() => {
            assert!(crashes.keys().any(|name| name.starts_with("syscall::")), "{said}");
        }
        why => peers::without("kills at system calls", &format!("{why:?}")),
    }
    assert_eq!(db.text(&format!("select ({LEFT})::text")).as_deref(), Some("0"));
}

#[test]
fn told_to_stop_it_judges_and_keeps_what_there_is() {
    let db = Database::alone("certify");
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
    let points = folder.path().join("points.json");
    let mut command = Command::new(pgcdc_binary());
    command.env_clear().args(["certify", "--db", &db.url(), "--kills", "100000", "--points"]).arg(&points);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let running = running.unwrap_or_else(|error| panic!("pgcdc does not run: {error}"));
    poll::until("a life that reads", || {
        db.text("select 'yes' from pg_replication_slots where active_pid is not null")
    });
    let pid = i32::try_from(running.id()).unwrap_or_default();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap_or_else(|error| panic!("{error}"));
    let output = running.wait_with_output().unwrap_or_else(|error| panic!("{error}"));
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && told.contains("judging what there is"), "{said}\n{told}");
    let kept = std::fs::read_to_string(&points).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(kept.contains("\"runs\": 1"), "{kept}");
    assert_eq!(db.text(&format!("select ({LEFT})::text")).as_deref(), Some("0"));
}

#[test]
fn what_is_there_already_is_refused_and_stays() {
    let db = Database::alone("taken");
    db.execute("create schema pgcdc_certify; create table pgcdc_certify.mine (n int)");
    let output = certify(&db, &["--kills", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for word in ["a schema named pgcdc_certify already", "--name", "drop schema"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(db.text("select count(*)::text from pgcdc_certify.mine").as_deref(), Some("0"));
    let output = certify(&db, &["--kills", "1", "--name", "other"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let bad = certify(&db, &["--name", "x; drop table y"]);
    assert_eq!(bad.status.code(), Some(1));
}

#[test]
fn the_shipped_executable_has_no_place_that_can_be_told_to_fail() {
    let list = root().join("host/src/fault/told.rs");
    let list = std::fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
    let places: Vec<&str> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next())
        .filter(|name| name.contains("::"))
        .collect();
    assert!(places.len() >= 20, "{places:?}");
    let in_it = |path: &Path| {
        let executable = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = |place: &&&str| executable.windows(place.len()).any(|window| window == place.as_bytes());
        places.iter().filter(found).count()
    };
    assert_eq!(in_it(&pgcdc_binary()), 0);
    if let Some(faulty) = faulty_binary() {
        assert_eq!(in_it(&faulty), places.len(), "the other one has them all");
    }
    let asked = Command::new(pgcdc_binary()).arg("faults").output().unwrap_or_else(|error| panic!("{error}"));
    assert!(!asked.status.success());
}
