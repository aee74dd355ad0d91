//! Letters go to the table whole, also when the server cannot take a value; and come back as they went.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::RefCell;
use std::rc::Rc;

use pg_table_dlq::PgTableDlq;
use pgcdc_sdk::dlq::Letter;
use pgcdc_sdk::postgres::Rows;
use pgcdc_sdk::{Context, Dlq, Error, Result, testing};

type Asked = Rc<RefCell<Vec<(String, Vec<Option<String>>)>>>;

fn open(answer: impl Fn(&str, &[Option<String>]) -> Result<Rows> + 'static) -> (PgTableDlq, Asked) {
    let asked = Asked::default();
    let log = Rc::clone(&asked);
    testing::serve_postgres(move |sql, params| {
        if sql.ends_with("limit 0") {
            return Ok(Rows::default());
        }
        log.borrow_mut().push((sql.to_owned(), params.to_vec()));
        answer(sql, params)
    });
    let options = testing::config(r#"{"db":"db","table":"letters"}"#).unwrap();
    let dlq = testing::block_on(PgTableDlq::open(options, &Context::default())).unwrap();
    (dlq, asked)
}

fn letter(event: &str) -> Letter {
    let meta = format!(
        r#"{{"event":{event},"event_id":"e","channel":"c","position":"01","adapter":"hook","transform":null,"error":"rejected: \u0000no","timestamp":"t"}}"#
    );
    Letter { id: "hook/e".into(), meta, rows: vec![1, 2, 255] }
}

#[test]
fn what_the_server_cannot_take_as_json_is_kept_as_bytes() {
    let (dlq, asked) = open(|_, params| match params[0].as_deref() {
        Some(rows) if rows.contains(r"\u0000") => Err(Error::rejected("no").with("sqlstate", "22P05")),
        _ => Ok(Rows::default()),
    });
    testing::block_on(dlq.put(vec![letter(r#"{"v":"\u0000"}"#)])).unwrap();
    let asked = asked.borrow();
    let [_, (_, second)] = asked.as_slice() else { panic!("{asked:?}") };
    let row = second[0].as_deref().unwrap();
    assert!(row.contains(r#""payload":null"#) && row.contains(r#""rows":"AQL/""#), "{row}");
    assert!(row.contains("rejected: \u{fffd}no"), "{row}");
}

#[test]
fn many_letters_are_a_few_statements_and_a_large_one_is_its_own() {
    let (dlq, asked) = open(|_, _| Ok(Rows::default()));
    let mut letters: Vec<Letter> = (0..100).map(|n| Letter { id: n.to_string(), ..letter("1") }).collect();
    letters.insert(50, Letter { rows: vec![7; 2 << 20], ..letter("2") });
    testing::block_on(dlq.put(letters)).unwrap();
    assert_eq!(asked.borrow().len(), 3);
    testing::block_on(dlq.put(vec![letter("1"), letter("2")])).unwrap();
    assert_eq!(asked.borrow().len(), 5, "the same letter twice is two statements");
}

#[test]
fn a_list_that_is_too_long_is_cut_short() {
    let row: Vec<Option<String>> = [
        Some("hook/e"),
        Some("e"),
        Some("hook"),
        Some("no"),
        Some("c"),
        Some("01"),
        None,
        Some(r#"{"n": 1.10}"#),
        None,
        Some("2026-01-01T00:00:00.000000Z"),
        None,
        Some("AQL/"),
    ]
    .map(|cell| cell.map(str::to_owned))
    .to_vec();
    let (dlq, asked) = open(move |sql, _| match sql.rsplit_once("limit ") {
        Some((_, "50")) => Err(Error::too_large("more")),
        _ => Ok(Rows { rows: vec![row.clone()], ..Rows::default() }),
    });
    let letters = testing::block_on(dlq.list(r#"{"limit":50,"rows":true}"#)).unwrap();
    assert_eq!(asked.borrow().len(), 2);
    assert_eq!((letters[0].id.as_str(), letters[0].rows.as_slice()), ("hook/e", &[1, 2, 255][..]));
    assert!(letters[0].meta.contains(r#""event":{"n": 1.10}"#), "{}", letters[0].meta);
    assert!(letters[0].meta.contains(r#""replayed_at":null"#), "{}", letters[0].meta);
}

#[test]
fn states_are_two() {
    let (dlq, _) = open(|_, _| Ok(Rows { affected: 2, ..Rows::default() }));
    let ids = ["a".to_owned(), "b".to_owned()];
    assert_eq!(testing::block_on(dlq.mark(&ids, "replayed")).unwrap(), 2);
    assert_eq!(testing::block_on(dlq.mark(&ids, "lost")).unwrap_err().code, "unsupported");
}
