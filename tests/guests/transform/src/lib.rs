//! The transform `guest`: passes everything on, or misbehaves in one way.

use std::hint::black_box;

use pgcdc_sdk::transform::{Applied, Failure};
use pgcdc_sdk::{Batch, Config, Context, Error, Result, Transform};

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    /// Passed on.
    Passes,
    /// The last input is neither passed on, nor dropped, nor failed.
    Forgets,
    /// Every input is both passed on and dropped.
    Doubles,
    /// An input that was never given fails.
    Garbage,
    /// Bytes that are no batch are built, and the host's answer is returned.
    Malformed,
    /// Passed on, after a thousand batches that are none.
    Litters,
    /// A panic.
    Traps,
    /// The CPU is busy for ever.
    Loops,
}

/// What the operator says.
#[derive(Debug, Config)]
pub struct Options {
    /// What becomes of a batch.
    #[config(default = "passes")]
    mode: Mode,
}

/// The transform.
#[derive(Debug)]
pub struct Guest(Options);

impl Transform for Guest {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self(options))
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        let mut applied = Applied::unchanged(batch)?;
        match self.0.mode {
            Mode::Passes => {}
            Mode::Forgets => return forget_the_last(batch),
            Mode::Doubles => applied.dropped = (0..batch.count()).collect(),
            Mode::Garbage => {
                applied.failures =
                    vec![Failure { index: batch.count() + 7, error: Error::invalid("never given") }];
            }
            Mode::Malformed => applied.batches = vec![Batch::build(&malformed(batch)?)?],
            Mode::Litters => {
                let bytes = malformed(batch)?;
                let built = (0..1_000).filter(|_| Batch::build(&bytes).is_ok()).count();
                assert_eq!(built, 0, "the host took what is no batch");
            }
            Mode::Traps => panic!("as it was told to"),
            Mode::Loops => loop {
                black_box(batch.count());
            },
        }
        Ok(applied)
    }
}

fn forget_the_last(batch: &Batch) -> Result<Applied> {
    let mut applied = Applied::filtered(batch, |index| index + 1 < batch.count())?;
    applied.dropped.clear();
    Ok(applied)
}

/// The batch's bytes with every offset in the header turned upside down, and 64 KiB more.
fn malformed(batch: &Batch) -> Result<Vec<u8>> {
    let mut bytes = batch.read()?.bytes().to_vec();
    bytes.iter_mut().skip(8).take(64).for_each(|byte| *byte = !*byte);
    bytes.resize(bytes.len() + 64 * 1024, 0xff);
    Ok(bytes)
}

pgcdc_sdk::connector! { transform: Guest, name: "guest" }
