//! What a table is, as its events tell it: DDL while rows flow, partitions, generated columns, prepared transactions.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::peers;
use pgcdc_tests::support::pgcdc::Pgcdc;

/// The WAL of a database with further options of the detector.
fn wal(db: &Database, options: &str) -> Manifest {
    Manifest::wal_of(&db.url(), &format!("all_tables: true{options}")).stdout()
}

fn start(db: &Database, desk: &Desk, options: &str) -> Pgcdc {
    let pgcdc = desk.run(&wal(db, options));
    db.wait_streaming();
    pgcdc
}

/// Operation and payload of each event, as text.
fn told(events: &[Event]) -> Vec<String> {
    let parsed = |text: &Exact| text.to_string();
    events
        .iter()
        .map(|event| match event.operation.as_str() {
            "SCHEMA_CHANGE" => {
                let table = event.payload.get("table").and_then(Exact::text).unwrap_or_default();
                format!("{table}: {}", event.payload.get("changes").map(parsed).unwrap_or_default())
            }
            operation => format!("{operation} {} {}", event.channel, event.row()),
        })
        .collect()
}

fn json(text: &str) -> String {
    Exact::parse(text).unwrap().to_string()
}

#[test]
fn every_change_of_a_table_is_told_before_the_first_row_that_has_it() {
    let (db, desk) = (Database::create("ddl"), Desk::new());
    db.execute("create table orders (id int primary key, note text)");
    let pgcdc = start(&db, &desk, ", schema_events: true");
    db.execute("insert into orders values (1, 'a')");
    db.execute("alter table orders add total numeric(10, 2); insert into orders values (2, 'b', 1.10)");
    // In one transaction: what comes before the DDL keeps the shape that it had.
    db.execute(
        "begin; insert into orders values (3, 'c', 2);
         alter table orders alter id type bigint; alter table orders alter total type numeric(12, 2);
         insert into orders values (4, 'd', 3);
         alter table orders rename note to remark; insert into orders values (5, 'e', 4); commit",
    );
    db.execute("alter table orders drop remark, add remark text, add state text default 'new'; insert into orders values (6, 5, 'f')");
    db.execute("alter table orders replica identity full; update orders set total = 6 where id = 6");
    db.execute("alter table orders replica identity default, add tenant int not null default 1; insert into orders values (7, 6, 'g')");
    db.execute("alter table orders drop constraint orders_pkey, add primary key (tenant, id); insert into orders values (8, 7, 'h')");
    db.execute("alter table orders rename to sales; insert into sales values (9, 8, 'i')");
    let events = pgcdc.events(18);
    let expected = [
        r#"INSERT pgcdc:orders {"id":1,"note":"a"}"#.to_owned(),
        format!("orders: {}", json(r#"[{"type":"column_added","column":"total","type_name":"numeric"}]"#)),
        r#"INSERT pgcdc:orders {"id":2,"note":"b","total":1.10}"#.to_owned(),
        r#"INSERT pgcdc:orders {"id":3,"note":"c","total":2.00}"#.to_owned(),
        format!(
            "orders: {}",
            json(
                r#"[{"type":"column_type_changed","column":"id","old_type":"int4","new_type":"int8"},
                {"type":"column_type_changed","column":"total","old_type":"numeric","new_type":"numeric","old_type_modifier":655366,"new_type_modifier":786438}]"#
            )
        ),
        r#"INSERT pgcdc:orders {"id":4,"note":"d","total":3.00}"#.to_owned(),
        format!(
            "orders: {}",
            json(
                r#"[{"type":"column_removed","column":"note"},{"type":"column_added","column":"remark","type_name":"text"}]"#
            )
        ),
        r#"INSERT pgcdc:orders {"id":5,"remark":"e","total":4.00}"#.to_owned(),
        format!(
            "orders: {}",
            json(
                r#"[{"type":"column_added","column":"state","type_name":"text"},
                {"type":"columns_reordered","columns":["id","total","remark","state"]}]"#
            )
        ),
        r#"INSERT pgcdc:orders {"id":6,"remark":"f","state":"new","total":5.00}"#.to_owned(),
        format!(
            "orders: {}",
            json(r#"[{"type":"replica_identity_changed","old_identity":"default","new_identity":"full"}]"#)
        ),
        r#"UPDATE pgcdc:orders {"id":6,"remark":"f","state":"new","total":6.00}"#.to_owned(),
        format!(
            "orders: {}",
            json(
                r#"[{"type":"column_added","column":"tenant","type_name":"int4"},
                {"type":"replica_identity_changed","old_identity":"full","new_identity":"default"}]"#
            )
        ),
        r#"INSERT pgcdc:orders {"id":7,"remark":"g","state":"new","tenant":1,"total":6.00}"#.to_owned(),
        format!("orders: {}", json(r#"[{"type":"key_changed","old_key":["id"],"new_key":["id","tenant"]}]"#)),
        r#"INSERT pgcdc:orders {"id":8,"remark":"h","state":"new","tenant":1,"total":7.00}"#.to_owned(),
        format!(
            "sales: {}",
            json(r#"[{"type":"table_renamed","old_schema":"public","old_table":"orders"}]"#)
        ),
        r#"INSERT pgcdc:sales {"id":9,"remark":"i","state":"new","tenant":1,"total":8.00}"#.to_owned(),
    ];
    assert_eq!(told(&events), expected);
    pgcdc.stop_clean();
}

#[test]
fn what_is_switched_on_never_changes_another_events_id() {
    let (db, desks) = (Database::create("ids"), [Desk::new(), Desk::new()]);
    db.execute("create table t (id int primary key, v text); create publication p for all tables");
    let slots = [format!("{}_a", db.name()), format!("{}_b", db.name())];
    for slot in &slots {
        db.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    }
    db.execute("insert into t select n, n from generate_series(1, 20) n");
    db.execute("begin; update t set v = 'x' where id < 5; select pg_logical_emit_message(true, 'p', 'm'); alter table t add w int; insert into t values (21, 'y', 1); truncate t; commit");
    let run = |desk: &Desk, slot: &str, options: &str, count: usize| {
        let config = format!("publication: p, persistent_slot: true, slot_name: {slot}{options}");
        let pgcdc = desk.run(&Manifest::wal_of(&db.url(), &config).stdout());
        let events = pgcdc.events(count);
        pgcdc.stop_clean();
        events
    };
    let plain = run(&desks[0], &slots[0], "", 26);
    let options =
        ", schema_events: true, messages: true, tx_markers: true, include_schema: true, toast_cache: true";
    let full = run(&desks[1], &slots[1], options, 26 + 4 + 2);
    let positions: Vec<&Exact> = full.iter().map(|event| event.envelope.get("position").unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    let ids = |events: &[Event]| -> Vec<String> { events.iter().map(|event| event.id.clone()).collect() };
    let rows: Vec<Event> = full
        .iter()
        .filter(|event| !matches!(event.operation.as_str(), "BEGIN" | "COMMIT" | "MESSAGE" | "SCHEMA_CHANGE"))
        .cloned()
        .collect();
    assert_eq!(ids(&rows), ids(&plain));
    let [told]: [&Event; 1] = full
        .iter()
        .filter(|event| event.operation == "SCHEMA_CHANGE")
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(told.channel, "pgcdc:_schema");
    assert!(told.envelope.get("transaction").is_none());
    let columns = r#"[{"name":"id","type_oid":23,"type_name":"int4"},{"name":"v","type_oid":25,"type_name":"text"},{"name":"w","type_oid":23,"type_name":"int4"}]"#;
    assert_eq!(told.payload.get("columns"), Some(&Exact::parse(columns).unwrap()));
}

#[test]
fn partitions_show_as_themselves_or_as_their_root_and_may_come_and_go() {
    let (db, desks) = (Database::create("partitions"), [Desk::new(), Desk::new()]);
    db.execute(
        "create table events (id int, kind text, primary key (id, kind)) partition by list (kind);
         create table events_a partition of events for values in ('a');
         create table events_b (kind text not null, id int not null, extra int, primary key (id, kind));
         alter table events_b drop extra;
         create publication leaves for all tables;
         create publication roots for all tables with (publish_via_partition_root = true)",
    );
    let start = |desk: &Desk, publication: &str| {
        let config = format!("publication: {publication}, schema_events: true");
        let pgcdc = desk.run(&Manifest::wal_of(&db.url(), &config).stdout());
        db.wait_streaming();
        pgcdc
    };
    let (leaves, roots) = (start(&desks[0], "leaves"), start(&desks[1], "roots"));
    db.execute("insert into events values (1, 'a')");
    db.execute("insert into events_b values ('b', 2)");
    db.execute("alter table events attach partition events_b for values in ('b')");
    db.execute("insert into events values (3, 'b')");
    db.execute("update events set kind = 'b' where id = 1");
    db.execute("alter table events detach partition events_b");
    db.execute("insert into events_b values ('c', 4)");
    db.execute("create table events_c partition of events for values in ('c')");
    db.execute("insert into events values (5, 'c')");
    let expected = |table: fn(&'static str) -> &'static str| {
        [
            ("INSERT", "events_a", r#"{"id":1,"kind":"a"}"#),
            ("INSERT", "events_b", r#"{"id":2,"kind":"b"}"#),
            ("INSERT", "events_b*", r#"{"id":3,"kind":"b"}"#),
            ("DELETE", "events_a", r#"{"id":1,"kind":"a"}"#),
            ("INSERT", "events_b*", r#"{"id":1,"kind":"b"}"#),
            ("INSERT", "events_b", r#"{"id":4,"kind":"c"}"#),
            ("INSERT", "events_c", r#"{"id":5,"kind":"c"}"#),
        ]
        .map(|(operation, name, row)| format!("{operation} pgcdc:{} {row}", table(name)))
    };
    assert_eq!(told(&leaves.events(7)), expected(|name| name.trim_end_matches('*')));
    let as_root = |name| if name == "events_b" { "events_b" } else { "events" };
    assert_eq!(told(&roots.events(7)), expected(as_root));
    leaves.stop_clean();
    roots.stop_clean();
}

#[test]
fn generated_columns_are_what_the_server_publishes_and_no_more() {
    let (db, desk) = (Database::create("generated"), Desk::new());
    db.execute("create table t (id int primary key, twice int generated always as (id * 2) stored, v text)");
    let pgcdc = start(&db, &desk, ", include_schema: true");
    db.execute("insert into t (id, v) values (1, 'a')");
    let [event] = pgcdc.events(1).try_into().unwrap();
    // Before version 18 there is no publishing them; what is not there is neither NULL nor guessed.
    assert_eq!(event.row().to_string(), json(r#"{"id":1,"v":"a"}"#));
    let columns =
        r#"[{"name":"id","type_oid":23,"type_name":"int4"},{"name":"v","type_oid":25,"type_name":"text"}]"#;
    assert_eq!(event.payload.get("columns"), Some(&Exact::parse(columns).unwrap()));
    assert_eq!(event.payload.get("schema").and_then(Exact::text), Some("public"));
    pgcdc.stop_clean();
    let version = db.text("select current_setting('server_version_num')").unwrap();
    if version.parse::<u32>().unwrap() < 180_000 {
        return peers::without("published generated columns", "they came with PostgreSQL 18");
    }
    db.execute("create publication stored for table t with (publish_generated_columns = stored)");
    let pgcdc = desk.run(&Manifest::wal_of(&db.url(), "publication: stored").stdout());
    db.wait_streaming();
    db.execute("insert into t (id, v) values (2, 'b')");
    assert_eq!(pgcdc.events(1)[0].row().to_string(), json(r#"{"id":2,"twice":4,"v":"b"}"#));
    pgcdc.stop_clean();
}

#[test]
fn a_prepared_transaction_arrives_whole_when_it_is_committed() {
    let (db, desk) = (Database::create("prepared"), Desk::new());
    db.execute("create table t (id int primary key)");
    let pgcdc = start(&db, &desk, ", tx_markers: true");
    db.execute("begin; insert into t values (1), (2); prepare transaction 'kept'");
    db.execute("begin; insert into t values (3); prepare transaction 'not'");
    db.execute("insert into t values (4)");
    db.execute("rollback prepared 'not'");
    db.execute("commit prepared 'kept'");
    db.execute("insert into t values (5)");
    let events = pgcdc.events(10);
    let shown: Vec<String> = events
        .iter()
        .map(|event| format!("{} {}", event.operation, event.column("id").unwrap_or(&Exact::Null)))
        .collect();
    let expected = [
        "BEGIN null",
        "INSERT 4",
        "COMMIT null",
        "BEGIN null",
        "INSERT 1",
        "INSERT 2",
        "COMMIT null",
        "BEGIN null",
        "INSERT 5",
        "COMMIT null",
    ];
    assert_eq!(shown, expected);
    pgcdc.stop_clean();
}

#[test]
fn odd_names_arrive_as_they_are_and_no_two_tables_share_a_channel() {
    let (db, desk) = (Database::create("names"), Desk::new());
    let names = [
        "a.b",
        "quote\"d",
        "\u{1f980} crab",
        "../up",
        "line\nfeed",
        "",
        "back\\slash",
        "x".repeat(63).as_str(),
    ]
    .map(str::to_owned);
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let pgcdc = start(&db, &desk, ", schema_events: true");
    for (n, name) in names.iter().enumerate() {
        let name = quoted(name);
        db.execute(&format!("create schema {name}; create table {name}.{name} ({name} int primary key)"));
        db.execute(&format!("insert into {name}.{name} values ({n})"));
    }
    for (n, (event, name)) in pgcdc.events(names.len()).iter().zip(&names).enumerate() {
        let part = if name.contains('.') { quoted(name) } else { name.clone() };
        assert_eq!(event.channel, format!("pgcdc:{part}.{part}"));
        assert_eq!(event.table(), Some(name.as_str()));
        assert_eq!(event.column(name).and_then(Exact::integer), i64::try_from(n).ok());
    }
    pgcdc.stop_clean();
}

#[test]
fn flags_say_the_same_as_the_manifest() {
    let (db, desk) = (Database::create("flags"), Desk::new());
    db.execute("create table t (id int primary key)");
    let url = db.url();
    let flags =
        ["listen", "--db", &url, "--detector", "wal", "--all-tables", "--schema-events", "--toast-cache"];
    let more = ["--toast-cache-max-entries", "10", "--toast-cache-max-bytes", "1MiB", "--origin", "any"];
    let pgcdc = desk.start(&[&flags[..], &more[..]].concat(), &[]);
    db.wait_streaming();
    db.execute("insert into t values (1)");
    db.execute("alter table t add v text; insert into t values (2, 'a')");
    let events = pgcdc.events(3);
    assert_eq!(events[1].operation, "SCHEMA_CHANGE");
    pgcdc.stop_clean();
}
