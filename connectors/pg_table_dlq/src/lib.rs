//! The dead-letter queue `pg_table`: one row a letter.
//!
//! Invariants. A letter put again replaces what is said of it and is pending again; it keeps its place and its first
//! time. `put` returns when the letters are on the server's device. A value that the server does not take never keeps a
//! letter out: its rows, from which it is replayed, are bytes.

mod filter;
mod row;

use std::collections::HashSet;

use filter::Filter;
use pgcdc_sdk::dlq::Letter;
use pgcdc_sdk::postgres::{self, Param};
use pgcdc_sdk::{Config, Context, Dlq, Endpoint, Error, Result};
use row::Row;

/// Letters whose bytes are more go in a statement of their own.
const PUT_BYTES_MAX: usize = 1024 * 1024;
/// A list that brings more is cut short.
const LIST_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// One letter alone may bring so much.
const LETTER_BYTES_MAX: u32 = 96 * 1024 * 1024;
const LIST_MAX: u32 = 1_000;

/// Where to keep refused changes.
#[derive(Debug, Config)]
pub struct Options {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres")]
    db: Endpoint,
    /// The table, or schema.table.
    #[config(default = "pgcdc_dead_letters", table = "dead_letters", min = 1, max = 127)]
    table: String,
}

/// One table.
#[derive(Debug)]
pub struct PgTableDlq {
    db: Endpoint,
    table: String,
    put: String,
}

impl Dlq for PgTableDlq {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let table = postgres::quoted(&options.table)?;
        let columns = "id, letter, event_id, adapter, error, payload, created_at, replayed_at, position, channel, \
                       transform, named, rows";
        postgres::require(&options.db, &table, columns).await?;
        let put = format!(
            "insert into {table} as old \
               (letter, event_id, adapter, error, payload, position, channel, transform, named, rows) \
             select letter, event_id, adapter, error, payload, position, channel, transform, named, \
               decode(rows, 'base64') \
             from json_to_recordset($1::json) as one(letter text, event_id text, adapter text, error text, \
               payload jsonb, position text, channel text, transform text, named jsonb, rows text) \
             on conflict (letter) do update set error = excluded.error, payload = excluded.payload, \
               position = excluded.position, channel = excluded.channel, transform = excluded.transform, \
               named = excluded.named, rows = excluded.rows, replayed_at = null"
        );
        Ok(Self { db: options.db, table, put })
    }

    async fn check(options: Options) -> Result<()> {
        postgres::quoted(&options.table)?;
        postgres::query(&options.db, "select 'there'", Vec::new(), LIST_BYTES_MAX).await.map(drop)
    }

    async fn put(&self, letters: Vec<Letter>) -> Result<()> {
        let mut rest = letters.as_slice();
        while !rest.is_empty() {
            let (mut bytes, mut ids) = (0, HashSet::new());
            // A statement can write a letter only once.
            let fits = rest.iter().take_while(|letter| {
                bytes += letter.meta.len() + letter.rows.len();
                bytes <= PUT_BYTES_MAX && ids.insert(&letter.id)
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            self.put_together(now).await?;
            rest = later;
        }
        Ok(())
    }

    async fn list(&self, filter: &str) -> Result<Vec<Letter>> {
        let filter = Filter::parse(filter)?;
        let mut limit = filter.limit.unwrap_or(LIST_MAX).clamp(1, LIST_MAX);
        loop {
            match self.some(&filter, limit).await {
                Err(error) if error.code == "too-large" && limit > 1 => limit = (limit / 8).max(1),
                letters => return letters,
            }
        }
    }

    async fn get(&self, id: &str) -> Result<Option<Letter>> {
        let rows = "translate(encode(rows, 'base64'), E'\\n', '')";
        let columns = row::COLUMNS;
        let table = &self.table;
        let sql = format!(
            "select {columns}, {rows} from {table} where $1 in (letter, event_id) order by id desc limit 1"
        );
        let found = self.ask(&sql, vec![Param::from(id)], LETTER_BYTES_MAX).await?;
        found.rows.first().map(|found| row::letter(found)).transpose()
    }

    async fn mark(&self, ids: &[String], state: &str) -> Result<u64> {
        let at = match state {
            "replayed" => "now()",
            "pending" => "null",
            _ => return Err(Error::unsupported("a letter is `replayed` or `pending`")),
        };
        let table = &self.table;
        let sql = format!(
            "update {table} set replayed_at = {at} where letter in (select json_array_elements_text($1::json))"
        );
        let ids = serde_json::to_string(ids)?;
        Ok(self.ask(&sql, vec![Param::from(ids)], LIST_BYTES_MAX).await?.affected)
    }

    async fn purge(&self, filter: &str) -> Result<u64> {
        let (conditions, params) = Filter::parse(filter)?.conditions(&self.table);
        let sql = format!("delete from {} where {conditions}", self.table);
        Ok(self.ask(&sql, params, LIST_BYTES_MAX).await?.affected)
    }
}

impl PgTableDlq {
    async fn ask(&self, sql: &str, params: Vec<Param<'_>>, bytes_max: u32) -> Result<postgres::Rows> {
        postgres::query(&self.db, sql, params, bytes_max).await
    }

    /// All in one statement. If the server cannot take one as jsonb, all go without what is for people.
    async fn put_together(&self, letters: &[Letter]) -> Result<()> {
        let put = async |with_payload| {
            let rows = letters.iter().map(|letter| Row::of(letter, with_payload));
            let rows = serde_json::to_string(&rows.collect::<Result<Vec<_>>>()?)?;
            self.ask(&self.put, vec![Param::from(rows)], LIST_BYTES_MAX).await
        };
        match put(true).await {
            Err(error) if error.get("sqlstate").is_some_and(is_about_a_value) => put(false).await.map(drop),
            done => done.map(drop),
        }
    }

    async fn some(&self, filter: &Filter, limit: u32) -> Result<Vec<Letter>> {
        let (conditions, params) = filter.conditions(&self.table);
        let rows = if filter.rows { "translate(encode(rows, 'base64'), E'\\n', '')" } else { "null" };
        let (columns, table, order) = (row::COLUMNS, &self.table, filter.order());
        let sql = format!(
            "select {columns}, {rows} from {table} where {conditions} order by {order} limit {limit}"
        );
        let bytes_max = if limit == 1 { LETTER_BYTES_MAX } else { LIST_BYTES_MAX };
        let found = self.ask(&sql, params, bytes_max).await?;
        found.rows.iter().map(|found| row::letter(found)).collect()
    }
}

/// A value that cannot be had as jsonb, or one that is nested too deeply.
fn is_about_a_value(sqlstate: &str) -> bool {
    sqlstate.starts_with("22") || sqlstate.starts_with("54")
}

pgcdc_sdk::connector! {
    dlq: PgTableDlq,
    name: "pg_table",
    delivery: "A letter is on the server's device before the change that it holds counts as got.",
    capabilities: { postgres: "reads and writes one table of the database that the operator names" },
    example: "dlq: { use: pg_table, config: { db: \"${DLQ_URL}\" } }",
}
