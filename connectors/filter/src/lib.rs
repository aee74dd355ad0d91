//! The transform `filter`: keeps the events that are wanted.
//!
//! By operation, or by the value of one field as the envelope would print it: in the row after the change, of a DELETE in
//! the row before; of a payload as a trigger makes it, in `row`, else at its top. An event without the
//! field is dropped, NULL matches nothing, and a payload that is not a JSON object passes. A value that the
//! source has not sent because it did not change cannot be judged: the event passes.

mod field;
mod options;

use pgcdc_sdk::layout::{Body, Event};
use pgcdc_sdk::payload::operation;
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Context, Result, Transform};

pub use options::Options;
use options::Test;

/// What is wanted.
#[derive(Debug)]
pub struct Filter {
    test: Test,
}

impl Transform for Filter {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { test: options.test()? })
    }

    async fn check(options: Options) -> Result<()> {
        options.test().map(|_test| ())
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        let rows = batch.read()?;
        let view = rows.view();
        Applied::filtered(batch, |index| view.event(index).is_none_or(|event| self.wants(&event)))
    }
}

impl Filter {
    fn wants(&self, event: &Event<'_>) -> bool {
        let (name, value) = match &self.test {
            Test::Operations(wanted) => {
                let operation = operation(event);
                return wanted.iter().any(|wanted| *wanted == operation);
            }
            Test::Field(name, value) => (name, value),
        };
        match event.body() {
            Body::None => field::of_row(event, name, value),
            Body::Json(payload) => field::of_payload(payload, name, value),
            Body::Text(_) | Body::Bytes(_) => true,
        }
    }
}

pgcdc_sdk::connector! {
    transform: Filter,
    name: "filter",
    delivery: "What is wanted passes as it is; the rest ends here on purpose.",
}
