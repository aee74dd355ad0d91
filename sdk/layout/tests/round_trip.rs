//! What was written is what is read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use pgcdc_layout::*;

fn columns() -> [ColumnDef<'static>; 3] {
    let id = ColumnDef { identity: true, primary: true, ..ColumnDef::new("id", 0) };
    [id, ColumnDef::new("name", 1), ColumnDef::new("note", 1)]
}

fn shop() -> (BatchWriter, u32, u32) {
    let mut w = BatchWriter::with_capacity(4096);
    w.flags(spec::FLAG_ORDERED).detected_us(5);
    w.source("wal_replication").unwrap();
    w.strand("wal").unwrap();
    w.resume(b"\x00\x01").unwrap();
    w.add_type(&TypeDef::scalar(23, Kind::Int, "int4")).unwrap();
    w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let columns = columns();
    let def = RelationDef {
        oid: 16_400,
        identity: b'd',
        schema: "public",
        name: "items",
        channel: "pgcdc:items",
        columns: &columns,
    };
    let items = w.add_relation(&def).unwrap();
    let tx =
        w.add_transaction(&TxDef { key: &[0, 0, 0, 0, 0, 0, 0, 9], xid: 7, ..TxDef::default() }).unwrap();
    (w, items, tx)
}

#[test]
fn a_row_comes_back() {
    let (mut w, items, tx) = shop();
    let mut t = w.tuple(3).unwrap();
    t.value(b"1");
    t.null();
    t.value("grün".as_bytes());
    let before = t.finish().unwrap();
    let mut t = w.tuple(3).unwrap();
    t.display(&1);
    t.value(b"");
    t.unchanged();
    let after = t.finish().unwrap();
    let key = [2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
    let event = EventDef {
        id: [3; 16],
        key: &key,
        tx,
        seq: 4,
        after: Some(after),
        before: Some(before),
        ..EventDef::new(Op::Update, items)
    };
    assert_eq!(w.add_event(&event), Ok(0));
    let len = w.len_bytes();
    let bytes = w.finish();
    assert_eq!(bytes.len(), len);
    assert_eq!(w.event_count(), 0);

    let view = View::parse(&bytes).unwrap();
    assert_eq!((view.strand(), view.source(), view.resume()), ("wal", "wal_replication", &[0, 1][..]));
    assert_eq!((view.event_count(), view.detected_us()), (1, 5));
    let event = view.event(0).unwrap();
    assert_eq!((event.op(), event.seq(), event.input(), event.derived()), (Op::Update, Some(4), 0, 0));
    let relation = event.relation().unwrap();
    assert_eq!((relation.schema(), relation.name(), relation.channel()), ("public", "items", "pgcdc:items"));
    assert_eq!(relation.column_index("note"), Some(2));
    assert_eq!(relation.column(0).unwrap().ty().unwrap().kind(), Kind::Int);
    let before: Vec<_> = event.before().unwrap().iter().collect();
    assert_eq!(before, [Cell::Value("1"), Cell::Null, Cell::Value("grün")]);
    let after = event.after().unwrap();
    assert_eq!(
        [after.get(0), after.get(1), after.get(2)],
        [Cell::Value("1"), Cell::Value(""), Cell::Unchanged]
    );
    assert_eq!(after.get(3), Cell::Absent);
    let mut order = Vec::new();
    event.order_key(&mut order);
    assert_eq!(order, [&[0, 0, 0, 0, 0, 0, 0, 9][..], &key].concat());
    assert_eq!(event.transaction().unwrap().xid(), 7);
    assert_eq!(event.transaction().unwrap().commit_us(), None);
}

#[test]
fn a_transaction_is_filled_in_later() {
    let (mut w, items, tx) = shop();
    w.add_event(&EventDef { tx, ..EventDef::new(Op::Truncate, items) }).unwrap();
    let known = TxDef {
        key: &[9; 8],
        commit_lsn: 9,
        commit_us: 11,
        xid: 7,
        last: true,
        name: "gtid",
        ..TxDef::default()
    };
    w.set_transaction(tx, &known).unwrap();
    assert_eq!(w.set_transaction(1, &known), Err(WriteError::Unknown { what: "transaction", index: 1 }));
    let bytes = w.finish();
    let transaction = View::parse(&bytes).unwrap().transaction(tx).unwrap();
    assert_eq!((transaction.key(), transaction.commit_us()), (&[9; 8][..], Some(11)));
    assert_eq!((transaction.name(), transaction.first(), transaction.last()), ("gtid", false, true));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let (mut w, items, _) = shop();
    let len = w.len_bytes();
    let mut t = w.tuple(3).unwrap();
    t.null();
    assert_eq!(t.finish(), Err(WriteError::Columns { expected: 3, got: 1 }));
    let mut t = w.tuple(1).unwrap();
    t.null();
    t.value(b"x");
    assert_eq!(t.finish(), Err(WriteError::Columns { expected: 1, got: 2 }));
    let mut t = w.tuple(2).unwrap();
    t.value("é".as_bytes());
    t.value(b"\xff");
    assert_eq!(t.finish(), Err(WriteError::NotUtf8 { column: 1 }));
    let mut t = w.tuple(2).unwrap();
    t.value(&"é".as_bytes()[..1]);
    t.value(&"é".as_bytes()[1..]);
    assert_eq!(t.finish(), Err(WriteError::NotUtf8 { column: 0 }));
    drop(w.tuple(2).unwrap());
    assert_eq!(w.len_bytes(), len);

    let mut t = w.tuple(2).unwrap();
    t.null();
    t.null();
    let narrow = t.finish().unwrap();
    let event = EventDef { after: Some(narrow), ..EventDef::new(Op::Insert, items) };
    assert_eq!(w.add_event(&event), Err(WriteError::Columns { expected: 3, got: 2 }));
    let event = EventDef { body: BodyDef::Json("{"), ..EventDef::new(Op::Notify, items) };
    assert_eq!(w.add_event(&event), Err(WriteError::NotJson { what: "a JSON body" }));
    assert!(matches!(w.add_event(&EventDef::new(Op::Named, items)), Err(WriteError::Invalid { .. })));
    assert_eq!(
        w.add_event(&EventDef::new(Op::Insert, 9)),
        Err(WriteError::Unknown { what: "relation", index: 9 })
    );
    let array = TypeDef::array(1, "a", 2);
    assert_eq!(w.add_type(&array), Err(WriteError::Unknown { what: "type", index: 2 }));
    let long = "n".repeat(spec::NAME_BYTES_MAX + 1);
    assert!(matches!(w.add_relation(&RelationDef::channel(&long)), Err(WriteError::TooLarge { .. })));
    assert!(matches!(w.tuple(4_097), Err(WriteError::TooLarge { .. })));
}

#[test]
fn a_full_batch_says_so_and_still_holds() {
    let (mut w, items, _) = shop();
    let large = vec![b'x'; 40 << 20];
    let mut t = w.tuple(3).unwrap();
    t.value(&large);
    t.null();
    t.null();
    let row = t.finish().unwrap();
    let mut t = w.tuple(3).unwrap();
    t.value(&large);
    t.null();
    t.null();
    assert!(matches!(t.finish(), Err(WriteError::TooLarge { .. })));
    let event = EventDef { after: Some(row), ..EventDef::new(Op::Insert, items) };
    w.add_event(&event).unwrap();
    let mut t = w.tuple(3).unwrap();
    t.value(&large);
    t.null();
    t.null();
    assert_eq!(t.finish(), Err(WriteError::Full { what: "tuples" }));
    assert_eq!(w.add_event(&event), Err(WriteError::Full { what: "events" }), "shared bytes count each time");
    assert_eq!(w.event_count(), 1);
    let bytes = w.finish();
    assert_eq!(View::parse(&bytes).unwrap().event_count(), 1);
}
