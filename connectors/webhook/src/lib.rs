//! The sink `webhook`: posts events to an HTTP endpoint.
//!
//! One event a request unless `batch` says otherwise. Several requests are under way at once, of several batches, too, and
//! the events of one row are delivered in order all the same. Retrying is the host's: an answer is only sorted
//! into what may be tried again and what is refused for good. Bodies are the host's own bytes, the same at every
//! attempt, and the signature is made where the key is.

mod answer;
mod batched;
mod fence;
mod headers;
mod key;
mod options;
mod order;
mod permits;
mod single;

use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, Context, Facts, Result, Sink};

pub use options::{Batching, Options};

/// Posts events.
#[derive(Debug)]
pub struct Webhook {
    options: Options,
    order: order::Order,
    permits: permits::Permits,
    fence: fence::Fence,
}

impl Sink for Webhook {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        headers::check(&options.headers)?;
        let permits = permits::Permits::new(options.in_flight);
        Ok(Self { options, order: order::Order::default(), permits, fence: fence::Fence::default() })
    }

    async fn check(options: Options) -> Result<()> {
        headers::check(&options.headers)
    }

    /// Posts of whole batches wait for each other, those of events only for their row.
    fn facts(&self) -> Facts {
        Facts::new().concurrency(if self.options.batch == Batching::None {
            self.options.in_flight
        } else {
            1
        })
    }

    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
        let failures = match self.options.batch {
            Batching::None => single::post(self, batch).await?,
            Batching::JsonArray | Batching::Ndjson => batched::post(self, batch).await?,
        };
        Ok(Outcome::of(failures))
    }
}

pgcdc_sdk::connector! {
    sink: Webhook,
    name: "webhook",
    delivery: "At least once, in order for each row; an event counts as delivered when a status of 200 to 299 came back.",
    capabilities: {
        http: "posts events to the endpoint that the operator names",
        crypto: "signs requests with `signing_key`",
    },
}
