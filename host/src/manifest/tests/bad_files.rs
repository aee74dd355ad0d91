//! Files that are not manifests: one clear answer each.

use std::path::Path;

use super::{complaint, env, parsed_as, with_sink};
use crate::manifest::parse;

fn refused(name: &str, text: &[u8]) -> String {
    parsed_as(name, text).map(|_| "accepted".to_owned()).unwrap_or_else(|report| report.to_string())
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let text = with_sink("    use: stdout\n    polcy: { retries: 3 }\n");
    let golden = "pgcdc.yaml:7:5: audit has no key `polcy`
 7 |     polcy: { retries: *** }
   |     ^^^^^
  help: did you mean `policy`?";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn two_sinks_with_one_name() {
    let text = with_sink("    use: stdout\n  audit: { use: file }\n");
    let golden = "pgcdc.yaml:7:3: `audit` is written twice under `sinks`; first in line 5
 7 |   audit: { ***: *** }
   |   ^^^^^";
    assert_eq!(complaint(&text), golden);
    let toml = "version = 1\n[sinks.a]\nuse = \"stdout\"\n[sinks.a]\n";
    let golden = "a.toml:4:8: not valid TOML: duplicate key\n 4 | [sinks.a]\n   |        ^^";
    assert_eq!(refused("a.toml", toml.as_bytes()), golden);
}

#[test]
fn wrong_types_all_at_once() {
    let text = "version: 1\ndetectors: []\nsinks:\n  a: { use: 7, policy: { retries: no, timeout: 10 } }\nmetrics_addr: 9090\n";
    let golden = "pgcdc.yaml:2:12: detectors must be a map from your names to connectors, found a list
 2 | detectors: []
   |            ^^
pgcdc.yaml:4:13: use must be text, found a whole number
 4 |   a: { use: 7, policy: { retries: ***, timeout: *** } }
   |             ^
  help: put it in quotes
pgcdc.yaml:5:15: metrics_addr must be text, found a whole number
 5 | metrics_addr: 9090
   |               ^^^^
  help: put it in quotes";
    assert_eq!(complaint(text), golden);
    let text = with_sink("    use: stdout\n    policy: { retries: no, timeout: 10, on_full: blok }\n");
    let golden = "pgcdc.yaml:7:24: retries must be a whole number from 0 to 4294967295
 7 |     policy: { retries: no, timeout: 10, on_full: blok }
   |                        ^^
pgcdc.yaml:7:37: timeout must be a duration of more than 0, such as 500ms, 10s or 1m30s
 7 |     policy: { retries: no, timeout: 10, on_full: blok }
   |                                     ^^
pgcdc.yaml:7:50: on_full must be one of block, shed, fail
 7 |     policy: { retries: no, timeout: 10, on_full: blok }
   |                                                  ^^^^
  help: did you mean `block`?";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn an_unset_variable_has_a_place() {
    let text = with_sink("    use: webhook\n    config: { url: \"https://h/${TOKEN}\" }\n");
    let golden = "pgcdc.yaml:7:31: the environment variable TOKEN is not set
 7 |     config: { url: *** }
   |                    ^^^
  help: set it, or give a default: ${TOKEN:-…}";
    assert_eq!(complaint(&text), golden);
    let text = "version: 1\n\"${KEY}\": 1\n";
    assert!(complaint(text).starts_with("pgcdc.yaml:2:1: variables are not replaced in keys"));
}

