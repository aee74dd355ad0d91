//! Signs of life that pgcdc writes to the database that it reads, over a session of its own.
//!
//! A database in which nothing happens has no transaction whose end could be confirmed. The server's keepalives stand for one
//! as long as they come; a sign of life is a record of this database's own that goes all the way through decoding, and
//! shows that the way is open.
//!
//! Invariants: a sign that fails is told and never ends the stream; signs are not delivered unless they were asked for.

use std::time::Duration;

use pgcdc_core::assembler::TablePattern;
use postgres_protocol::escape::escape_literal;

use super::options::{By, Options, bad};
use crate::manifest::quantity;
use crate::postgres::{Error, Params, Session};
use pgcdc_core::identifier::quote;

/// What messages of this kind are called.
pub(super) const PREFIX: &str = "pgcdc_heartbeat";
/// The table, unless the operator names another.
const TABLE: &str = "pgcdc_heartbeat";
const EVERY: Duration = Duration::from_secs(30);
const EVERY_MIN: Duration = Duration::from_millis(100);
/// For one sign; the server gives up a little earlier.
const SIGN_MAX: Duration = Duration::from_secs(10);
const SESSION_SQL: &str = "SET statement_timeout = '8s'";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    every: Duration,
    /// None: by message.
    table: Option<Table>,
    /// Nobody asked for it, so a role that may not is no reason to warn.
    implied: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    schema: String,
    name: String,
}

