//! The manifest of the documentation, in YAML and in TOML, and what its connectors get.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::{checked, env, manifest, parsed_as, shipped};
use crate::manifest::model::{OnFull, Use};
use crate::manifest::print;
use crate::manifest::ready::{EndpointAddress, SecretSource};

const YAML: &str = include_str!("shop.yaml");
const TOML: &str = include_str!("shop.toml");

#[test]
fn what_each_connector_gets() {
    let checked = checked(YAML).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(checked.warnings, Vec::<String>::new());
    let wal = &checked.detectors[0];
    assert_eq!(wal.config, json!({"db": "db", "all_tables": true, "heartbeat_interval": "30s"}));
    let EndpointAddress::Typed(address) = &wal.grants.endpoints["db"].address else { panic!("typed") };
    assert_eq!(Some(address.expose()), env("DATABASE_URL").unwrap().to_str());
    let mask = &checked.transforms[0];
    let fields = json!({"fields": [{"field": "secret", "mode": "hash", "key": "pepper"}]});
    assert_eq!((mask.name.as_str(), &mask.config), ("transforms.0", &fields));
    assert_eq!(mask.grants.secrets.iter().collect::<Vec<_>>(), ["pepper"]);
    let audit = &checked.sinks[0];
    assert_eq!(audit.routes.as_deref(), Some(["pgcdc:orders".to_owned()].as_slice()));
    let config = json!({"url": "url", "signing_key": "hook", "encoding": "json", "in_flight": 16});
    assert_eq!(audit.connector.config, config);
    assert_eq!(audit.transforms[0].name, "sinks.audit.transforms.0");
    assert_eq!(audit.policy.on_full, Some(OnFull::Block));
    assert_eq!(audit.policy.breaker.unwrap().reset, Duration::from_secs(60));
    let mine = &checked.sinks[1];
    assert_eq!(mine.connector.uses, Use::File(PathBuf::from("/etc/pgcdc/./connectors/mine.wasm")));
    assert_eq!(mine.connector.grants.extra[0].what.expose(), "https://api.example.com:443");
    assert_eq!(mine.connector.limits.memory_bytes, Some(64 << 20));
    assert_eq!(checked.dlq.unwrap().connector.config, json!({"db": "db", "table": "letters"}));
    assert!(matches!(&checked.secrets["hook"], SecretSource::Env(name) if name == "HOOK_KEY"));
    assert!(
        matches!(&checked.secrets["pepper"], SecretSource::File(path) if path.ends_with("secrets/pepper"))
    );
}

#[test]
fn toml_reads_the_same() {
    let toml = parsed_as("shop.toml", TOML.as_bytes()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(toml.manifest, manifest(YAML));
}

#[test]
fn printed_it_reads_back_the_same() {
    let printed = print::yaml(&manifest(YAML), &shipped::all());
    assert_eq!(manifest(&printed), manifest(YAML), "{printed}");
    assert!(printed.contains("\"${DATABASE_URL}\""), "{printed}");
}

#[test]
fn variables_need_no_quotes() {
    let flow = YAML.replace("\"${DATABASE_URL}\"", "${DATABASE_URL}");
    assert_ne!(flow, YAML);
    assert_eq!(manifest(&flow), manifest(YAML));
    let list = super::with_sink("    use: kafka\n    config: { brokers: [ ${BROKER:-k1:9092}, k2:9092 ] }\n");
    assert!(checked(&list).is_ok(), "{}", super::complaint(&list));
}

#[test]
fn sizes_endpoints_and_defaults_as_the_guest_sees_them() {
    let sink = "    use: file\n    config: { path: out.jsonl, max_size: 1MiB, max_files: \"${PORT}\" }\n";
    let checked = checked(&super::with_sink(sink)).unwrap();
    let file = &checked.sinks[0].connector;
    assert_eq!(file.config, json!({"path": "path", "max_size": 1048576, "max_files": 16}));
    let EndpointAddress::Typed(address) = &file.grants.endpoints["path"].address else { panic!("typed") };
    assert_eq!(address.expose(), "/etc/pgcdc/out.jsonl");
    let defaults = super::checked(&super::with_sink("    use: file\n    config: { path: /x }\n")).unwrap();
    assert_eq!(defaults.sinks[0].connector.config["max_size"], 100_000_000);
}

#[test]
fn anchors_lists_of_endpoints_and_an_endpoint_in_a_secret() {
    let text = "version: 1\n\
        detectors:\n  shop: { use: wal, config: { db: { secret: url } } }\n\
        sinks:\n  \
          a: { use: kafka, config: { brokers: &b [ 'k1:9092', 'k2:9092' ] }, routes: [ 'pgcdc:a' ] }\n  \
          b: { use: kafka, config: { brokers: *b } }\n\
        dlq: { use: none }\nsecrets: { url: { env: DATABASE_URL } }\n";
    let checked = checked(text).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(checked.sinks[1].connector.config["brokers"], json!(["brokers.0", "brokers.1"]));
    assert_eq!(checked.sinks[1].connector.grants.endpoints["brokers.1"].kind, "kafka");
    let db = &checked.detectors[0].grants.endpoints["db"].address;
    assert_eq!(*db, EndpointAddress::Secret("url".to_owned()));
    assert!(checked.dlq.is_none());
}
