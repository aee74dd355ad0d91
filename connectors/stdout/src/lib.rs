//! The sink `stdout`: one JSON envelope a line to the standard output.
//!
//! Durable means here: the operating system has taken every byte. The lines are the host's own; none of them
//! passes through this component.

use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, Context, Result, Sink, console};

/// Has no state and no options.
#[derive(Debug)]
pub struct Stdout;

impl Sink for Stdout {
    type Config = ();

    async fn open(_: (), _: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
        console::write(console::Stream::Stdout, batch.lines()).await?;
        Ok(Outcome::Durable)
    }
}

pgcdc_sdk::connector! {
    sink: Stdout,
    name: "stdout",
    delivery: "At least once, in order; an event counts as delivered when the pipe or terminal has taken it.",
    capabilities: { console: "prints events to the standard output" },
}
