use super::*;
use crate::component::grants::Secret;
use crate::manifest::settings::{Overrides, Settings};
use crate::manifest::tests::{checked, manifest};

const OLD: &str = r#"version: 1
detectors:
  shop: { use: wal, config: { db: "${DATABASE_URL}" } }
transforms:
  - { use: drop_columns, config: { columns: [ note ] } }
  - { use: filter }
sinks:
  audit: { use: webhook, config: { url: "http://a.example", signing_key: { secret: hook } } }
  mine: { use: ./mine.wasm }
  log: { use: file, config: { path: log.jsonl }, transforms: [ { use: filter } ] }
dlq: { use: stderr }
secrets: { hook: { env: HOOK_KEY } }
"#;

struct Side {
    plan: Plan,
    secrets: Secrets,
}

fn side(text: &str, digest: &str, hook: &str) -> Side {
    let none = Overrides::default();
    let settings = Settings::merge(&manifest(text).settings, &|_| None, &none).unwrap();
    let checked = checked(text).unwrap_or_else(|report| panic!("{report}"));
    let mine = checked.sinks.iter().find_map(|sink| match &sink.connector.uses {
        Use::File(path) => Some((path.clone(), digest.to_string())),
        _ => None,
    });
    let secrets = Secrets::from([
        ("hook".to_string(), Secret::new(hook.into())),
        ("db".to_string(), Secret::new(hook.into())),
    ]);
    Side { plan: Plan { checked, digests: mine.into_iter().collect(), settings }, secrets }
}

fn compare(old: &Side, new: &Side) -> Result<Difference, Vec<String>> {
    let (old, new) =
        (Known { plan: &old.plan, secrets: &old.secrets }, Known { plan: &new.plan, secrets: &new.secrets });
    between(old, new)
}

/// The difference to OLD with `from` replaced by `to`.
fn replaced(from: &str, to: &str) -> Result<Difference, Vec<String>> {
    assert!(OLD.contains(from), "{from}");
    compare(&side(OLD, "d1", "k1"), &side(&OLD.replacen(from, to, 1), "d1", "k1"))
}

fn lanes(difference: &Difference) -> Vec<(&str, bool, bool, bool)> {
    difference.lanes.iter().map(|(name, lane)| (name.as_str(), lane.sink, lane.chain, lane.policy)).collect()
}

#[test]
fn the_same_again_is_no_difference() {
    assert_eq!(replaced("version: 1", "version: 1"), Ok(Difference::default()));
}

#[test]
fn a_common_transform_is_for_every_lane_and_no_sink_is_opened_anew() {
    let found =
        replaced("  - { use: filter }\n", "  - { use: mask, config: { fields: [ { field: a } ] } }\n");
    let found = found.unwrap();
    assert_eq!(found.said, ["transforms: +mask -filter"]);
    let all = [("audit", false, true, false), ("log", false, true, false), ("mine", false, true, false)];
    assert_eq!(lanes(&found), all);
    assert_eq!(replaced("[ note ]", "[ note, secret ]").unwrap().said, ["transforms: ~drop_columns"]);
    let (first, second) =
        ("  - { use: drop_columns, config: { columns: [ note ] } }\n", "  - { use: filter }\n");
    let turned = replaced(&format!("{first}{second}"), &format!("{second}{first}")).unwrap();
    assert_eq!(turned.said, ["transforms: another order"]);
}

#[test]
fn what_a_sink_has_of_its_own_is_for_its_lane_alone() {
    let found = replaced("path: log.jsonl }", "path: log.jsonl }, routes: [ \"a\" ], policy: { retries: 3 }")
        .unwrap();
    assert_eq!(found.said, ["sinks.log: routes, policy"]);
    assert_eq!(lanes(&found), [("log", false, true, true)]);
    let found = replaced(", transforms: [ { use: filter } ]", "").unwrap();
    assert_eq!(found.said, ["sinks.log: transforms -filter"]);
    let found = replaced("a.example", "b.example").unwrap();
    assert_eq!(found.said, ["sinks.audit: config"]);
    assert_eq!(lanes(&found), [("audit", true, false, false)]);
    let found = replaced("path: log.jsonl }", "path: log.jsonl }, policy: { timeout: 3s }").unwrap();
    assert_eq!(lanes(&found), [("log", false, false, true)]);
    let found = replaced(
        "use: webhook, config: { url: \"http://a.example\", signing_key: { secret: hook } }",
        "use: stdout",
    );
    assert_eq!(found.unwrap().said, ["sinks.audit: use, config"]);
}

#[test]
fn another_digest_and_another_secret_are_changes() {
    let old = side(OLD, "d1", "k1");
    let found = compare(&old, &side(OLD, "d2", "k1")).unwrap();
    assert_eq!(found.said, ["sinks.mine: component file"]);
    assert_eq!(lanes(&found), [("mine", true, false, false)]);
    let found = compare(&old, &side(OLD, "d1", "k2")).unwrap();
    assert_eq!(found.said, ["sinks.audit: secret"]);
    assert!(found.later.is_empty());
}

#[test]
fn a_secret_of_a_source_waits_for_the_next_start() {
    let text =
        OLD.replace("\"${DATABASE_URL}\"", "{ secret: db }").replace("hook: {", "db: { env: DB }, hook: {");
    let text = text.replace("signing_key: { secret: hook }", "signing_key: { secret: hook }, in_flight: 3");
    let found = compare(&side(&text, "d1", "k1"), &side(&text, "d1", "k2")).unwrap();
    assert_eq!(found.later, ["detectors.shop: secret"]);
    assert_eq!(found.said, ["sinks.audit: secret"]);
}

#[test]
fn what_only_a_restart_changes_is_named_all_of_it() {
    let text = OLD
        .replace("config: { db: \"${DATABASE_URL}\" }", "config: { db: \"${DATABASE_URL}\", publication: p }")
        .replace(
            "dlq: { use: stderr }",
            "dlq: { use: none }\ncheckpoint: { use: file }\nmetrics_addr: 127.0.0.1:1",
        )
        .replace("  mine: { use: ./mine.wasm }\n", "  yours: { use: stdout, policy: { on_full: shed } }\n")
        .replace("path: log.jsonl }", "path: log.jsonl }, policy: { on_full: shed }")
        + "bus: { buffer_events: 7 }\nshutdown_timeout: 9s\nstate_dir: /elsewhere\nlog: { level: debug }\n";
    let refused = compare(&side(OLD, "d1", "k1"), &side(&text, "d1", "k1")).unwrap_err();
    let want = [
        "log has changed",
        "bus has changed",
        "metrics_addr has changed",
        "shutdown_timeout has changed",
        "state_dir has changed",
        "detectors.shop: config changed",
        "checkpoint is new",
        "dlq is gone",
        "sinks.yours is new",
        "sinks.log: policy.on_full changed",
        "sinks.mine is gone",
    ];
    assert_eq!(refused, want);
}
