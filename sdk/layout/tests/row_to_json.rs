//! Values are printed as PostgreSQL's `row_to_json` prints them; `golden/row_to_json.sql` asks the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;

use pgcdc_layout::*;

/// The types of the golden file by name.
fn add_types(w: &mut BatchWriter) -> HashMap<&'static str, u32> {
    let mut types = HashMap::new();
    let scalars: [(Kind, &[&str]); 7] = [
        (Kind::Bool, &["bool"]),
        (Kind::Int, &["int2", "int4", "int8", "posint"]),
        (Kind::Number, &["float4", "float8", "numeric"]),
        (Kind::Json, &["json", "jsonb"]),
        (Kind::Timestamp, &["timestamp"]),
        (Kind::Timestamptz, &["timestamptz"]),
        (Kind::Text, &["text", "oid", "date", "box", "bytea", "uuid", "inet", "varchar"]),
    ];
    for (kind, names) in scalars {
        for name in names {
            types.insert(*name, w.add_type(&TypeDef::scalar(0, kind, name)).unwrap());
        }
    }
    let mut composite = |types: &mut HashMap<_, _>, name, fields: &[(&'static str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, ty)| ColumnDef::new(name, types[ty])).collect();
        types.insert(name, w.add_type(&TypeDef::composite(0, name, &fields)).unwrap());
        let array: &'static str = Box::leak(format!("{name}[]").into_boxed_str());
        types.insert(array, w.add_type(&TypeDef::array(0, array, types[name])).unwrap());
    };
    composite(&mut types, "item", &[("a", "int4"), ("b", "text")]);
    composite(&mut types, "one", &[("x", "text")]);
    composite(&mut types, "empt", &[]);
    let fields = [
        ("i", "item"),
        ("l", "item[]"),
        ("t", "timestamptz"),
        ("j", "json"),
        ("n", "numeric"),
        ("ok", "bool"),
    ];
    composite(&mut types, "nest", &fields);
    let arrays = [
        ("int4[]", "int4", b','),
        ("text[]", "text", b','),
        ("bool[]", "bool", b','),
        ("float8[]", "float8", b','),
        ("numeric[]", "numeric", b','),
        ("json[]", "json", b','),
        ("jsonb[]", "jsonb", b','),
        ("timestamp[]", "timestamp", b','),
        ("timestamptz[]", "timestamptz", b','),
        ("date[]", "date", b','),
        ("bytea[]", "bytea", b','),
        ("uuid[]", "uuid", b','),
        ("inet[]", "inet", b','),
        ("varchar[]", "varchar", b','),
        ("box[]", "box", b';'),
        ("int2vector", "int2", b' '),
        ("oidvector", "oid", b' '),
    ];
    for (name, element, delim) in arrays {
        let def = TypeDef { delim, ..TypeDef::array(0, name, types[element]) };
        types.insert(name, w.add_type(&def).unwrap());
    }
    types
}

fn print(ty: &str, text: &str) -> String {
    let mut w = BatchWriter::new();
    let types = add_types(&mut w);
    let ty = types.get(ty).copied().unwrap_or(types["text"]);
    let columns = [ColumnDef::new("v", ty)];
    let relation = w.add_relation(&RelationDef { columns: &columns, ..RelationDef::channel("c") }).unwrap();
    let mut t = w.tuple(1).unwrap();
    t.value(text.as_bytes());
    let after = Some(t.finish().unwrap());
    w.add_event(&EventDef { after, ..EventDef::new(Op::Insert, relation) }).unwrap();
    let bytes = w.finish();
    let event = View::parse(&bytes).unwrap().event(0).unwrap();
    let mut out = Vec::new();
    json::write_row(&mut out, &event.relation().unwrap(), &event.raw_after().unwrap());
    String::from_utf8(out).unwrap()
}

/// Undoes the escapes of COPY.
fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            (_, None) => out.push(c),
            (_, Some('b')) => out.push('\x08'),
            (_, Some('f')) => out.push('\x0c'),
            (_, Some('n')) => out.push('\n'),
            (_, Some('r')) => out.push('\r'),
            (_, Some('t')) => out.push('\t'),
            (_, Some(other)) => out.push(other),
        }
    }
    out
}

#[test]
fn as_the_server_prints_it() {
    let golden = include_str!("golden/row_to_json.tsv");
    for line in golden.lines() {
        let fields: Vec<_> = line.split('\t').map(unescape).collect();
        let expected = fields[2].replace(['\n', '\r'], " ");
        assert_eq!(print(&fields[0], &fields[1]), expected, "{line}");
    }
    assert!(golden.lines().count() > 100);
}

#[test]
fn what_is_not_what_its_type_says_is_a_string() {
    let cases = [
        ("bool", "true"),
        ("int4", ""),
        ("int4", "1,2"),
        ("int4", "007"),
        ("numeric", "1e"),
        ("numeric", ".5"),
        ("json", ""),
        ("json", "{}}"),
        ("json", "[1,]"),
        ("json", "'a'"),
        ("json", "\"\u{1}\""),
        ("int4[]", "{1,2"),
        ("int4[]", "{1,2}x"),
        ("int4[]", "{1,,2}"),
        ("int4[]", "{1 2}}"),
        ("int4[]", "{1}{2}"),
        ("int4[]", "1,2"),
        ("int4[]", ""),
        ("int4[]", "[0:1]"),
        ("int4[]", "[0:x]={1}"),
        ("int4[]", "{{{{{{{1}}}}}}}"),
        ("text[]", "{\"a}"),
        ("text[]", "{\"a\"b}"),
        ("text[]", "{\"a\\"),
        ("item", "(1)"),
        ("item", "(1,2,3)"),
        ("item", "(1,2"),
        ("item", "(1,\"2)"),
        ("item", "(1,a\"b)"),
        ("item", "1,2"),
        ("item", "(1,2)x"),
        ("empt", "(1)"),
        ("int2vector", "1  2"),
        ("timestamp", "yesterday at noon"),
        ("timestamptz", "2024-01-01 \"00\""),
    ];
    for (ty, text) in cases {
        let expected = serde_json::to_string(text).unwrap();
        assert_eq!(print(ty, text), format!("{{\"v\":{expected}}}"), "{ty} {text}");
    }
}

#[test]
fn json_may_nest_but_not_for_ever() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(print("json", &nested(1024)), format!("{{\"v\":{}}}", nested(1024)));
    assert_eq!(print("json", &nested(1025)), format!("{{\"v\":\"{}\"}}", nested(1025)));
    let objects = "{\"a\":[".repeat(500) + "1" + &"]}".repeat(500);
    assert_eq!(print("json", &objects), format!("{{\"v\":{objects}}}"));
    assert_eq!(print("json", "[{]}"), "{\"v\":\"[{]}\"}");
}
