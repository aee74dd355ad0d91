//! The checkpoint store `postgres`: one row a key in a table.
//!
//! Invariants. A store is one statement: every put finds the version that it replaces, or nothing is changed and the
//! answer is `conflict`. So of two writers that replace the same version one wins, and the other one learns it. A removed
//! key stays as a row without a value, so that its versions are never used again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgcdc_sdk::checkpoint_store::{Entry, Put};
use pgcdc_sdk::postgres::{self, Param};
use pgcdc_sdk::{CheckpointStore, Config, Context, Endpoint, Error, Result};
use serde::Serialize;

/// No load brings more.
const LOAD_BYTES_MAX: u32 = 24 * 1024 * 1024;

/// Where to keep checkpoints.
#[derive(Debug, Config)]
pub struct Options {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres")]
    db: Endpoint,
    /// The table, or schema.table.
    #[config(default = "pgcdc_state", table = "state", min = 1, max = 127)]
    table: String,
}

/// One table.
#[derive(Debug)]
pub struct PostgresStore {
    db: Endpoint,
    load: String,
    store: String,
}

/// A put as the statement reads it.
#[derive(Serialize)]
struct Given<'a> {
    key: &'a str,
    expected: u64,
    /// In base64.
    value: Option<String>,
}

impl CheckpointStore for PostgresStore {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let table = postgres::quoted(&options.table)?;
        postgres::require(&options.db, &table, "key, version, value, updated_at").await?;
        Ok(Self { db: options.db, load: load(&table), store: store(&table) })
    }

    async fn check(options: Options) -> Result<()> {
        postgres::quoted(&options.table)?;
        postgres::query(&options.db, "select 'there'", Vec::new(), LOAD_BYTES_MAX).await.map(drop)
    }

    async fn load(&self, prefix: &str) -> Result<Vec<Entry>> {
        let found = postgres::query(&self.db, &self.load, vec![Param::from(prefix)], LOAD_BYTES_MAX).await?;
        found.rows.iter().map(|row| entry(row).ok_or_else(garbled)).collect()
    }

    async fn store(&self, puts: Vec<Put>) -> Result<()> {
        let given: Vec<Given<'_>> = puts
            .iter()
            .map(|put| Given {
                key: &put.key,
                expected: put.expected_version,
                value: put.value.as_ref().map(|value| STANDARD.encode(value)),
            })
            .collect();
        let given = serde_json::to_string(&given)?;
        match postgres::query(&self.db, &self.store, vec![Param::from(given)], LOAD_BYTES_MAX).await {
            Ok(_) => Ok(()),
            Err(error) if error.get("sqlstate") == Some(NOT_ALL) => {
                let keys: Vec<&str> = puts.iter().map(|put| put.key.as_str()).collect();
                let message = "a checkpoint was written by somebody else: another pgcdc uses this table";
                Err(Error::conflict(message).with("keys", keys.join(", ")))
            }
            Err(error) => Err(error),
        }
    }
}

/// Division by zero: how the statement takes everything back if a put did not find its version.
const NOT_ALL: &str = "22012";

fn load(table: &str) -> String {
    format!(
        "select key, version::text, translate(encode(value, 'base64'), E'\\n', '') from {table} \
         where value is not null and starts_with(key, $1) order by key"
    )
}

fn store(table: &str) -> String {
    format!(
        "with given as materialized (
           select key, expected, decode(value, 'base64') as value
           from json_to_recordset($1::json) as one(key text, expected bigint, value text)
         ), changed as (
           update {table} as old set version = old.version + 1, value = given.value, updated_at = now()
           from given where given.expected > 0 and old.key = given.key
             and old.version = given.expected and old.value is not null
           returning 1
         ), made as (
           insert into {table} as old (key, version, value) select key, 1, value from given where expected = 0
           on conflict (key) do update set version = old.version + 1, value = excluded.value, updated_at = now()
             where old.value is null
           returning 1
         )
         select (1 / case when (select count(*) from changed) + (select count(*) from made)
                             = (select count(*) from given) then 1 else 0 end)::text"
    )
}

fn entry(row: &[Option<String>]) -> Option<Entry> {
    let [Some(key), Some(version), Some(value)] = row else { return None };
    Some(Entry { key: key.clone(), version: version.parse().ok()?, value: STANDARD.decode(value).ok()? })
}

fn garbled() -> Error {
    Error::gone("the checkpoint table holds a row that pgcdc did not write")
}

pgcdc_sdk::connector! {
    checkpoint_store: PostgresStore,
    name: "postgres",
    delivery: "A checkpoint is on the server's device before it counts; of two writers one wins, the other one stops.",
    capabilities: { postgres: "reads and writes one table of the database that the operator names" },
    example: "checkpoint: { use: postgres, config: { db: \"${STATE_URL}\" } }",
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::postgres::Rows;
    use pgcdc_sdk::testing;

    fn open(answer: impl Fn(&str, &[Option<String>]) -> Result<Rows> + 'static) -> PostgresStore {
        testing::serve_postgres(move |sql, params| {
            if sql.ends_with("limit 0") { Ok(Rows::default()) } else { answer(sql, params) }
        });
        let options = testing::config(r#"{"db":"db","table":"a.b\"c"}"#).unwrap();
        testing::block_on(PostgresStore::open(options, &Context::default())).unwrap()
    }

    fn put() -> Put {
        Put { key: "k".into(), expected_version: 3, value: Some(vec![0, 255]) }
    }

    #[test]
    fn one_statement_names_every_version_and_quotes_the_table() {
        let store = open(|sql, params| {
            assert!(sql.contains(r#"update "a"."b""c" as"#), "{sql}");
            assert_eq!(params[0].as_deref(), Some(r#"[{"key":"k","expected":3,"value":"AP8="}]"#));
            Ok(Rows::default())
        });
        testing::block_on(store.store(vec![put()])).unwrap();
    }

    #[test]
    fn what_was_not_all_done_is_a_conflict_and_anything_else_is_not() {
        let refused =
            |state: &'static str| open(move |_, _| Err(Error::rejected("no").with("sqlstate", state)));
        let error = |state| testing::block_on(refused(state).store(vec![put()])).unwrap_err().code;
        assert_eq!(error("22012"), "conflict");
        assert_eq!(error("23502"), "rejected");
    }

    #[test]
    fn rows_are_entries_and_a_stranger_is_refused() {
        let row = |value: &str| vec![Some("k".into()), Some("7".into()), Some(value.into())];
        let (good, bad) = (row("AP8="), row("?"));
        let store = open(move |_, _| Ok(Rows { rows: vec![good.clone()], ..Rows::default() }));
        let loaded = testing::block_on(store.load("k")).unwrap();
        assert_eq!(loaded, [Entry { key: "k".into(), version: 7, value: vec![0, 255] }]);
        let store = open(move |_, _| Ok(Rows { rows: vec![bad.clone()], ..Rows::default() }));
        assert_eq!(testing::block_on(store.load("k")).unwrap_err().code, "gone");
    }
}
