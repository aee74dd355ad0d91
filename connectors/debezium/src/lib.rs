//! The transform `debezium`: payloads in the envelope that Debezium's consumers read.
//!
//! `before`, `after`, `source`, `transaction`, `op` and the times, in the order in which Debezium's own connector for
//! PostgreSQL has them; with `schema` around them what a Kafka Connect JSON converter writes. What comes behind this
//! transform finds the envelope in the place of rows. What a column's type has no room for fails that event alone.

mod decimal;
mod envelope;
mod list;
mod schema;
mod source;
mod time;
mod types;
mod values;

use pgcdc_sdk::payload;
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Config, Context, Error, Result, Transform};

/// What Debezium's connector is told by its own options.
#[derive(Debug, Config)]
pub struct Options {
    /// The logical name of this server: `source.name`, and what names of schemas begin with.
    #[config(default = "pgcdc", flag = "debezium-connector-name", min = 1, max = 255)]
    connector_name: String,
    /// The name of the database: `source.db`.
    #[config(default = "", flag = "debezium-database", max = 255)]
    database: String,
    /// Put schema and payload side by side, as Kafka Connect's JSON converter does.
    #[config(default = false)]
    schema: bool,
    /// How values are written: as in any other envelope of pgcdc, or as Debezium maps PostgreSQL's types. With a schema
    /// it is `debezium`, without one `row`, unless said otherwise.
    types: Option<Types>,
    /// With Debezium's types: how `numeric` is written.
    #[config(default = "precise")]
    decimal: Decimal,
    /// What stands for a value that the server did not send because it did not change.
    #[config(default = "__debezium_unavailable_value", max = 255)]
    unavailable_value: String,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Types {
    /// As `row_to_json` prints them.
    Row,
    /// As Debezium maps them by default.
    Debezium,
}

/// How `numeric` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Decimal {
    /// The bytes of a big integer, with the scale in the schema; without a scale a structure of both.
    Precise,
    /// A number; digits may be more than a double has.
    Double,
    /// A text.
    String,
}

/// The options at work.
#[derive(Debug)]
pub struct Debezium {
    options: Options,
    types: Types,
}

impl Transform for Debezium {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let types = coherent(&options)?;
        Ok(Self { options, types })
    }

    async fn check(options: Options) -> Result<()> {
        coherent(&options).map(drop)
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        let rows = batch.read()?;
        let mut writer = envelope::Writer::new(self);
        payload::replace(&rows, |out, event, old| writer.write(out, event, old))
    }
}

fn coherent(options: &Options) -> Result<Types> {
    match (options.types, options.schema) {
        (Some(Types::Row), true) => Err(Error::misconfigured(
            "types: a schema can only describe Debezium's types: leave `types` out, or `schema`",
        )),
        (Some(types), _) => Ok(types),
        (None, true) => Ok(Types::Debezium),
        (None, false) => Ok(Types::Row),
    }
}

pgcdc_sdk::connector! {
    transform: Debezium,
    name: "debezium",
    delivery: "Every event passes, its payload in Debezium's envelope.",
    example: "transforms:\n  - { use: debezium, config: { connector_name: shop, database: shop, schema: true } }",
}
