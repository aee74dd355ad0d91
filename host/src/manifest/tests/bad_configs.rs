//! Manifests that are sound as files, and wrong for the connectors that they name.

use super::{checked, complaint, with_sink};

#[test]
fn an_unknown_connector_names_the_nearest() {
    let golden = "pgcdc.yaml:6:10: there is no sink `webhok`
 6 |     use: webhok
   |          ^^^^^^
  help: did you mean `webhook`?";
    assert_eq!(complaint(&with_sink("    use: webhok\n")), golden);
    let golden = "pgcdc.yaml:6:10: `wal` is no sink
 6 |     use: wal
   |          ^^^
  help: it is a source";
    assert_eq!(complaint(&with_sink("    use: wal\n")), golden);
}

#[test]
fn an_unknown_setting_names_the_nearest_and_hides_the_value() {
    let text =
        with_sink("    use: webhook\n    config: { url: \"https://h\", singing_key: canary } # canary\n");
    let golden = "pgcdc.yaml:7:33: sinks.audit: webhook has no setting `singing_key`
 7 |     config: { url: ***, singing_key: *** }
   |                         ^^^^^^^^^^^
  help: did you mean `signing_key`?";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn everything_wrong_in_one_config() {
    let text = with_sink(
        "    use: webhook\n    config:\n      encoding: jsn\n      in_flight: 0\n      headers: { a: 1 }\n      batch: { bytes: big, event: 2 }\n",
    );
    let golden = "pgcdc.yaml:5:3: sinks.audit: `url` is required
 5 |   audit:
   |   ^^^^^
  help: Where to post.
pgcdc.yaml:8:17: sinks.audit: `encoding` must be one of json, json-array, json-lines
 8 |       encoding: jsn
   |                 ^^^
  help: did you mean `json`?
pgcdc.yaml:9:18: sinks.audit: `in_flight` must be at least 1
 9 |       in_flight: 0
   |                  ^
pgcdc.yaml:10:21: sinks.audit: `headers.a` must be text, found a whole number
 10 |       headers: { a: *** }
    |                     ^^^
  help: put it in quotes
pgcdc.yaml:11:23: sinks.audit: `batch.bytes` must be a size such as 65536, 64MiB or 100MB, found text
 11 |       batch: { bytes: big, event: *** }
    |                       ^^^
pgcdc.yaml:11:28: sinks.audit: webhook has no setting `event` in `batch`
 11 |       batch: { bytes: big, event: *** }
    |                            ^^^^^
  help: did you mean `events`?";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn a_default_never_grants() {
    let golden =
        "pgcdc.yaml:5:3: sinks.audit: `brokers` must be typed: a component's default never grants an endpoint
 5 |   audit:
   |   ^^^^^
  help: if that is what you want: brokers: [\"localhost:9092\"]";
    assert_eq!(complaint(&with_sink("    use: kafka\n")), golden);
}

#[test]
fn secrets_that_are_not_there_or_do_not_belong() {
    let text = with_sink(
        "    use: webhook\n    config: { url: \"https://h\", signing_key: { secret: hok } }\nsecrets: { hook: { env: X } }\n",
    );
    let golden = "pgcdc.yaml:7:56: there is no such secret under `secrets`
 7 |     config: { url: ***, signing_key: { secret: hok } }
   |                                                ^^^
  help: did you mean `hook`?";
    assert_eq!(complaint(&text), golden);
    let text = with_sink(
        "    use: webhook\n    config: { url: \"https://h\", encoding: { secret: hook } }\nsecrets: { hook: { env: X } }\n",
    );
    assert!(complaint(&text).contains("`encoding` is not a secret; webhook would see it"));
    let text = with_sink("    use: stdout\nsecrets: { hook: canary }\n");
    assert!(complaint(&text).contains("secrets.hook must say where the secret is, not what it is"));
    let text = with_sink("    use: stdout\nsecrets: { hook: { env: X } }\n");
    assert!(complaint(&text).contains("warning: no config uses the secret `hook`"));
    let text = with_sink("    use: webhook\n    config: { url: \"https://h\", signing_key: \"***\" }\n");
    assert!(complaint(&text).contains("still holds the `***` of a printed manifest"));
}

#[test]
fn endpoints_that_are_none() {
    let text = with_sink("    use: webhook\n    config: { url: hooks.example.com }\n");
    let golden = "pgcdc.yaml:7:20: sinks.audit: `url` must look like https://host[:port][/path]
 7 |     config: { url: *** }
   |                    ^^^";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn grants_are_read_and_checked() {
    let text =
        with_sink("    use: ./mine.wasm\n    grants: { htp: [ x ], http: [ nohost ], crypto: [ k ] }\n");
    let golden = "pgcdc.yaml:7:15: there is no interface `htp` to grant
 7 |     grants: { htp: [ *** ], http: [ *** ], crypto: [ k ] }
   |               ^^^
  help: did you mean `http`?
pgcdc.yaml:7:35: a grant of `http` must look like https://host[:port][/path]
 7 |     grants: { htp: [ *** ], http: [ *** ], crypto: [ k ] }
   |                                     ^^^
pgcdc.yaml:7:45: warning: mine does not ask for `crypto`
 7 |     grants: { htp: [ *** ], http: [ *** ], crypto: [ k ] }
   |                                            ^^^^^^
pgcdc.yaml:7:55: there is no such secret under `secrets`
 7 |     grants: { htp: [ *** ], http: [ *** ], crypto: [ k ] }
   |                                                      ^";
    assert_eq!(complaint(&text), golden);
}

#[test]
fn nested_items_have_their_place() {
    let text = format!(
        "{}transforms:\n  - use: mask\n    config:\n      fields:\n        - {{ field: a, mode: hsah }}\n        - {{ field: \"\" }}\n        - x\n",
        with_sink("    use: stdout\n")
    );
    let said = complaint(&text);
    for line in [
        "pgcdc.yaml:11:29: transforms.0: `fields.0.mode` must be one of hash, redact, zero, partial",
        "pgcdc.yaml:12:20: transforms.0: `fields.1.field` is empty",
        "pgcdc.yaml:13:11: transforms.0: `fields.2` must be a map, found text",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn words_for_truth_are_text() {
    let text = "version: 1\ndetectors:\n  shop: { use: wal, config: { db: \"postgres://db/x\", all_tables: yes } }\nsinks: { out: { use: stdout } }\n";
    assert!(complaint(text).contains("only true and false are truth values"), "{}", complaint(text));
    assert!(checked(&text.replace("yes", "true")).is_ok());
}