#[test]
fn a_route_to_nothing() {
    let text = with_sink("    use: stdout\n    routes: []\n");
    let golden = "pgcdc.yaml:7:13: a sink with no routes gets nothing
 7 |     routes: []
   |             ^^
  help: leave `routes` out to send everything, or name channels such as pgcdc:orders";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn tabs_bytes_and_other_slips() {
    let golden = "a.yaml:3:1: a tab is used for indentation
 3 |  use: ***
   | ^
  help: indent with spaces: YAML does not allow tabs there";
    assert_eq!(refused("a.yaml", b"version: 1\nsinks:\n\tuse: stdout\n"), golden);
    let golden = "a.yaml:2:5: the file is not valid UTF-8 from here on
 2 | a: ***
   |     ^
  help: save the file as UTF-8";
    assert_eq!(refused("a.yaml", b"version: 1\na: b\xff\n"), golden);
    assert_eq!(refused("a.yaml", b""), "a.yaml: the file is empty\n  help: begin with `version: 1`");
    assert_eq!(
        refused("a.yaml", b"# nothing\n"),
        "a.yaml: the file is empty\n  help: begin with `version: 1`"
    );
    assert!(refused("a.yaml", b"- 1\n").contains("the manifest must be a map, found a list"));
    assert!(refused("a.yaml", b"version: 1\n---\nversion: 1\n").contains("a second document"));
    assert!(refused("a.yaml", b"version: !!int 1\n").contains("tags"));
    assert!(refused("a.yaml", b"a: &x { b: 1 }\nc: { <<: *x }\n").contains("merge keys"));
    assert!(refused("a.yaml", b"a: *nowhere\n").contains("a.yaml:1:4: not valid YAML"));
    assert!(refused("a.yaml", b"version: 99999999999999999999\n").contains("version 1"));
    assert!(refused("a.yaml", b"sinks: {}\n").contains("`version` is missing"));
    assert!(refused("a.yaml", b"version: 1\n").contains("`detectors` names nothing"));
    assert!(refused("a.yaml", &vec![b'#'; 2 << 20]).contains("over 1 MiB"));
}

#[test]
fn a_bomb_of_aliases_is_defused() {
    let mut text = "a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n".to_owned();
    for level in 1..9 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [ {below} ]\n"));
    }
    let said = refused("a.yaml", text.as_bytes());
    assert!(said.contains("more than 20000 values") && said.contains("a.yaml:4:"), "{said}");
    let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    assert!(refused("a.yaml", deep.as_bytes()).contains("nested too deeply"));
    let deep = format!("{}1", "- ".repeat(5000));
    assert!(refused("a.yaml", deep.as_bytes()).contains("nested too deeply"));
    assert!(refused("a.yaml", b"a: &a [ *a ]\n").contains("inside its own anchor"));
    let deep = format!("a = {}1{}", "[".repeat(5000), "]".repeat(5000));
    assert!(refused("a.toml", deep.as_bytes()).contains("not valid TOML"));
}

#[test]
fn a_file_that_is_not_there() {
    let said = parse::file(Path::new("/nowhere/pgcdc.yaml"), &env).unwrap_err().to_string();
    let golden =
        "/nowhere/pgcdc.yaml: there is no such file\n  help: name the manifest: `pgcdc run pgcdc.yaml`";
    assert_eq!(said, golden);
    let said = parse::file(Path::new("/"), &env).unwrap_err().to_string();
    assert_eq!(said, "/: this is a folder, not a manifest");
}

#[test]
fn monsters_are_answered_at_once() {
    let many: String = (0..12_000).map(|n| format!("k{n}: x\n")).collect();
    assert!(refused("a.yaml", many.as_bytes()).contains("more than 20000 values"));
    let line = format!("version: 1\nsinks: {{ {} }}\n", "a: b, c: [d, e], ".repeat(2000));
    let said = refused("a.yaml", line.as_bytes());
    assert!(said.contains("is written twice") && said.len() < 100_000, "{}", said.len());
    let unknown: String = (0..5_000).map(|n| format!("k{n}: {{}}\n")).collect();
    assert!(refused("a.yaml", unknown.as_bytes()).contains("the manifest has no key `k0`"));
    let long = format!("{}: 1\n", "k".repeat(1_000));
    assert!(refused("a.yaml", long.as_bytes()).contains("the manifest has no key `kkkk"));
    let toml: String = (0..8_000).map(|n| format!("k{n} = 1\n")).collect();
    assert!(refused("a.toml", toml.as_bytes()).contains("the manifest has no key `k0`"));
}
