//! Where the demo plays: a throwaway server, or a schema in somebody's database.
//!
//! Invariant: what was made in somebody's database is dropped when the stage is.

use std::sync::Arc;

use pgcdc_tests::support::cluster::{Cluster, Settings};
use postgres::{Client, NoTls};

use crate::shop::TABLES;

pub(crate) struct Stage {
    url: String,
    schema: String,
    publication: Option<String>,
    _cluster: Option<Arc<Cluster>>,
}

impl Stage {
    pub(crate) fn set() -> Result<Self, String> {
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => Self::in_database(url),
            _ => Self::throwaway(),
        }
    }

    fn throwaway() -> Result<Self, String> {
        let cluster = Cluster::start(Settings::default());
        let url = cluster.url("postgres");
        let stage = Self { url, schema: "public".to_owned(), publication: None, _cluster: Some(cluster) };
        stage.execute(TABLES)?;
        Ok(stage)
    }

    fn in_database(url: String) -> Result<Self, String> {
        let name = format!("pgcdc_demo_{}", std::process::id());
        let stage = Self { url, schema: name.clone(), publication: Some(name.clone()), _cluster: None };
        let publish = format!("create publication {name} for table customers, orders, items");
        stage.execute(&format!("create schema {name}; set search_path = {name}; {TABLES}; {publish}"))?;
        Ok(stage)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// What `pgcdc run` is given; the URL comes from the environment, so that no password is written down.
    pub(crate) fn manifest(&self) -> String {
        let tables = match &self.publication {
            None => "all_tables: true".to_owned(),
            Some(name) => format!("publication: {name}"),
        };
        format!(
            "version: 1
state_dir: ./state
detectors:
  shop:
    use: wal
    config: {{ db: \"${{DATABASE_URL}}\", {tables} }}
transforms:
  - use: mask
    config: {{ fields: [ {{ field: email, mode: redact }} ] }}
  - use: drop_columns
    config: {{ columns: [password] }}
sinks:
  out:
    use: stdout
"
        )
    }

    fn execute(&self, sql: &str) -> Result<(), String> {
        let mut client =
            Client::connect(&self.url, NoTls).map_err(|error| format!("cannot connect: {error:?}"))?;
        client.batch_execute(sql).map_err(|error| format!("cannot set the stage: {error}"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let Some(publication) = &self.publication else { return };
        let sql = format!(
            "drop publication if exists {publication}; drop schema if exists {} cascade",
            self.schema
        );
        if let Err(why) = self.execute(&sql) {
            eprintln!("demo: could not clean up, run by hand: {sql} ({why})");
        }
    }
}
