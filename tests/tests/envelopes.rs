//! Payloads in other people's envelopes: what a consumer of Debezium or of CloudEvents finds, through the real pipeline.

use std::collections::BTreeSet;

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::receiver::Receiver;
use serde_json::Value;

const FACTS: &str = include_str!("../testdata/debezium/facts.json");

fn payload(event: &Event) -> Value {
    serde_json::from_str(&json(&event.payload)).unwrap()
}

/// `Exact` as JSON text.
fn json(value: &Exact) -> String {
    match value {
        Exact::Text(text) => serde_json::to_string(text).unwrap(),
        Exact::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Exact::Object(fields) => {
            let field = |(key, value): (&String, &Exact)| {
                format!("{}:{}", serde_json::to_string(key).unwrap(), json(value))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn payloads(pgcdc: &Pgcdc, count: usize) -> Vec<Value> {
    pgcdc.events(count).iter().map(payload).collect()
}

/// Every leaf of an object with its path.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| leaves(value, &format!("{path}/{key}"), found))
        }
        leaf => found.push((path.to_owned(), leaf.clone())),
    }
}

/// A Kafka Connect schema as lines: path, type, whether it may be null, name, version.
fn schema_lines(schema: &Value, path: &str, found: &mut Vec<String>) {
    let optional = if schema["optional"] == Value::Bool(true) { "optional" } else { "required" };
    let here = if path.is_empty() { "/" } else { path };
    let mut line = format!("{here} {} {optional}", schema["type"].as_str().unwrap());
    for word in [&schema["name"], &schema["version"]] {
        match word {
            Value::String(name) => line += &format!(" {name}"),
            Value::Number(version) => line += &format!(" {version}"),
            _ => {}
        }
    }
    found.push(line);
    for field in schema["fields"].as_array().into_iter().flatten() {
        schema_lines(field, &format!("{path}/{}", field["field"].as_str().unwrap()), found);
    }
}

fn is(found: &Value, fact: &Value) -> bool {
    match fact.as_str() {
        Some("<int64>") => found.is_i64(),
        Some("<text>") => found.is_string(),
        _ => found == fact,
    }
}

#[test]
fn a_change_is_field_by_field_what_debezium_makes_of_it() {
    let facts: Value = serde_json::from_str(FACTS).unwrap();
    let (db, desk) = (Database::create("facts"), Desk::new());
    let workload: Vec<&str> =
        facts["workload"].as_array().unwrap().iter().map(|sql| sql.as_str().unwrap()).collect();
    workload[..2].iter().for_each(|sql| db.execute(sql));
    let config = "{ connector_name: employees_pg, database: employees, schema: true }";
    let transform = format!("{{ use: debezium, config: {config} }}");
    let pgcdc = desk.run(&Manifest::wal(&db).transform(&transform).stdout());
    db.wait_streaming();
    workload[2..].iter().for_each(|sql| db.execute(sql));
    let found = payloads(&pgcdc, 2);
    pgcdc.stop_clean();

    let differs = facts["differs"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for (found, fact) in found.iter().zip(facts["payloads"].as_array().unwrap()) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        leaves(&found["payload"], "", &mut ours);
        leaves(fact, "", &mut theirs);
        let paths =
            |leaves: &[(String, Value)]| leaves.iter().map(|(path, _)| path.clone()).collect::<BTreeSet<_>>();
        assert_eq!(paths(&ours), paths(&theirs), "the same fields");
        for (path, fact) in &theirs {
            let (_, found) = ours.iter().find(|(known, _)| known == path).unwrap();
            match differs.get(path) {
                Some(ours) => {
                    assert!(!is(found, fact), "{path}: listed as a difference, and is none");
                    assert_eq!(*found, ours[0], "{path}");
                    used.insert(path.clone());
                }
                None => assert!(is(found, fact), "{path}: {found}, but Debezium: {fact}"),
            }
        }
        let mut lines = Vec::new();
        schema_lines(&found["schema"], "", &mut lines);
        let theirs = facts["schema"].as_array().unwrap();
        assert_eq!(lines.len(), theirs.len(), "{lines:#?}");
        for (line, fact) in lines.iter().zip(theirs.iter().map(|fact| fact.as_str().unwrap())) {
            let (path, _) = fact.split_once(' ').unwrap();
            let key = format!("schema {path}");
            match differs.get(&key) {
                Some(ours) => {
                    assert_eq!(*line, format!("{path} {}", ours[0].as_str().unwrap()));
                    assert_ne!(*line, fact, "{path}: listed as a difference, and is none");
                    used.insert(key);
                }
                None => assert_eq!(*line, fact),
            }
        }
    }
    assert_eq!(used.len(), differs.len(), "every difference was met");
}

#[test]
fn before_and_after_are_null_where_debezium_s_are_and_truncate_has_neither() {
    let (db, desk) = (Database::create("sides"), Desk::new());
    db.execute("create table t (id int primary key, note text, price numeric(8,2)); alter table t replica identity full");
    let transform = "{ use: debezium, config: { connector_name: shop, database: shop } }";
    let hidden = "{ use: drop_columns, config: { columns: [note] } }";
    let pgcdc = desk.run(&Manifest::wal(&db).transform(hidden).transform(transform).stdout());
    db.wait_streaming();
    db.execute("insert into t values (1, 'n', 1.10)");
    db.execute("update t set price = 2");
    db.execute("delete from t");
    db.execute("truncate t");
    let events = pgcdc.events(4);
    pgcdc.stop_clean();
    let expected = [
        ("c", "null", r#"{"id":1,"price":1.10}"#),
        ("u", r#"{"id":1,"price":1.10}"#, r#"{"id":1,"price":2.00}"#),
        ("d", r#"{"id":1,"price":2.00}"#, "null"),
        ("t", "null", "null"),
    ];
    for (event, (op, before, after)) in events.iter().zip(expected) {
        let payload = &event.payload;
        assert_eq!(payload.get("op").and_then(Exact::text), Some(op));
        assert_eq!(payload.get("before"), Some(&Exact::parse(before).unwrap()), "{op}");
        assert_eq!(payload.get("after"), Some(&Exact::parse(after).unwrap()), "{op}");
        let source = payload.get("source").unwrap();
        assert!(source.get("lsn").and_then(Exact::integer).is_some_and(|lsn| lsn > 0));
        assert!(source.get("txId").and_then(Exact::integer).is_some_and(|xid| xid > 0));
        assert_eq!(event.channel, "pgcdc:t", "the envelope around it stays");
    }
}

#[test]
fn every_tested_type_is_what_debezium_documents() {
    let (db, desk) = (Database::create("mapped"), Desk::new());
    db.execute(
        "create table t (id int primary key, b bool, s smallint, l bigint, r real, d double precision, n numeric(10,2), \
         v numeric, y bytea, j jsonb, u uuid, day date, t time, t3 time(3), tz timetz, ts timestamp, ts3 timestamp(3), \
         tstz timestamptz, i interval, bit1 bit(1), bits bit(9), a int[], days date[], ip inet, c varchar(9), o oid)",
    );
    let transform = "{ use: debezium, config: { types: debezium } }";
    let pgcdc = desk.run(&Manifest::wal(&db).transform(transform).stdout());
    db.wait_streaming();
    db.execute(
        "insert into t values (1, true, -7, 9007199254740993, 1.5, 1e-5, 123.45, -0.5, '\\x00ff', '{\"a\": 1}', \
         '7a1c1b9e-32b5-4d4e-9d6f-0a5b6c7d8e9f', '2026-01-05', '09:30:00.25', '09:30:00.25', '00:30:00+01', \
         '2026-01-05 09:30:00.25', '2026-01-05 09:30:00.25', '2026-01-05 10:30:00.25+01', '1 month 2 days 00:00:03', \
         '1', '100000101', '{1,NULL}', '{1970-01-02}', '10.0.0.1/8', 'x', 26)",
    );
    let after = payloads(&pgcdc, 1).remove(0)["after"].clone();
    pgcdc.stop_clean();
    let expected = serde_json::json!({
        "id": 1, "b": true, "s": -7, "l": 9_007_199_254_740_993_i64, "r": 1.5, "d": 1e-5, "n": "MDk=",
        "v": { "scale": 1, "value": "+w==" }, "y": "AP8=", "j": "{\"a\": 1}",
        "u": "7a1c1b9e-32b5-4d4e-9d6f-0a5b6c7d8e9f", "day": 20458, "t": 34_200_250_000_i64, "t3": 34_200_250,
        "tz": "23:30:00Z", "ts": 1_767_605_400_250_000_i64, "ts3": 1_767_605_400_250_i64,
        "tstz": "2026-01-05T09:30:00.25Z", "i": 2_802_603_000_000_i64, "bit1": true, "bits": "BQE=",
        "a": [1, null], "days": [1], "ip": "10.0.0.1/8", "c": "x", "o": 26,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(after[name], *value, "{name}");
    }
    assert_eq!(after.as_object().unwrap().len(), expected.as_object().unwrap().len());
}

#[test]
fn flags_wrap_payloads_behind_whatever_works_on_columns() {
    let (db, desk) = (Database::create("wrapped"), Desk::new());
    db.execute("create table t (id int primary key, note text)");
    let url = db.url();
    let listen = ["listen", "--db", &url, "--detector", "wal", "--all-tables"];
    let flags = ["--cloudevents-envelope", "--cloudevents-source", "/shop", "--drop-columns", "note"];
    let pgcdc = desk.start(&[&listen[..], &flags].concat(), &[]);
    db.wait_streaming();
    db.execute("insert into t values (1, 'n')");
    let event = &pgcdc.events(1)[0];
    let wrapped = payload(event);
    pgcdc.stop_clean();
    assert_eq!(wrapped["id"], event.id.as_str());
    assert_eq!(
        wrapped["data"],
        serde_json::json!({ "op": "INSERT", "table": "t", "row": { "id": 1 }, "old": null })
    );
    assert_eq!((&wrapped["type"], &wrapped["source"]), (&"io.pgcdc.change.INSERT".into(), &"/shop".into()));
    assert!(wrapped["pgcdclsn"].is_i64() && wrapped["pgcdctxid"].is_i64());

    let flags = [
        "--debezium-envelope",
        "--debezium-connector-name",
        "shop",
        "--debezium-database",
        "d",
        "--drop-columns",
        "note",
    ];
    let pgcdc = desk.start(&[&listen[..], &flags].concat(), &[]);
    db.wait_streaming();
    db.execute("insert into t values (2, 'n')");
    let wrapped = &payloads(&pgcdc, 1)[0];
    pgcdc.stop_clean();
    assert_eq!(wrapped["after"], serde_json::json!({ "id": 2 }));
    assert_eq!((&wrapped["source"]["name"], &wrapped["source"]["db"]), (&"shop".into(), &"d".into()));
}

#[test]
fn every_sink_gets_the_new_payload_and_rows_keep_their_order() {
    let (db, desk, receiver) = (Database::create("every_sink"), Desk::new(), Receiver::start());
    db.execute("create table t (id int primary key, n int)");
    let hook = format!("{{ use: webhook, config: {{ url: \"{}\" }} }}", receiver.url());
    let manifest = Manifest::wal(&db).transform("{ use: debezium }").stdout().sink("hook", &hook);
    let pgcdc = desk.run(&manifest);
    db.wait_streaming();
    db.execute("insert into t select i, 0 from generate_series(1, 20) i");
    for n in 1..=5 {
        db.execute(&format!("update t set n = {n}"));
    }
    let printed = payloads(&pgcdc, 120);
    let posted: Vec<Value> =
        receiver.wait_accepted(120).iter().map(|taken| payload(&taken.event())).collect();
    pgcdc.stop_clean();
    for id in 1..=20 {
        let of = |all: &[Value]| -> Vec<Value> {
            all.iter().filter(|one| one["after"]["id"] == id).map(|one| one["after"]["n"].clone()).collect()
        };
        assert_eq!(of(&printed), (0..=5).map(Value::from).collect::<Vec<_>>());
        assert_eq!(of(&posted), of(&printed), "row {id} at the webhook");
    }
}

#[test]
fn a_value_without_a_place_in_debezium_s_types_is_dead_lettered_alone() {
    let (db, desk) = (Database::create("no_place"), Desk::new());
    db.execute("create table t (id int primary key, price numeric(8,2))");
    let transform = "{ use: debezium, config: { schema: true } }";
    let pgcdc = desk.run(&Manifest::wal(&db).transform(transform).stdout());
    db.wait_streaming();
    db.execute("insert into t values (1, 1), (2, 'NaN'), (3, 3)");
    let ids: Vec<Value> =
        payloads(&pgcdc, 2).iter().map(|one| one["payload"]["after"]["id"].clone()).collect();
    assert_eq!(ids, [1, 3]);
    let letter = pgcdc.stderr().wait_line(0, "\"adapter\":\"out\"");
    assert!(letter.contains("the column price") && letter.contains("decimal: string"), "{letter}");
    pgcdc.stop_clean();
}
