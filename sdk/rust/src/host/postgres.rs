//! Ordinary sessions with a PostgreSQL that the operator granted.

use crate::batch::Part;
use crate::config::Endpoint;
use crate::{Body, Result, backend};

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

/// Runs one statement, in a transaction of its own, with parameters `$1`, `$2`, ….
///
/// # Errors
///
/// `denied`, `unauthenticated`, `unavailable`, `rejected` with the server's SQLSTATE, `too-large` for a result over
/// `bytes_max`; after `timeout` it is unknown whether the statement took effect.
pub async fn query(endpoint: &Endpoint, sql: &str, params: Vec<Param<'_>>, bytes_max: u32) -> Result<Rows> {
    backend::postgres::query(endpoint.name().to_owned(), sql.to_owned(), params, bytes_max).await
}
