//! PostgreSQL in: logical decoding over the replication protocol, folded into batches.
//!
//! ```text
//!  PostgreSQL                      this room                                        the host
//!  ──────────                      ─────────                                        ────────
//!  WAL ▸ walsender ─► socket ─► input ─► assembler ─► queue ─► Session::next ─► lanes ─► sinks
//!                       stream.rs: one task reads          bounded: bytes, count           │
//!                         ▲    │ pieces of transactions in progress                         ▼ settled
//!                 replay ─┘    └─► spill: memory, then disk, until the commit
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
//! - A transaction in progress that was received in pieces holds none of this back: it ends behind every position that is
//!   offered, and the server sends it again from its start as long as its end is not confirmed (decision 0012).
//! - When the session ends, everything above what was stored comes again, with the same keys and ids.
//!
//! Reconnecting and waiting are the caller's; an error says whether trying again can help.

mod connection;
pub mod health;
pub mod health_facts;
pub(crate) mod heartbeat;
pub(crate) mod input;
mod open;
mod options;
pub(crate) mod own;
mod progress;
mod publication;
pub(crate) mod queue;
mod server;
pub(crate) mod side;
mod spill;
mod status;
mod stream;
mod toast;

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::assembler::{Finished, ToastCounts};
use pgcdc_core::checkpoint::PostgresIdentity;
use pgcdc_core::error::Kind;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::published::{self, Change, Published};
use pgcdc_core::resume::HaltCode;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use crate::postgres::Error;
use crate::snapshot::{Joined, Joint};
use heartbeat::Heart;
use queue::Queue;
use side::Side;
use status::Signals;

pub use open::open;
pub(crate) use open::open_joined;
pub use options::{Options, Streaming, Values};
pub use progress::{Progress, Status};
pub use publication::Publication;
pub use server::Lag;
pub use spill::{News, SpillPlace, forget as forget_spill};

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

/// What cannot be made good by trying again.
fn gone(code: HaltCode, message: String) -> Error {
    Error::unfit(Kind::Gone, code.as_str(), message, code.way_out())
}

/// One replication connection. Dropping it ends the connection at once.
#[derive(Debug)]
pub struct Session {
    facts: Facts,
    queue: Arc<Queue<Finished, Error>>,
    progress: Arc<Progress>,
    signals: Arc<Signals>,
    side: Arc<Side>,
    toast: Arc<toast::ToastNews>,
    published: Published,
    heartbeat: Option<heartbeat::Plan>,
    reader: AbortHandle,
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

    /// What the memory of unsent values did since the last call, and what it holds; none if there is none.
    pub fn toast_counts(&self) -> Option<ToastCounts> {
        self.toast.take()
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
            return Err(gone(HaltCode::SlotMissing, message));
        };
        if let Some(why) = &lag.invalidation_reason {
            return Err(gone(
                HaltCode::SlotInvalidated,
                format!("the server has invalidated slot {}: {why}", id.slot),
            ));
        }
        self.check_publication(lag.publication_oid)?;
        Ok(lag)
    }

    fn check_publication(&self, oid: u32) -> Result<(), Error> {
        let id = &self.facts.identity;
        if oid == id.publication_oid {
            return Ok(());
        }
        let message = format!("publication {} was dropped or created anew while it was read", id.publication);
        Err(gone(HaltCode::PublicationGap, message))
    }

    /// What the publication published when this session began.
    pub fn published_at_start(&self) -> &Published {
        &self.published
    }

    /// What has changed in the publication since `before`, and what it is now. The error is that rows are missing, or that
    /// it could not be asked.
    pub async fn published(&self, before: &Published) -> Result<(Change, Published), Error> {
        let id = &self.facts.identity;
        let found = self.side.published(&id.publication, before).await?;
        self.check_publication(found.as_ref().map_or(0, |(oid, ..)| *oid))?;
        let (now, standing) = found.map(|(_, now, standing)| (now, standing)).unwrap_or_default();
        let change = published::compare(before, &now, &standing);
        if change.gaps.is_empty() {
            return Ok((change, now));
        }
        let message = format!(
            "publication {} has lost something while it was read: {}",
            id.publication,
            change.gaps.join("; ")
        );
        let step = "publish it again and copy the table anew; or, if that was meant, start again, and it goes on without";
        Err(Error::unfit(Kind::Gone, HaltCode::PublicationGap.as_str(), message, step))
    }

    /// What gives signs of life to the database, if that was asked for.
    pub(crate) fn heart(&self) -> Option<Heart> {
        self.heartbeat.clone().map(|plan| Heart::new(plan, self.side.params.clone()))
    }

    /// Ends the stream with this error: nothing more is read, and what was not handed out yet comes before it.
    pub fn fail(&self, error: Error) {
        self.reader.abort();
        self.queue.end(error);
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
