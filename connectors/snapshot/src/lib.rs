//! The source `snapshot`: the rows that tables hold now, once, read and decoded by the host.
//!
//! The batches pass through by handle. Whatever breaks it off is final: what was read belongs to a moment that is gone.

mod options;

use pgcdc_sdk::{Batch, Context, Result, Source, snapshot};

pub use options::Options;

/// One reading.
#[derive(Debug)]
pub struct Snapshot {
    reading: snapshot::Reading,
}

impl Source for Snapshot {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { reading: snapshot::open(&options.db, &options.rest).await? })
    }

    async fn next(&self) -> Result<Vec<Batch>> {
        self.reading.next().await
    }
}

pgcdc_sdk::connector! {
    source: Snapshot,
    name: "snapshot",
    delivery: "Every row once, as of one moment; broken off, it has to be run again.",
    capabilities: { snapshot: "reads the tables that the operator names" },
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::testing;

    #[test]
    fn passes_on_the_options_but_not_the_endpoint_and_ends() {
        let options = testing::config(r#"{"db":"db","tables":["t"],"where":"id > 1"}"#).unwrap();
        let source = testing::block_on(Snapshot::open(options, &Context::default())).unwrap();
        assert_eq!(source.reading.facts(), r#"{"tables":["t"],"where":"id > 1"}"#);
        assert_eq!(testing::block_on(source.next()).unwrap_err().code, "end");
    }
}
