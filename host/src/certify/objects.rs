//! What certify makes in a database, and removes again: a schema, a publication, a slot, all of one name.
//!
//! Invariant: nothing that was there before is touched; if anything of the name is there, certify refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use pgcdc_core::lsn::Lsn;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::history::{RowName, Table};
use crate::postgres::session::Rows;
use crate::postgres::{Error, Params, Session};

/// The server may need a moment to notice that a killed reader is gone.
const SLOT_RELEASE_MAX: Duration = Duration::from_secs(60);

/// A server that is being killed is back after less.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// The objects, as long as a run lasts.
pub(crate) struct Objects {
    params: Params,
    session: Mutex<Session>,
    name: String,
}

impl Objects {
    /// Makes them.
    pub(crate) async fn create(params: &Params, name: &str) -> Result<Objects, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || name.len() > 40
            || !name.chars().all(plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(format!("--name {name}: wanted: up to 40 lower-case letters, digits and _"));
        }
        let session = Session::open(params).await.map_err(|e| e.to_string())?;
        let objects = Objects { params: params.clone(), session: Mutex::new(session), name: name.to_owned() };
        objects.refuse_what_is_there().await?;
        if let Err(error) = objects.make().await {
            objects.remove().await.unwrap_or_else(|left| eprintln!("warning: {left}"));
            return Err(error);
        }
        Ok(objects)
    }

    async fn refuse_what_is_there(&self) -> Result<(), String> {
        let name = &self.name;
        let sql = format!(
            "select 'schema' from pg_catalog.pg_namespace where nspname = '{name}' \
             union all select 'publication' from pg_catalog.pg_publication where pubname = '{name}' \
             union all select 'slot' from pg_catalog.pg_replication_slots where slot_name = '{name}'"
        );
        let rows = self.ask(&sql, "looking for what is there").await.map_err(|e| e.to_string())?;
        let found: Vec<String> = rows.into_iter().flatten().flatten().collect();
        if found.is_empty() {
            return Ok(());
        }
        Err(format!(
            "there is a {} named {name} already, and certify touches nothing that is not its own: another one runs, or was \
             killed; choose another --name, or remove it: {}",
            found.join(" and a "),
            self.removal().join("; ")
        ))
    }

    async fn make(&self) -> Result<(), String> {
        let name = &self.name;
        let columns = "writer int not null, key int not null, version bigint not null, note text, amount numeric, \
                       doc jsonb, primary key (writer, key)";
        let (full, keyed) = (Table::Full.name(), Table::Keyed.name());
        let statements = format!(
            "create schema {name};
             create table {name}.{full} ({columns});
             alter table {name}.{full} replica identity full;
             create table {name}.{keyed} ({columns});
             create table {name}.fates (writer int, number bigint, committed boolean not null, primary key (writer, number));
             create publication {name} for table {name}.{full}, {name}.{keyed}"
        );
        self.ask(&statements, "making certify's tables").await.map_err(|e| e.to_string())?;
        let slot = format!("select pg_catalog.pg_create_logical_replication_slot('{name}', 'pgoutput')");
        self.ask(&slot, "making certify's slot").await.map_err(|e| e.to_string())?;
        Ok(())
    }

    fn removal(&self) -> [String; 3] {
        let name = &self.name;
        [
            format!("drop publication if exists {name}"),
            format!("drop schema if exists {name} cascade"),
            format!(
                "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = '{name}'"
            ),
        ]
    }

    /// Removes them. The error says what is left, and how to remove it.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        let end = Instant::now() + SLOT_RELEASE_MAX;
        for sql in self.removal() {
            while let Err(error) = self.ask(&sql, "removing what certify has made").await {
                // A slot is busy until the server has noticed that its reader is gone.
                if error.sqlstate() != Some("55006") || Instant::now() > end {
                    return Err(format!("not removed: {error}; run: {sql}"));
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Where the slot is confirmed.
    pub(crate) async fn confirmed(&self) -> Result<Lsn, String> {
        let sql = format!(
            "select confirmed_flush_lsn from pg_catalog.pg_replication_slots where slot_name = '{}'",
            self.name
        );
        let cell = self.cell(&sql, "looking at the slot").await?;
        cell.parse().map_err(|_| format!("the slot's position {cell:?} makes no sense"))
    }

    /// Where the WAL ends.
    pub(crate) async fn wal_end(&self) -> Result<Lsn, String> {
        let cell = self.cell("select pg_catalog.pg_current_wal_flush_lsn()", "looking at the WAL").await?;
        cell.parse().map_err(|_| format!("the WAL's position {cell:?} makes no sense"))
    }

    /// Moves the slot to the end of the WAL, as nobody should.
    pub(crate) async fn advance(&self) -> Result<(), String> {
        let sql = format!(
            "select end_lsn from pg_catalog.pg_replication_slot_advance('{}', pg_catalog.pg_current_wal_lsn())",
            self.name
        );
        let end = Instant::now() + SLOT_RELEASE_MAX;
        while let Err(error) = self.ask(&sql, "moving the slot").await {
            if error.sqlstate() != Some("55006") || Instant::now() > end {
                return Err(error.to_string());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What the tables hold.
    pub(crate) async fn rows(&self) -> Result<BTreeMap<RowName, Box<str>>, String> {
        let mut all = BTreeMap::new();
        for table in Table::ALL {
            let sql = format!(
                "select writer, key, pg_catalog.row_to_json(t) from {}.{} t",
                self.name,
                table.name()
            );
            let rows = self.ask(&sql, "reading the tables").await.map_err(|e| e.to_string())?;
            for row in rows {
                let [Some(writer), Some(key), Some(text)] = row.as_slice() else { continue };
                let (Ok(writer), Ok(key)) = (writer.parse(), key.parse()) else { continue };
                all.insert(RowName { table, writer, key }, text.as_str().into());
            }
        }
        Ok(all)
    }

    /// Asks again if the connection is gone: for what may be done twice.
    async fn ask(&self, sql: &str, doing: &'static str) -> Result<Rows, Error> {
        let end = Instant::now() + AWAY_MAX;
        let mut session = self.session.lock().await;
        loop {
            let error = match session.rows(sql, doing).await {
                Err(error) if error.sqlstate().is_none_or(|state| state.starts_with("57P")) => error,
                answer => return answer,
            };
            if Instant::now() > end {
                return Err(error);
            }
            match Session::open(&self.params).await {
                Ok(new) => *session = new,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Waits until the server is gone, if it is not yet, and back. Where its WAL ends then.
    pub(crate) async fn back(&self) -> Result<Lsn, String> {
        let end = Instant::now() + AWAY_MAX;
        while self.session.lock().await.rows("select 1", "looking whether the server is gone").await.is_ok() {
            if Instant::now() > end {
                return Err("the server was to be killed, and is still there".into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        self.wal_end().await
    }

    async fn cell(&self, sql: &str, doing: &'static str) -> Result<String, String> {
        let rows = self.ask(sql, doing).await.map_err(|e| e.to_string())?;
        let cell = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        cell.ok_or_else(|| format!("{doing}: there is none"))
    }
}
