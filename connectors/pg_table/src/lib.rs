//! The sink `pg_table`: one row an event, a batch in one statement.
//!
//! Invariants. An event's id is the table's key, and a row that is there stays as it is: what comes again changes nothing.
//! The events go from the host to the server without passing through here. What the server refuses because of a value
//! is found by halving the batch, and fails alone; after any other failure nothing later is tried.

use pgcdc_sdk::postgres::{self, Param};
use pgcdc_sdk::sink::{Failure, Outcome, WriteContext};
use pgcdc_sdk::{Batch, Config, Context, Encoding, Endpoint, Result, Sink};

/// Nothing is read back but errors.
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// Where to put events.
#[derive(Debug, Config)]
pub struct Options {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres")]
    url: Endpoint,
    /// The table, or schema.table.
    #[config(default = "pgcdc_events", table = "events", flag = "pg-table-name", min = 1, max = 127)]
    table: String,
}

/// One table.
#[derive(Debug)]
pub struct PgTable {
    url: Endpoint,
    insert: String,
}

impl Sink for PgTable {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let table = postgres::quoted(&options.table)?;
        let columns = "id, channel, operation, payload, source, created_at";
        postgres::require(&options.url, &table, columns).await?;
        let insert = format!(
            "insert into {table} (id, channel, operation, payload, source, created_at) \
             select id, channel, operation, coalesce(payload, 'null'), coalesce(source, ''), created_at \
             from json_to_recordset($1::json) as event(id text, channel text, operation text, payload jsonb, \
             source text, created_at timestamptz) on conflict (id) do nothing"
        );
        Ok(Self { url: options.url, insert })
    }

    async fn check(options: Options) -> Result<()> {
        postgres::quoted(&options.table)?;
        postgres::query(&options.url, "select 'there'", Vec::new(), ANSWER_BYTES_MAX).await.map(drop)
    }

    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
        let mut failures = Vec::new();
        // First events and ends of the parts that are still to be written, the first part last.
        let mut parts = vec![(0, batch.count())];
        while let Some((start, end)) = parts.pop() {
            let params = vec![Param::from(batch.slice(Encoding::JsonArray, start..end))];
            let Err(error) = postgres::query(&self.url, &self.insert, params, ANSWER_BYTES_MAX).await else {
                continue;
            };
            match (error.code.as_str(), end - start) {
                ("rejected", 1) => failures.push(Failure { index: start, error }),
                ("rejected", events) => {
                    let middle = start + events / 2;
                    parts.extend([(middle, end), (start, middle)]);
                }
                _ => {
                    let untried = start..batch.count();
                    failures.extend(untried.map(|index| Failure { index, error: error.clone() }));
                    break;
                }
            }
        }
        Ok(Outcome::of(failures))
    }
}

pgcdc_sdk::connector! {
    sink: PgTable,
    name: "pg_table",
    delivery: "At least once, once in effect: an event is one row by its id, on the server's device before it counts.",
    capabilities: { postgres: "inserts into one table of the database that the operator names" },
    example: "sinks:\n  copy: { use: pg_table, config: { url: \"${COPY_URL}\" } }",
}
