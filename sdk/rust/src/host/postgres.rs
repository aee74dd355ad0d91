//! Ordinary sessions with a PostgreSQL that the operator granted.

use crate::batch::Part;
use crate::config::Endpoint;
use crate::{Body, Error, Result, backend};

/// How much a query may bring unless said otherwise.
pub const RESULT_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// What `NOTIFY` sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Where.
    pub channel: String,
    /// What.
    pub payload: String,
    /// The backend that sent it.
    pub pid: u32,
}

/// Text in PostgreSQL's own output format; `None` is NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Their names.
    pub columns: Vec<String>,
    /// Their values.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows the statement touched.
    pub affected: u64,
}

/// A value for a statement, in PostgreSQL's own text format.
#[derive(Debug, Clone)]
pub enum Param<'a> {
    /// NULL.
    Null,
    /// A text.
    Text(String),
    /// Bytes that need not pass through the guest.
    Body(Vec<Part<'a>>),
}

impl<'a> From<Body<'a>> for Param<'a> {
    fn from(body: Body<'a>) -> Self {
        Self::Body(body.parts)
    }
}

impl From<String> for Param<'_> {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Param<'_> {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Param<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A session that listens. Dropping it ends the session.
#[derive(Debug)]
pub struct Subscription(backend::postgres::Subscription);

impl Subscription {
    /// One or more notifications.
    ///
    /// # Errors
    ///
    /// `unavailable` once the session is gone.
    pub async fn next(&self) -> Result<Vec<Notification>> {
        self.0.next().await
    }
}

/// Opens a session that listens to these channels, by their exact names.
///
/// # Errors
///
/// `denied`, `unauthenticated`, or `unavailable`.
pub async fn listen(endpoint: &Endpoint, channels: &[String]) -> Result<Subscription> {
    backend::postgres::listen(endpoint.name().to_owned(), channels.to_vec()).await.map(Subscription)
}

/// A table's name as statements have it: `name` or `schema.name`, each part quoted as it is typed.
///
/// # Errors
///
/// `misconfigured` if it is no such name.
pub fn quoted(table: &str) -> Result<String> {
    const NAME_BYTES_MAX: usize = 63;
    let parts: Vec<&str> = table.split('.').collect();
    let fits = |part: &&str| (1..=NAME_BYTES_MAX).contains(&part.len()) && !part.contains('\0');
    if parts.len() > 2 || !parts.iter().all(fits) {
        let message = "a table is named by `name` or `schema.name`, each of 1 to 63 bytes";
        return Err(Error::misconfigured(message));
    }
    let quoted: Vec<String> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    Ok(quoted.join("."))
}

/// Runs one statement, in a transaction of its own, with parameters `$1`, `$2`, …. What it has written is on the
/// server's device when this returns, whatever the role's `synchronous_commit` is.
///
/// Statements of one endpoint run one after the other, in a session that stays open between them.
///
/// # Errors
///
/// `denied`, `unauthenticated`, `unavailable`, `rejected`, `too-large` for a result over `bytes_max`; after
/// `timeout`, or `unavailable` without the context `sqlstate`, it is unknown whether the statement took effect. What the
/// server refused has its SQLSTATE in the context `sqlstate`.
pub async fn query(endpoint: &Endpoint, sql: &str, params: Vec<Param<'_>>, bytes_max: u32) -> Result<Rows> {
    backend::postgres::query(endpoint.name().to_owned(), sql.to_owned(), params, bytes_max).await
}

/// Looks whether a table, named as [`quoted`] has it, is there with these columns: before anything depends on it.
///
/// # Errors
///
/// As [`query`]; `misconfigured` with the way out if the table or a column is missing.
pub async fn require(endpoint: &Endpoint, table: &str, columns: &str) -> Result<()> {
    let looked =
        query(endpoint, &format!("select {columns} from {table} limit 0"), Vec::new(), RESULT_BYTES_MAX)
            .await;
    match looked {
        Err(error) if matches!(error.get("sqlstate"), Some("42P01" | "42703" | "3F000")) => {
            let cause = &error.message;
            Err(Error::misconfigured(format!(
                "the table {table} is not there as it should be ({cause}): start without --skip-migrations, or have \
                 what `pgcdc init --state` prints run by a role that may"
            )))
        }
        looked => looked.map(drop),
    }
}
