//! No small batch stands for a large one: what records share is counted each time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use pgcdc_layout::*;

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn set(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
}

/// Relations that all claim the columns of the first one.
fn relations_that_share(relations: usize, columns: usize, name_len: usize) -> Vec<u8> {
    let mut w = BatchWriter::new();
    let ty = w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let name = "n".repeat(name_len);
    let columns = vec![ColumnDef::new(&name, ty); columns];
    w.add_relation(&RelationDef { columns: &columns, ..RelationDef::channel("c") }).unwrap();
    for _ in 1..relations {
        w.add_relation(&RelationDef::channel("c")).unwrap();
    }
    let mut bytes = w.finish();
    let table = word(&bytes, 36);
    for n in 1..relations {
        set(&mut bytes, table + 48 * n + 32, 0);
        set(&mut bytes, table + 48 * n + 36, columns.len());
    }
    bytes
}

#[test]
fn shared_columns_are_counted() {
    assert!(View::parse(&relations_that_share(30, 4_096, 1_000)).is_ok());
    let what = View::parse(&relations_that_share(40, 4_096, 1_000)).unwrap_err().what;
    assert_eq!(what, "all names, shared ones counted each time, are longer than 128 MiB");
    assert!(View::parse(&relations_that_share(256, 4_096, 1)).is_ok());
    let what = View::parse(&relations_that_share(257, 4_096, 1)).unwrap_err().what;
    assert_eq!(what, "all relations and types together have more than 1,048,576 columns and fields");
}

#[test]
fn shared_rows_are_counted() {
    let mut w = BatchWriter::new();
    let ty = w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let columns = [ColumnDef::new("a", ty)];
    let relation = w.add_relation(&RelationDef { columns: &columns, ..RelationDef::channel("c") }).unwrap();
    let mut t = w.tuple(1).unwrap();
    t.value(&vec![b'x'; 1 << 20]);
    let after = Some(t.finish().unwrap());
    let event = EventDef { after, ..EventDef::new(Op::Insert, relation) };
    while w.add_event(&event).is_ok() {}
    assert_eq!(w.event_count(), 63);
    for _ in 0..2 {
        w.add_event(&EventDef { after: None, ..event }).unwrap();
    }
    let mut bytes = w.finish();
    assert!(View::parse(&bytes).is_ok());
    let table = word(&bytes, 32);
    let row = word(&bytes, table + 48);
    set(&mut bytes, table + 88 * 63 + 48, row);
    let what = View::parse(&bytes).unwrap_err().what;
    assert_eq!(what, "all that events refer to, shared bytes counted each time, is more than 64 MiB");
}

#[test]
fn types_nest_32_deep() {
    let mut w = BatchWriter::new();
    let mut ty = w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    for _ in 0..32 {
        ty = w.add_type(&TypeDef::array(1, "array", ty)).unwrap();
    }
    let error = w.add_type(&TypeDef::array(1, "array", ty)).unwrap_err();
    assert_eq!(error.to_string(), "the depth of a type too large for any batch: 33, the limit is 32");
    let last = w.add_type(&TypeDef::array(1, "array", 0)).unwrap() as usize;
    let mut bytes = w.finish();
    assert!(View::parse(&bytes).is_ok());
    let table = word(&bytes, 40);
    set(&mut bytes, table + 40 * last + 16, ty as usize);
    assert_eq!(View::parse(&bytes).unwrap_err().what, "a type nests more than 32 deep");
}

#[test]
fn names_do_not_make_json_explode() {
    let mut w = BatchWriter::new();
    let text = w.add_type(&TypeDef::scalar(25, Kind::Text, "text")).unwrap();
    let name = "n".repeat(1_000);
    let fields = [ColumnDef::new(&name, text), ColumnDef::new(&name, text)];
    let item = w.add_type(&TypeDef::composite(1, "item", &fields)).unwrap();
    let items = w.add_type(&TypeDef::array(2, "item[]", item)).unwrap();
    let columns = [ColumnDef::new("items", items)];
    let relation = w.add_relation(&RelationDef { columns: &columns, ..RelationDef::channel("c") }).unwrap();
    let value = format!("{{{}}}", vec!["\"(,)\""; 1 << 16].join(","));
    let mut t = w.tuple(1).unwrap();
    t.value(value.as_bytes());
    let after = Some(t.finish().unwrap());
    w.add_event(&EventDef { after, ..EventDef::new(Op::Insert, relation) }).unwrap();
    let bytes = w.finish();
    let lines = json::lines(&View::parse(&bytes).unwrap(), json::LINES_BYTES_MAX).unwrap();
    assert!(lines.bytes.len() < 2 * bytes.len(), "{}", lines.bytes.len());
}
