//! A manifest with a mistake is refused before anything opens, with file, line, column and the way out.

use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::pgcdc::Exit;

/// Nothing listens there; whoever tries to connect has not checked the manifest first.
const GOOD: &str = "version: 1
state_dir: ./state
detectors:
  shop:
    use: wal
    config: { db: \"postgres://u:p@127.0.0.1:1/d\", all_tables: true }
sinks:
  out:
    use: stdout
  hook:
    use: webhook
    config: { url: \"http://127.0.0.1:1/in\" }
";

fn run(manifest: impl AsRef<[u8]>) -> Exit {
    let desk = Desk::new();
    desk.write("pgcdc.yaml", manifest);
    desk.start(&["run", "pgcdc.yaml"], &[]).wait()
}

/// The good manifest with one thing replaced, and what the refusal must say.
#[track_caller]
fn refused(from: &str, to: &str, words: &[&str]) {
    assert!(GOOD.contains(from));
    run(GOOD.replacen(from, to, 1)).assert_refused(words);
}

#[test]
fn an_unknown_key_is_named_with_its_nearest() {
    refused("detectors:", "detektors:", &["pgcdc.yaml:3:1", "detektors", "detectors"]);
    refused("    use: webhook", "    use: webhook\n    polcy: {}", &["pgcdc.yaml:12:5", "polcy", "policy"]);
}

#[test]
fn an_unknown_option_of_a_connector_is_named_with_its_nearest() {
    refused("all_tables: true", "all_tabels: true", &["pgcdc.yaml:6:", "all_tabels", "all_tables"]);
    refused(
        "{ url: \"http://127.0.0.1:1/in\" }",
        "{ ulr: \"http://x/\" }",
        &["pgcdc.yaml:12:", "ulr", "url"],
    );
}

#[test]
fn an_unknown_connector_is_named_with_its_nearest() {
    refused("use: stdout", "use: stdut", &["pgcdc.yaml:9:", "stdut", "stdout"]);
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    refused("version: 1", "version: 1\nversion: 1", &["pgcdc.yaml:2:1", "version"]);
    refused("  hook:\n", "  out:\n", &["pgcdc.yaml:10:3", "out"]);
}

#[test]
fn a_wrong_type_is_refused() {
    refused("all_tables: true", "all_tables: \"of course\"", &["pgcdc.yaml:6:", "all_tables"]);
    refused("version: 1", "version: one", &["pgcdc.yaml:1:", "version"]);
    refused("sinks:", "transforms: 7\nsinks:", &["pgcdc.yaml:7:", "transforms"]);
}

#[test]
fn a_missing_option_is_named() {
    refused("config: { url: \"http://127.0.0.1:1/in\" }", "config: {}", &["pgcdc.yaml:", "url"]);
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    refused("http://127.0.0.1:1/in", "${NOT_SET_ANYWHERE}", &["pgcdc.yaml:12:", "NOT_SET_ANYWHERE"]);
}

#[test]
fn a_secret_that_nobody_declared_is_named() {
    refused("{ url: ", "{ signing_key: { secret: hooky }, url: ", &["pgcdc.yaml:12:", "hooky"]);
}

#[test]
fn a_version_from_the_future_is_refused() {
    refused("version: 1", "version: 2", &["pgcdc.yaml:1:", "version"]);
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    refused("  shop:", "\tshop:", &["pgcdc.yaml:4:"]);
    refused("  shop:", "  shop: [", &["pgcdc.yaml:"]);
    run(b"version: 1\nstate_dir: \xff\xfe\n").assert_refused(&["pgcdc.yaml", "UTF-8"]);
    run("").assert_refused(&["pgcdc.yaml"]);
    run("[]").assert_refused(&["pgcdc.yaml:1:"]);
}

#[test]
fn a_bomb_of_aliases_does_not_go_off() {
    let mut bomb = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let list = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb += &format!("a{n}: &a{n} [{list}]\n");
    }
    run(bomb).assert_refused(&["pgcdc.yaml:"]);
}

#[test]
fn every_mistake_is_told_at_once() {
    let two = GOOD.replacen("all_tables", "all_tabels", 1).replacen("use: stdout", "use: stdut", 1);
    run(two).assert_refused(&["pgcdc.yaml:6:", "pgcdc.yaml:9:"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let desk = Desk::new();
    desk.start(&["run", "nowhere.yaml"], &[]).wait().assert_refused(&["nowhere.yaml"]);
    desk.start(&["run", "."], &[]).wait().assert_refused(&["."]);
}
