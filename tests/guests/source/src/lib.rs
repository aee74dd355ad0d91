//! The source `guest`: a few changes that it makes up, and then its end.

use std::cell::Cell;

use pgcdc_sdk::layout::writer::BodyDef;
use pgcdc_sdk::layout::{BatchWriter, EventDef, Op, RelationDef};
use pgcdc_sdk::{Batch, Config, Context, Error, Result, Source};

/// What the operator says.
#[derive(Debug, Config)]
pub struct Options {
    /// How many batches there are to be.
    #[config(default = 3)]
    batches: u32,
    /// How many events each of them has.
    #[config(default = 2)]
    events: u32,
}

/// The source.
#[derive(Debug)]
pub struct Guest {
    options: Options,
    made: Cell<u32>,
}

impl Source for Guest {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { options, made: Cell::new(0) })
    }

    async fn next(&self) -> Result<Vec<Batch>> {
        let number = self.made.get();
        if number == self.options.batches {
            return Err(Error::end("that was all"));
        }
        self.made.set(number + 1);
        let mut writer = BatchWriter::new();
        writer.source("guest")?;
        let channel = writer.add_relation(&RelationDef::channel("made-up"))?;
        for event in 0..self.options.events {
            let payload = format!(r#"{{"number":{}}}"#, number * self.options.events + event);
            let body = BodyDef::Json(&payload);
            writer.add_event(&EventDef { body, ..EventDef::new(Op::Notify, channel) })?;
        }
        Ok(vec![Batch::build(&writer.finish())?])
    }
}

pgcdc_sdk::connector! { source: Guest, name: "guest" }
