//! How far a slot is behind, asked every ten seconds for as long as its session lives.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::SourceLink;
use crate::wal::Session;

const EVERY: Duration = Duration::from_secs(10);

/// Starts asking. What it finds goes to the source's status.
pub(crate) fn watch(link: Arc<SourceLink>, session: Weak<Session>) {
    tokio::spawn(async move {
        while let Some(session) = session.upgrade() {
            match session.lag().await {
                Ok(lag) => link.status.lag(lag.lag_bytes),
                Err(error) if error.is_transient() => {
                    tracing::debug!(detector = &*link.name, %error, "slot lag is not known");
                }
                Err(error) => {
                    let step = error.next_step().unwrap_or_default();
                    tracing::error!(detector = &*link.name, %error, next_step = step, "slot or publication changed");
                    link.status.failed(&error.to_string(), &step);
                }
            }
            drop(session);
            tokio::time::sleep(EVERY).await;
        }
    });
}
