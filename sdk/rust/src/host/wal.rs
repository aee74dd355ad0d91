//! Logical decoding of a PostgreSQL that the operator granted, decoded by the host.

use crate::config::Endpoint;
use crate::{Batch, Result, backend};

/// One replication connection; an instance has one at a time. Dropping it ends the connection.
#[derive(Debug)]
pub struct Replication(backend::wal::Replication);

impl Replication {
    /// The next batches, at least one. They pass through by handle: the rows stay in the host. Each is to be
    /// returned from `Source::next`, unchanged, once, in this order; what is withheld holds the confirmed position.
    ///
    /// # Errors
    ///
    /// `unavailable` when the connection is gone; a new one is to be opened then.
    pub async fn next(&self) -> Result<Vec<Batch>> {
        self.0.next().await
    }

    /// JSON facts: slot, system identifier, timeline, start position.
    pub fn facts(&self) -> String {
        self.0.facts()
    }
}

/// Opens a connection. `options` is JSON: the keys of the `wal` detector's config but for the endpoint. The host
/// knows what this source has stored, and starts there; it alone confirms.
///
/// # Errors
///
/// `denied`, `unauthenticated`, `unavailable`, `misconfigured`, or `gone` with the way out.
pub async fn open(endpoint: &Endpoint, options: &str) -> Result<Replication> {
    backend::wal::open(endpoint.name().to_owned(), options.to_owned()).await.map(Replication)
}
