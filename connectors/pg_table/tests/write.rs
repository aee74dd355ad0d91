//! A batch is one statement; what the server refuses is found, and fails alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::RefCell;
use std::rc::Rc;

use pg_table::PgTable;
use pgcdc_sdk::postgres::Rows;
use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Context, Error, Result, Sink, testing};

/// How many events each statement had, in order.
type Statements = Rc<RefCell<Vec<usize>>>;

/// Writes five payloads to a server that answers with this.
fn write(answer: impl Fn(&str) -> Result<()> + 'static) -> (Outcome, Vec<usize>) {
    let statements = Statements::default();
    let log = Rc::clone(&statements);
    testing::serve_postgres(move |sql, params| {
        if let [Some(events)] = params {
            assert!(sql.contains("on conflict (id) do nothing"), "{sql}");
            log.borrow_mut().push(events.matches("\"operation\"").count());
            answer(events)?;
        }
        Ok(Rows::default())
    });
    let batch = testing::payloads(&["0", "1", "2", "3", "4"]).unwrap();
    let options = testing::config(r#"{"url":"url","table":"t"}"#).unwrap();
    let sink = testing::block_on(PgTable::open(options, &Context::default())).unwrap();
    let outcome = testing::block_on(sink.write(&batch, &WriteContext::default())).unwrap();
    (outcome, statements.take())
}

fn failed(outcome: Outcome) -> Vec<(u32, String)> {
    match outcome {
        Outcome::Failed(failures) => failures.into_iter().map(|f| (f.index, f.error.code)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_is_one_statement() {
    assert_eq!(write(|_| Ok(())), (Outcome::Durable, vec![5]));
}

#[test]
fn what_is_refused_fails_alone() {
    let bad = |events: &str| {
        if events.contains("\"payload\":3") { Err(Error::rejected("no")) } else { Ok(()) }
    };
    let (outcome, statements) = write(bad);
    assert_eq!(failed(outcome), [(3, "rejected".to_owned())]);
    assert_eq!(statements, [5, 2, 3, 1, 2, 1, 1]);
}

#[test]
fn after_a_lost_connection_nothing_later_is_tried() {
    let lost = |events: &str| match events.matches("\"operation\"").count() {
        5 => Err(Error::rejected("somewhere")),
        _ if events.contains("\"payload\":2") => Err(Error::unavailable("gone")),
        _ => Ok(()),
    };
    let (outcome, statements) = write(lost);
    let unavailable = |index| (index, "unavailable".to_owned());
    assert_eq!(failed(outcome), [2, 3, 4].map(unavailable));
    assert_eq!(statements, [5, 2, 3]);
}
