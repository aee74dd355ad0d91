//! Values of every type that events promise to get right: the ordinary, the extreme, the nasty; and tables
//! that hold them.

use ::postgres::Client;

use super::peers;

/// A type and literals of it, each valid between single quotes (`E''` syntax).
pub type Sample = (&'static str, &'static [&'static str]);

/// The types that events are documented for, and a few that users make.
pub const SAMPLES: &[Sample] = &[
    ("bool", &["t", "f"]),
    ("bytea", &[r"\\xdeadbeef00ff", ""]),
    ("\"char\"", &["a", "", r"\\"]),
    ("name", &["a name", ""]),
    ("int8", &["0", "9223372036854775807", "-9223372036854775808", "9007199254740993"]),
    ("int2", &["32767", "-32768"]),
    ("int4", &["2147483647", "-2147483648", "7"]),
    ("regproc", &["pg_catalog.now", "-"]),
    (
        "text",
        &[
            "",
            "null",
            "NULL",
            r#"na\u00efve \U0001F980 "quoted" {a,b} \\ / </script>"#,
            r"tab\t line\nfeed\rreturn\u0001\u001f\u007f\u2028",
        ],
    ),
    ("oid", &["0", "4294967295"]),
    (
        "json",
        &[
            r#"{"a":  [1, 2.50, -0, 1e400],"a":"\\u00e9\\n",\n "b":null}"#,
            "\"s\"",
            "null",
            "12345678901234567890.10",
        ],
    ),
    ("xml", &["<a b=\"c\">d</a>", ""]),
    ("point", &["(1.5,-2)", "(Infinity,NaN)"]),
    ("cidr", &["192.168.0.0/16", "2001:db8::/32"]),
    ("float4", &["1.1", "3.4028235e+38", "1e-45", "NaN", "Infinity", "-Infinity", "-0", "1e6", "100000000"]),
    (
        "float8",
        &[
            "0.1",
            "0.30000000000000004",
            "5e-324",
            "1.7976931348623157e+308",
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1e15",
            "1e16",
        ],
    ),
    ("circle", &["<(1,2),3.5>"]),
    ("money", &["12.34", "-92233720368547758.08"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("inet", &["10.1.2.3", "10.1.2.3/8", "::1"]),
    ("char(5)", &["ab", ""]),
    ("varchar(20)", &["a b ", ""]),
    ("date", &["2025-01-02", "infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"]),
    ("time", &["00:00:00", "23:59:59.999999", "24:00:00"]),
    (
        "timestamp",
        &[
            "2025-01-02 03:04:05.678901",
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00 BC",
            "294276-12-31 23:59:59.999999",
        ],
    ),
    (
        "timestamptz",
        &[
            "2025-01-02 03:04:05+00",
            "2025-07-02 03:04:05.6-07:30",
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00+00 BC",
            "294276-12-31 23:59:59.999999+00",
        ],
    ),
    ("interval", &["1 year -2 mons +3 days 04:05:06.789", "-178000000 years", "0", "-00:00:00.000001"]),
    ("timetz", &["03:04:05.6-07:30", "24:00:00+00", "12:00:00+15:59:59"]),
    ("bit(5)", &["10101"]),
    ("bit varying(8)", &["101", ""]),
    (
        "numeric",
        &[
            "0",
            "1.00",
            "-0.000000000000000000000000000001",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e100",
            "123456789012345678901234567890.123456789",
        ],
    ),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("tsvector", &["'a':1A,2 'it''s':3", ""]),
    ("tsquery", &["'fat' & !( 'rat' | 'cat':* )"]),
    (
        "jsonb",
        &[
            r#"{"n": 9007199254740993, "m": -123456789012345678901234567890.10, "n2": 1E400}"#,
            r#"{"a": 1, "a": 2}"#,
        ],
    ),
    ("json", &[r#""\\u0000 \\ud83e\\udd80""#]),
    ("jsonb", &[r#"{"b": [1.10, {"c": null}], "a": "\\u00e9 \\\\ \\""}"#, "null", "\"s\"", "1e5", "[]"]),
    ("int4range", &["[1,5)", "empty", "(,)"]),
    ("numrange", &["[1.0,2.50]", "[1.0,)"]),
    ("tsrange", &["[2025-01-02 03:04:05,infinity)", "empty"]),
    ("tstzrange", &["[2025-01-02 03:04:05+05,)"]),
    ("daterange", &["[2025-01-02,2025-01-05]"]),
    ("int8range", &["[-9223372036854775808,9223372036854775807)"]),
    ("int4multirange", &["{[1,3),[5,)}", "{}"]),
    ("nummultirange", &["{[1.0,2.50],(3,4)}"]),
    ("tsmultirange", &["{[2025-01-02 03:04:05,infinity)}"]),
    ("tstzmultirange", &["{[2025-01-02 03:04:05+05,2025-01-02 04:04:05+05)}"]),
    ("datemultirange", &["{[2025-01-02,2025-01-05)}"]),
    ("int8multirange", &["{(,-9223372036854775807)}"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("line", &["{1,-1,0.1}"]),
    ("lseg", &["[(1,2),(3,4)]"]),
    ("box", &["(2,2),(1,1)"]),
    ("path", &["((1,2),(3,4))", "[(1,2),(3,4)]"]),
    ("polygon", &["((1,2),(3,4),(5,6))"]),
    ("pg_lsn", &["FFFFFFFF/FFFFFFFF"]),
    ("xid8", &["18446744073709551615"]),
    ("tid", &["(4294967294,65535)"]),
    ("regclass", &["pg_catalog.pg_class"]),
    ("regtype", &["timestamp with time zone"]),
    ("jsonpath", &[r#"$."a b"[*] ? (@ > 1)"#]),
    ("int2vector", &["1 -2 3"]),
    ("mood", &["so so", "happy"]),
    ("small", &["1", "99"]),
    ("some_pair", &[r#"(1,"a, b")"#]),
    ("floatrange", &["[0.1,0.30000000000000004)"]),
    ("citext", &["A a"]),
    ("ltree", &["a.b.c"]),
    ("hstore", &["", r#""a"=>"1", "b"=>NULL, "NULL"=>"NULL", "q\\"\\\\"=>"\u00e9 => , ""#]),
    ("tags", &[r#""k"=>"v""#]),
    ("vector(3)", &["[1,2.5,-3]"]),
    ("positive", &["1", "2147483647"]),
    ("price", &["1.10"]),
    ("pair", &[r#"(1,"a \\"b\\" c")"#, "(,)", "(2,)"]),
    ("couple", &[r#"("(1,x)",t,"{1,2}")"#]),
];

/// Makes the types of `SAMPLES` that no server has of itself.
pub const USER_TYPES: &str = "
    create type mood as enum ('so so', 'happy');
    create domain positive as int check (value > 0);
    create domain price as numeric(10, 2);
    create domain small as positive check (value < 100);
    create type pair as (a int, b text);
    create type couple as (p pair, flag bool, n int[]);
    create domain some_pair as pair check ((value).a is not null or value is null);
    create type floatrange as range (subtype = float8);";

/// What the server may have been installed without; one at a time.
const EXTENSIONS: &[&str] = &[
    "create extension citext",
    "create extension ltree",
    "create extension hstore; create domain tags as hstore",
    "create extension vector",
];

/// What an operator may have set for the database (`{db}`) or the role, and what must not leak into events.
pub const ODD_SETTINGS: &str = "
    alter database {db} set datestyle = 'SQL, DMY';
    alter database {db} set intervalstyle = 'iso_8601';
    alter database {db} set bytea_output = 'escape';
    alter database {db} set extra_float_digits = -5;
    alter database {db} set timezone = 'America/St_Johns';
    alter database {db} set xmloption = 'content';";

/// A table of one type: `v` a value, `a` an array of all values with a NULL between, `m` odd arrays.
#[derive(Clone, Debug)]
pub struct Table {
    /// The type.
    pub kind: &'static str,
    /// The table's name.
    pub name: String,
    literals: &'static [&'static str],
}

/// Makes a table for each type; a type that the server was built without is noted as skipped.
#[must_use]
pub fn create_tables(client: &mut Client) -> Vec<Table> {
    run(client, USER_TYPES);
    for extension in EXTENSIONS {
        // If it is missing, its types are, and are noted as such.
        let _ = client.batch_execute(extension);
    }
    let mut tables = Vec::new();
    for (n, (kind, literals)) in SAMPLES.iter().copied().enumerate() {
        let Some(first) = literals.first() else { continue };
        if client.batch_execute(&format!("select {}", cast(first, kind))).is_err() {
            peers::without(&format!("type {kind}"), "this server was built without it");
            continue;
        }
        let name = format!("t{n}");
        run(client, &format!("create table {name} (id int primary key, v {kind}, a {kind}[], m {kind}[])"));
        tables.push(Table { kind, name, literals });
    }
    tables
}

/// Inserts every sample, and NULL.
pub fn fill(client: &mut Client, table: &Table) {
    let Table { kind, name, literals } = table;
    let casts: Vec<String> = literals.iter().map(|literal| cast(literal, kind)).collect();
    let (all, first) = (casts.join(", "), casts.first().map_or("null", String::as_str));
    let mut sql = format!(
        "insert into {name} values (0, null, null, null);
         insert into {name} values (-1, null, '{{}}', array[[{first}, null], [null, {first}]]);"
    );
    for (id, cast) in casts.iter().enumerate() {
        sql += &format!(
            "insert into {name} values ({}, {cast}, array[{all}, null, {cast}], array[null]::{kind}[]);",
            id + 1
        );
    }
    run(client, &sql);
}

fn cast(literal: &str, kind: &str) -> String {
    format!("E'{}'::{kind}", literal.replace('\'', "''"))
}

fn run(client: &mut Client, sql: &str) {
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}
