//! The sink `bench`: answers at once, or reads every column of every event first.

use std::hint::black_box;

use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, Config, Context, Result, Sink};

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    /// Nothing.
    Empty,
    /// Every column is looked at.
    Reads,
}

/// What the benchmark says.
#[derive(Debug, Config)]
pub struct Options {
    /// What is done with a batch.
    #[config(default = "empty")]
    mode: Mode,
}

/// The sink.
#[derive(Debug)]
pub struct Bench(Options);

impl Sink for Bench {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self(options))
    }

    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
        if self.0.mode == Mode::Reads {
            black_box(read(batch)?);
        }
        Ok(Outcome::Durable)
    }
}

/// A sum that every column of every event has a part in.
fn read(batch: &Batch) -> Result<usize> {
    let rows = batch.read()?;
    let mut sum = 0;
    for event in rows.events() {
        sum += event.op() as usize;
        let Some(row) = event.after() else { continue };
        for cell in row.iter() {
            sum += cell.value().map_or(0, |text| text.len() + usize::from(text.bytes().next().unwrap_or(0)));
        }
    }
    Ok(sum)
}

pgcdc_sdk::connector! {
    sink: Bench,
    name: "bench",
    delivery: "None: nothing is delivered.",
}
