//! Values are hidden in rows and payloads; NULL stays NULL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use mask::Mask;
use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::{Batch, Context, Error, Transform, testing};

const USERS: testing::Table<'_> = testing::Table {
    name: "users",
    columns: &[("id", Kind::Int), ("email", Kind::Text), ("paid", Kind::Bool), ("born", Kind::Timestamp)],
};

fn apply(fields: &str, batch: &Batch) -> Result<Vec<String>, Error> {
    testing::block_on(async {
        let config = testing::config(&format!(r#"{{"fields":{fields}}}"#))?;
        let applied = Mask::open(config, &Context::default()).await?.apply(batch).await?;
        let printed = applied.batches.iter().flat_map(|batch| testing::printed(batch).unwrap());
        Ok(printed.map(|envelope| envelope["payload"]["row"].to_string()).collect())
    })
}

fn users() -> Batch {
    let row: testing::Row<'_> = &[Some("7"), Some("abc"), Some("t"), Some("2026-01-05 09:30:00")];
    USERS
        .batch(&[(Op::Insert, None, Some(row)), (Op::Insert, None, Some(&[Some("8"), None, None, None]))])
        .unwrap()
}

#[test]
fn every_mode_in_rows() {
    let fields = r#"[{"field":"email","mode":"hash"},{"field":"paid","mode":"zero"},{"field":"id","mode":"redact"},
        {"field":"born","mode":"partial"}]"#;
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let expected = [
        format!(r#"{{"born":"2*****************0","email":"{abc}","id":"***REDACTED***","paid":false}}"#),
        r#"{"born":null,"email":null,"id":"***REDACTED***","paid":null}"#.to_owned(),
    ];
    assert_eq!(apply(fields, &users()).unwrap(), expected);
}

#[test]
fn zero_is_of_the_type() {
    let fields =
        r#"[{"field":"id","mode":"zero"},{"field":"email","mode":"zero"},{"field":"born","mode":"zero"}]"#;
    assert_eq!(apply(fields, &users()).unwrap()[0], r#"{"born":"","email":"","id":0,"paid":true}"#);
}

#[test]
fn a_key_makes_it_an_hmac_in_rows_and_payloads_alike() {
    testing::set_secret("pepper", b"key");
    let fields = r#"[{"field":"email","mode":"hash","key":"pepper"}]"#;
    let rows = apply(fields, &users()).unwrap();
    let payload = r#"{"op":"INSERT","table":"t","row":{"email":"abc"},"old":{"email":null}}"#;
    let payloads = apply(fields, &testing::payloads(&[payload]).unwrap()).unwrap();
    let abc = "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab";
    assert!(rows[0].contains(abc), "{rows:?}");
    assert!(rows[1].contains(r#""email":null"#));
    assert_eq!(payloads, [format!(r#"{{"email":"{abc}"}}"#)]);
}

#[test]
fn what_is_not_coherent_is_refused() {
    let bad = [
        r#"[{"field":"a","mode":"rot13"}]"#,
        r#"[{"field":"a","mode":"redact","key":"k"}]"#,
        r#"[{"field":"a","mode":"redact"},{"field":"a","mode":"zero"}]"#,
    ];
    for fields in bad {
        assert_eq!(apply(fields, &users()).unwrap_err().code, "misconfigured", "{fields}");
    }
    assert_eq!(
        apply(r#"[{"field":"email","mode":"hash","key":"unknown"}]"#, &users()).unwrap_err().code,
        "denied"
    );
}
