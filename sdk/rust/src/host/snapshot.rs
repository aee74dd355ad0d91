//! Rows of tables as they are at one moment, read and decoded by the host.

use crate::config::Endpoint;
use crate::{Batch, Result, backend};

/// One reading. Dropping it ends the connection, and with it what it sees.
#[derive(Debug)]
pub struct Reading(backend::snapshot::Reading);

impl Reading {
    /// The next batches, at least one. They pass through by handle: the rows stay in the host. Each is to be
    /// returned from `Source::next`, unchanged, once, in this order.
    ///
    /// # Errors
    ///
    /// `end` when there are no more rows.
    pub async fn next(&self) -> Result<Vec<Batch>> {
        self.0.next().await
    }

    /// JSON facts: server, tables, position.
    pub fn facts(&self) -> String {
        self.0.facts()
    }
}

/// Begins to read. `options` is JSON: the keys of the `snapshot` detector's config but for the endpoint.
///
/// # Errors
///
/// `denied`, `unauthenticated`, `misconfigured`, or `gone` with the way out.
pub async fn open(endpoint: &Endpoint, options: &str) -> Result<Reading> {
    backend::snapshot::open(endpoint.name().to_owned(), options.to_owned()).await.map(Reading)
}
