//! One envelope a line, all of them, before the answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Context, Sink, testing};
use stdout::Stdout;

#[test]
fn one_line_an_event() {
    let table = testing::Table { name: "t", columns: &[("id", Kind::Int)] };
    let row = |id| Some(id);
    let changes = [(Op::Insert, None, Some(&[row("1")][..])), (Op::Insert, None, Some(&[row("2")][..]))];
    let batch = table.batch(&changes).unwrap();
    let outcome = testing::block_on(async {
        let sink = Stdout::open((), &Context::default()).await?;
        sink.write(&batch, &WriteContext::default()).await
    });
    assert_eq!(outcome.unwrap(), Outcome::Durable);
    let printed = testing::take_printed("stdout");
    assert_eq!((printed.lines().count(), printed.ends_with('\n')), (2, true));
}
