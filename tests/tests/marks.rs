//! What a stream of changes says besides rows: transactions, messages, what a TRUNCATE did, where a change comes from.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;

fn start(db: &Database, desk: &Desk, options: &str) -> Pgcdc {
    let pgcdc = desk.run(&Manifest::wal_of(&db.url(), &format!("all_tables: true{options}")).stdout());
    db.wait_streaming();
    pgcdc
}

fn operations(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.operation.as_str()).collect()
}

fn payload(text: &str) -> Exact {
    Exact::parse(text).unwrap()
}

#[test]
fn events_show_their_transaction_and_markers_enclose_it() {
    let (db, desk) = (Database::create("markers"), Desk::new());
    db.execute("create table t (id int primary key); create table u (id int primary key)");
    let pgcdc = start(&db, &desk, ", tx_markers: true");
    let xid = db
        .text("with new as (insert into t values (1), (2) returning 1) select pg_current_xact_id()::text from new limit 1")
        .unwrap();
    db.execute("truncate t, u");
    let events = pgcdc.events(8);
    assert_eq!(
        operations(&events),
        ["BEGIN", "INSERT", "INSERT", "COMMIT", "BEGIN", "TRUNCATE", "TRUNCATE", "COMMIT"]
    );
    let transaction =
        |event: &Event, key: &str| event.envelope.get("transaction").and_then(|tx| tx.get(key)).cloned();
    let time = transaction(&events[1], "commit_time").unwrap();
    for (seq, event) in (1..).zip(&events[1..3]) {
        assert_eq!(transaction(event, "xid").unwrap(), Exact::Number(xid.clone()));
        assert_eq!(transaction(event, "seq").unwrap().integer(), Some(seq));
        assert_eq!(transaction(event, "commit_time").unwrap(), time);
    }
    for marker in [&events[0], &events[3]] {
        assert_eq!(marker.channel, "pgcdc:_txn");
        assert!(marker.envelope.get("transaction").is_none());
        assert_eq!(marker.payload.get("xid"), Some(&Exact::Number(xid.clone())));
        assert_eq!(marker.payload.get("commit_time"), Some(&time));
    }
    assert_eq!(events[0].payload.get("event_count"), None);
    assert_eq!(events[3].payload.get("event_count").and_then(Exact::integer), Some(2));
    assert_eq!(transaction(&events[6], "seq").unwrap().integer(), Some(2));
    pgcdc.stop_clean();
    // Metadata alone: no markers.
    let pgcdc = start(&db, &desk, ", tx_metadata: true");
    db.execute("insert into t values (3)");
    let [event] = pgcdc.events(1).try_into().unwrap();
    assert_eq!(transaction(&event, "seq").unwrap().integer(), Some(1));
    pgcdc.stop_clean();
}

#[test]
fn messages_arrive_as_text_or_bytes_in_their_transaction_or_by_themselves() {
    let (db, desk) = (Database::create("messages"), Desk::new());
    db.execute("create table t (id int primary key)");
    let pgcdc = start(&db, &desk, ", messages: true, tx_metadata: true");
    db.execute("begin; insert into t values (1); select pg_logical_emit_message(true, 'in', 'a \"b\"\n\u{e4}'); insert into t values (2); commit");
    db.execute("begin; select pg_logical_emit_message(true, 'in', 'never'); select pg_logical_emit_message(false, 'out', E'\\\\xff00'::bytea); rollback");
    db.execute("select pg_logical_emit_message(false, '', '')");
    db.execute("insert into t values (3)");
    let events = pgcdc.events(6);
    assert_eq!(operations(&events), ["INSERT", "MESSAGE", "INSERT", "MESSAGE", "MESSAGE", "INSERT"]);
    let messages: Vec<&Event> = events.iter().filter(|event| event.operation == "MESSAGE").collect();
    let expected = [
        r#"{"prefix":"in","content":"a \"b\"\nä","transactional":true}"#,
        r#"{"prefix":"out","content":"/wA=","encoding":"base64","transactional":false}"#,
        r#"{"prefix":"","content":"","transactional":false}"#,
    ];
    for (message, expected) in messages.iter().zip(expected) {
        assert_eq!(message.channel, "pgcdc:_message");
        assert_eq!(message.payload, payload(expected));
        assert_eq!(message.id.as_bytes()[14], b'7');
    }
    let positions: Vec<&str> =
        events.iter().map(|event| event.envelope.get("position").and_then(Exact::text).unwrap()).collect();
    assert!(positions.is_sorted() && positions.iter().all(|position| position.len() == 42), "{positions:?}");
    pgcdc.stop_clean();
}

#[test]
fn a_truncate_says_what_it_did_besides_and_names_every_table() {
    let (db, desk) = (Database::create("truncates"), Desk::new());
    db.execute(
        "create table parent (id serial primary key);
         create table child (id int primary key, parent int references parent);
         create table other (id int primary key)",
    );
    let pgcdc = start(&db, &desk, "");
    db.execute("truncate other");
    db.execute("truncate parent cascade");
    db.execute("truncate parent, child, other restart identity");
    let events = pgcdc.events(6);
    assert!(events.iter().all(|event| event.operation == "TRUNCATE"));
    let of = |events: &[Event]| {
        let mut tables: Vec<String> = events.iter().map(|event| event.table().unwrap().to_owned()).collect();
        tables.sort();
        tables.join(" ")
    };
    assert_eq!(events[0].payload, payload(r#"{"op":"TRUNCATE","table":"other","row":null,"old":null}"#));
    assert_eq!(of(&events[1..3]), "child parent");
    assert_eq!(of(&events[3..]), "child other parent");
    for (event, key) in events[1..].iter().zip([["cascade"; 2].as_slice(), &["restart_identity"; 3]].concat())
    {
        assert_eq!(event.payload.get(key), Some(&Exact::Bool(true)), "{}", event.payload);
        let other = if key == "cascade" { "restart_identity" } else { "cascade" };
        assert_eq!(event.payload.get(other), None);
    }
    pgcdc.stop_clean();
}

#[test]
fn what_was_replicated_from_elsewhere_is_left_out_if_it_is_not_wanted() {
    let (db, desks) = (Database::create("origins"), [Desk::new(), Desk::new()]);
    db.execute("create table t (id int primary key)");
    let (any, none) = (start(&db, &desks[0], ""), start(&db, &desks[1], ", origin: none"));
    let origin = db.name();
    db.execute(&format!("select pg_replication_origin_create('{origin}')"));
    db.execute("insert into t values (1)");
    let mut elsewhere = db.connect();
    elsewhere
        .batch_execute(&format!(
            "select pg_replication_origin_session_setup('{origin}');
             begin; select pg_replication_origin_xact_setup('0/1234', now()); insert into t values (2); truncate t; insert into t values (2); commit"
        ))
        .unwrap();
    db.execute("insert into t values (3)");
    let ids = |events: &[Event]| -> Vec<Option<i64>> {
        events.iter().map(|event| event.column("id").and_then(Exact::integer)).collect()
    };
    let (all, local) = (any.events(5), none.events(2));
    assert_eq!(ids(&all), [Some(1), Some(2), None, Some(2), Some(3)]);
    assert_eq!(ids(&local), [Some(1), Some(3)]);
    assert_eq!((&local[0].id, &local[1].id), (&all[0].id, &all[4].id));
    any.stop_clean();
    none.stop_clean();
}