impl Table {
    fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

impl Plan {
    /// The table that is not to be delivered, where there is one.
    pub(super) fn table(&self) -> Option<TablePattern> {
        // What was just quoted can be read.
        self.table.as_ref().and_then(|table| table.quoted().parse().ok())
    }
}

/// Weighs the options; `None`: no signs.
pub(super) fn plan(options: &Options) -> Result<Option<Plan>, Error> {
    let every = match options.heartbeat_interval.as_deref() {
        None => EVERY,
        Some(text) => quantity::duration(text)
            .ok_or_else(|| bad("`heartbeat_interval` must be a duration such as 30s, or 0"))?,
    };
    let named = options.heartbeat_table.as_deref().filter(|name| !name.is_empty());
    let table = match (options.heartbeat, named) {
        (Some(By::Message), Some(_)) => {
            return Err(bad("`heartbeat: message` has no use for `heartbeat_table`: leave one of them out"));
        }
        (Some(By::Message), None) | (None, None) => None,
        (_, name) => Some(table(name.unwrap_or(TABLE))?),
    };
    if options.heartbeat_events && table.is_none() && !options.messages {
        return Err(bad("`heartbeat_events` by message needs `messages: true` with it"));
    }
    if every.is_zero() {
        return Ok(None);
    }
    if every < EVERY_MIN {
        return Err(bad("`heartbeat_interval` must be at least 100ms, or 0"));
    }
    Ok(Some(Plan { every, table, implied: options.heartbeat.is_none() && named.is_none() }))
}

/// `table` or `schema.table`, of plain words.
fn table(text: &str) -> Result<Table, Error> {
    let (schema, name) = text.split_once('.').unwrap_or(("public", text));
    let plain = |word: &str| {
        word.len() <= 63
            && word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if plain(schema) && plain(name) {
        return Ok(Table { schema: schema.into(), name: name.into() });
    }
    Err(bad("`heartbeat_table` must be a table or schema.table, of letters, digits and _"))
}

/// What gives the signs of one source.
#[derive(Debug)]
pub(crate) struct Heart {
    plan: Plan,
    params: Params,
    session: Option<Session>,
    /// The statement, once it is known which one.
    sql: Option<String>,
}

impl Heart {
    pub(super) fn new(plan: Plan, params: Params) -> Heart {
        Heart { plan, params, session: None, sql: None }
    }

    /// Between two signs.
    pub(crate) fn every(&self) -> Duration {
        self.plan.every
    }

    /// Whether this failure means that signs are neither to be had nor missed.
    pub(crate) fn gives_up(&self, error: &Error) -> bool {
        self.plan.implied && error.sqlstate() == Some("42501")
    }

    /// Gives one.
    pub(crate) async fn beat(&mut self) -> Result<(), Error> {
        let beaten = match tokio::time::timeout(SIGN_MAX, self.try_beat()).await {
            Ok(beaten) => beaten,
            Err(_) => Err(Error::Timeout {
                place: self.params.to_string(),
                doing: "writing a heartbeat",
                after_ms: SIGN_MAX.as_millis() as u64,
            }),
        };
        if beaten.is_err() {
            // The table may be made, or the server be another, by the next time.
            (self.session, self.sql) = (None, None);
        }
        beaten
    }

    async fn try_beat(&mut self) -> Result<(), Error> {
        if self.session.as_ref().is_none_or(|session| session.client().is_closed()) {
            let session = Session::open(&self.params).await?;
            session.rows(SESSION_SQL, "setting up the heartbeat's session").await?;
            (self.session, self.sql) = (Some(session), None);
        }
        let Some(session) = &self.session else { return Ok(()) };
        let sql = match &self.sql {
            Some(sql) => sql,
            None => self.sql.insert(match &self.plan.table {
                Some(table) => upsert(session, table).await?,
                None => format!(
                    "SELECT pg_catalog.pg_logical_emit_message(false, '{PREFIX}', pg_catalog.now()::text)"
                ),
            }),
        };
        session.rows(sql, "writing a heartbeat").await.map(drop)
    }
}

/// The statement that updates the table's one row. A table that is not there is made.
async fn upsert(session: &Session, table: &Table) -> Result<String, Error> {
    let quoted = table.quoted();
    // An older pgcdc called the column last_beat.
    let look = format!(
        "SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = pg_catalog.to_regclass({})
         AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ('updated_at', 'last_beat') ORDER BY 1 DESC LIMIT 1",
        escape_literal(&quoted)
    );
    let found = session.rows(&look, "looking at the heartbeat's table").await?;
    let column = match found.into_iter().flatten().flatten().next() {
        Some(column) => column,
        None => {
            let make = format!(
                "CREATE TABLE IF NOT EXISTS {quoted} (id integer PRIMARY KEY DEFAULT 1, updated_at timestamptz NOT NULL DEFAULT now());
                 COMMENT ON TABLE {quoted} IS '{}signs of life.'",
                super::own::MARK
            );
            session.rows(&make, "making the heartbeat's table").await?;
            "updated_at".into()
        }
    };
    let column = quote(&column);
    Ok(format!(
        "INSERT INTO {quoted} (id, {column}) VALUES (1, pg_catalog.now()) ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Plan> {
        plan(&serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn a_message_every_thirty_seconds_unless_a_table_is_named() {
        let usual = of("{}").unwrap();
        assert_eq!((usual.every, usual.table.as_ref(), usual.implied), (EVERY, None, true));
        assert_eq!(of(r#"{"heartbeat_interval":"0"}"#), None);
        let asked = of(r#"{"heartbeat":"message","heartbeat_interval":"1s"}"#).unwrap();
        assert_eq!((asked.every, asked.table.as_ref(), asked.implied), (Duration::from_secs(1), None, false));
        let by_table = |json| of(json).and_then(|plan| plan.table).map(|table| table.quoted());
        assert_eq!(by_table(r#"{"heartbeat":"table"}"#).as_deref(), Some("\"public\".\"pgcdc_heartbeat\""));
        assert_eq!(by_table(r#"{"heartbeat_table":"ops.Beat"}"#).as_deref(), Some("\"ops\".\"Beat\""));
    }

    #[test]
    fn the_table_is_known_by_its_pattern() {
        let pattern = of(r#"{"heartbeat_table":"ops.Beat"}"#).and_then(|plan| plan.table()).unwrap();
        assert!(pattern.matches("ops", "Beat") && !pattern.matches("ops", "beat"));
    }
}
