//! A secret that was given to pgcdc is seen by nobody but the peer that it is for.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::free_port::free_port;
use pgcdc_tests::support::http;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::receiver::{Fault, Receiver};
use pgcdc_tests::support::signature;

const ROLE: &str = "canary-in-the-role";
const SIGNING: &str = "canary-that-signs";
const LITERAL: &str = "canary-in-the-file";
const TOKEN: &str = "canary-in-the-query";
const ROW: &str = "canary-in-a-row";

fn assert_silent(place: &str, text: &str) {
    for canary in [ROLE, SIGNING, LITERAL, TOKEN, ROW] {
        if let Some(line) = text.lines().find(|line| line.contains(canary)) {
            panic!("{place} shows `{canary}`: {line}");
        }
    }
}

/// A database whose role has a canary for a password.
fn database(name: &str) -> (Database, String) {
    let db = Database::create(name);
    db.execute(&format!("create role {name} superuser login password '{ROLE}'"));
    db.execute("create table t (k int primary key, v text)");
    let url = db.cluster().url_as(name, ROLE, db.name());
    (db, url)
}

fn manifest(url: &str, hook: &str, metrics: &str) -> Manifest {
    let hooked = format!("{hook}?token={TOKEN}");
    Manifest::wal_of(url, "all_tables: true")
        .sink("hook", &format!("{{ use: webhook, config: {{ url: \"{hooked}\", signing_key: {{ secret: hook }} }}, policy: {{ retries: 2 }} }}"))
        .sink("other", &format!("{{ use: webhook, config: {{ url: \"{hooked}\", signing_key: \"{LITERAL}\" }}, policy: {{ retries: 2 }} }}"))
        .line("dlq: { use: none }")
        .line("secrets: { hook: { env: HOOK_KEY } }")
        .line(&format!("metrics_addr: \"{metrics}\""))
}

#[test]
fn neither_logs_nor_metrics_nor_health_show_a_secret_or_a_row() {
    let ((db, url), desk, receiver) = (database("canary_logs"), Desk::new(), Receiver::start());
    let metrics = format!("127.0.0.1:{}", free_port());
    desk.write("pgcdc.yaml", manifest(&url, &receiver.url(), &metrics).text());
    let pgcdc = desk.start(&["--log-level", "debug", "run", "pgcdc.yaml"], &[("HOOK_KEY", SIGNING)]);
    db.wait_streaming();
    receiver.script([Fault::Reject(500), Fault::Reject(422), Fault::FailAfterWrite, Fault::Reject(500)]);
    db.execute(&format!("insert into t select n, '{ROW}' from generate_series(1, 5) n"));
    // Ten posts, of which one is refused; whatever the order, both sinks are among nine.
    let taken = receiver.wait_accepted(9);
    let signed =
        taken.iter().any(|d| d.header("x-pgcdc-signature") == Some(&signature::expected(SIGNING, &d.body)));
    assert!(signed, "the secret did not arrive at all");
    assert!(taken.iter().all(|delivery| delivery.path.ends_with(TOKEN)));
    for path in ["/metrics", "/healthz", "/readyz", "/livez"] {
        assert_silent(path, &http::get(&metrics, path).unwrap().1);
    }
    assert_silent("the log", &pgcdc.stop().stderr);
}

#[test]
fn errors_show_no_secret() {
    let ((db, url), desk) = (database("canary_errors"), Desk::new());
    let wrong = [
        url.replace(ROLE, &format!("{ROLE}x")),
        url.replace(db.name(), "absent"),
        url.replace("postgres://", "postgres//"),
        format!("{url}?sslmode=verify-full"),
        format!("{url}?sslmode=nonsense"),
    ];
    for url in wrong {
        let manifest = manifest(&url, "http://127.0.0.1:1/in", "127.0.0.1:0");
        let exit = desk.run_text(&manifest.text(), &[("HOOK_KEY", SIGNING)]).wait();
        assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
        assert_silent("an error", &exit.stderr);
    }
}

#[test]
fn the_printed_manifest_shows_no_secret() {
    let ((_db, url), desk) = (database("canary_print"), Desk::new());
    let hook = format!("https://hooks.example.com/in?token={TOKEN}");
    let flags = [
        "listen",
        "--db",
        &url,
        "--detector",
        "wal",
        "--all-tables",
        "--adapter",
        "webhook",
        "--url",
        &hook,
        "--signing-key",
        SIGNING,
        "--print-manifest",
    ];
    let exit = desk.start(&flags, &[]).wait();
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    let printed = exit.stdout.join("\n");
    assert!(printed.contains("webhook"), "{printed}");
    assert_silent("--print-manifest", &printed);
    assert_silent("--print-manifest", &exit.stderr);
}
