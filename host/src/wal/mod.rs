//! PostgreSQL in: logical decoding over the replication protocol, folded into batches.
//!
//! ```text
//!  PostgreSQL                      this room                                        the host
//!  ──────────                      ─────────                                        ────────
//!  WAL ▸ walsender ─► socket ─► input ─► assembler ─► queue ─► Session::next ─► lanes ─► sinks
//!                       stream.rs: one task reads          bounded: bytes, count           │
//!                                                                                          ▼ settled
//!  forgets WAL  ◄── status update ◄── progress.rs ◄── Progress::stored ◄── checkpoint, fsynced
//!                     status.rs: one task writes, by its own clock
//! ```
//!
//! Why each position may be confirmed:
//! - *received* is only told as written: it frees nothing on the server.
//! - *confirmed* comes from [`Progress::stored`] alone. It is a transaction's end LSN, of which every
//!   row, and of every transaction before it, is settled in every lane, and the checkpoint that says so
//!   is on the device. After a crash the slot is therefore never ahead of what was stored.
//! - A keepalive's WAL end stands for such an LSN once nothing before it is open or unsettled. It takes
//!   the same way through the checkpoint, so that an idle publication does not hold back WAL.
//! - When the session ends, everything above what was stored comes again, with the same keys and ids.
//!
//! Reconnecting and waiting are the caller's; an error says whether trying again can help.

mod connection;
pub(crate) mod input;
mod open;
mod options;
pub(crate) mod own;
mod progress;
mod publication;
pub(crate) mod queue;
mod server;
pub(crate) mod side;
mod status;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::assembler::Finished;
use pgcdc_core::checkpoint::PostgresIdentity;
use pgcdc_core::error::Kind;
use pgcdc_core::lsn::Lsn;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::postgres::Error;
use crate::snapshot::{Joined, Joint};
use queue::Queue;
use side::Side;
use status::Signals;

pub use open::open;
pub(crate) use open::open_joined;
pub use options::{Options, Values};
pub use progress::{Progress, Status};
pub use server::Lag;

/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the session starts where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Started {
    /// The slot was created just now.
    Created,
    /// Nothing was stored, and the slot was there: it goes on where the slot stands.
    Adopted,
    /// It goes on at the stored position.
    Resumed,
}

impl Started {
    /// For logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Started::Created => "slot created",
            Started::Resumed => "resumed",
            Started::Adopted => "slot adopted",
        }
    }
}

/// What is true of a session from its start to its end.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whose positions these are; to be stored with them.
    pub identity: PostgresIdentity,
    /// The slot dies with the session, and what is changed until the next one is never seen.
    pub temporary: bool,
    /// The first position.
    pub start: Lsn,
    /// Why there.
    pub started: Started,
    /// From this lag on the log is to warn; bytes.
    pub slot_lag_warn_bytes: u64,
    /// Host and port.
    pub place: String,
    /// The server's major version.
    pub server_version: u32,
    /// What the publication leaves out and the like, for people.
    pub warnings: Vec<String>,
}

impl Facts {
    /// As JSON, for a connector.
    pub fn to_json(&self) -> String {
        let id = &self.identity;
        serde_json::json!({
            "system_identifier": id.system_identifier.to_string(),
            "timeline": id.timeline,
            "database": id.database,
            "slot": id.slot,
            "temporary": self.temporary,
            "publication": id.publication,
            "start_lsn": self.start.to_string(),
            "started": self.started,
            "server": self.place,
            "server_version": self.server_version,
            "warnings": self.warnings,
        })
        .to_string()
    }
}

/// One replication connection. Dropping it ends the connection at once.
#[derive(Debug)]
pub struct Session {
    facts: Facts,
    queue: Arc<Queue<Finished, Error>>,
    progress: Arc<Progress>,
    signals: Arc<Signals>,
    side: Arc<Side>,
    /// The snapshot that stands in the stream, until it is read.
    joint: Option<Mutex<Joint>>,
    /// Reader and writer; aborted when the session is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Session {
    /// The next batches, in order, at least one: whatever has gathered. The error is the connection's
    /// last word; what came before it has been handed out. Safe to drop and call again.
    pub async fn next(&self) -> Result<Vec<Finished>, Error> {
        match self.queue.drain().await {
            Some(result) => result,
            None => Err(Error::unfit(Kind::Unavailable, "ended", "the session has ended", "open a new one")),
        }
    }

    /// The same, with the rows of a snapshot in their place, if there is one.
    pub(crate) async fn joined(&self) -> Result<Vec<Joined>, Error> {
        let Some(joint) = &self.joint else {
            return Ok(self.next().await?.into_iter().map(Joined::Wal).collect());
        };
        match joint.lock().await.next(&self.queue, &self.progress).await {
            Some(result) => result,
            None => Err(Error::unfit(Kind::Unavailable, "ended", "the session has ended", "open a new one")),
        }
    }

    /// How many rows the snapshot in the stream has, as far as the server knows.
    pub(crate) async fn snapshot_estimate(&self) -> Option<u64> {
        self.joint.as_ref()?.lock().await.estimate()
    }

    /// What is true of this session.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its positions. Batches count from 0 in the order in which `next` hands them out.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// How the slot fares, asked over an ordinary session. An error that is not transient means that the
    /// stream can no longer be trusted: the slot or the publication is not what it was.
    pub async fn lag(&self) -> Result<Lag, Error> {
        let id = &self.facts.identity;
        let Some(lag) = self.side.lag(&id.slot, &id.publication).await? else {
            let message = format!("slot {} is gone", id.slot);
            if self.facts.temporary {
                // It went with the connection, which is about to say so itself.
                return Err(Error::unfit(Kind::Unavailable, "ended", message, "open a new session"));
            }
            return Err(Error::unfit(
                Kind::Gone,
                "slot_missing",
                message,
                "copy the tables anew, then run `pgcdc checkpoint reset`",
            ));
        };
        if lag.publication_oid != id.publication_oid {
            let message =
                format!("publication {} was dropped or created anew while it was read", id.publication);
            let step =
                "changes in between may be missing: copy the tables anew, then run `pgcdc checkpoint reset`";
            return Err(Error::unfit(Kind::Gone, "publication_changed", message, step));
        }
        Ok(lag)
    }

    /// Tells the server the last confirmed position, says goodbye, and waits a moment until it is gone.
    pub async fn close(&self) {
        self.signals.close();
        let gone = async {
            let mut tasks = self.tasks.lock().await;
            while tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, gone).await.is_err() {
            tracing::debug!("the server did not close the connection in time");
        }
    }
}
