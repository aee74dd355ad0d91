//! What the host knows of one source, shared by its instance's capabilities, its runner and its checkpointer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pgcdc_core::checkpoint::{Checkpoint, Identity, PostgresIdentity};
use pgcdc_core::confirm::HandedOn;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::published::Published;
use pgcdc_core::resume::{Reached, Stored};
use pgcdc_core::snapshot::record::{BadToken, Record};
use pgcdc_core::snapshot::tokens::Tokens;
use tokio::sync::Notify;

use super::pressure;
use crate::ack::Standing;
use crate::admin::status::SourceStatus;
use crate::store::Memory;
use crate::wal::{Progress, Session, SpillPlace};

/// The live WAL session of a source.
#[derive(Clone)]
pub(crate) struct Wal {
    pub(crate) session: u64,
    pub(crate) progress: Arc<Progress>,
    pub(crate) identity: PostgresIdentity,
    /// The slot dies with the session: nothing to resume, nothing to store.
    pub(crate) temporary: bool,
}

/// See the file's head.
pub(crate) struct SourceLink {
    pub(crate) name: Arc<str>,
    pub(crate) status: Arc<SourceStatus>,
    /// What its slot's lag does to it; none unless the operator wants it.
    pub(crate) pressure: pressure::Shared,
    /// Where transactions in progress are kept.
    pub(super) spill: SpillPlace,
    memory: Memory,
    state: Mutex<State>,
    sessions: AtomicU64,
    /// What the publication published at the last look of this process.
    pub(super) published: Mutex<Option<Published>>,
    /// A new session is live, or the last one ended.
    pub(crate) changed: Notify,
    /// A lane has answered for a batch; for those who wait for what is in flight.
    pub(crate) moved: Notify,
}

struct State {
    /// What was stored when the process started, or since.
    stored: Option<Checkpoint>,
    wal: Option<Wal>,
    session: Weak<Session>,
    /// Batches of the live session.
    handed_on: HandedOn,
    /// The highest key that was handed on, in any session.
    reached: OrderKey,
    /// Of strands beside the WAL.
    tokens: Tokens,
    /// Since when the slot is another's.
    refused: Option<Instant>,
    /// What is stored was moved by another process, and the lanes do not know yet.
    moved: bool,
}

impl SourceLink {
    pub(crate) fn new(
        name: Arc<str>,
        status: Arc<SourceStatus>,
        stored: Option<Checkpoint>,
        memory: Memory,
        pressure: pressure::Shared,
        spill: SpillPlace,
    ) -> Arc<SourceLink> {
        let tokens = Tokens::of(stored.as_ref());
        let state = Mutex::new(State {
            stored,
            tokens,
            wal: None,
            session: Weak::new(),
            handed_on: HandedOn::default(),
            reached: OrderKey::EMPTY,
            refused: None,
            moved: false,
        });
        let (sessions, changed, moved) = (AtomicU64::new(0), Notify::new(), Notify::new());
        let published = Mutex::default();
        Arc::new(SourceLink {
            name,
            status,
            pressure,
            spill,
            memory,
            state,
            sessions,
            published,
            changed,
            moved,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a WAL session may go on.
    pub(crate) fn stored_wal(&self) -> Option<Stored> {
        let state = self.lock();
        let wal = state.wal.as_ref().filter(|wal| !wal.temporary);
        // What was storable may be on its way to the disk.
        let reached = wal.map(|wal| Reached {
            timeline: wal.identity.timeline,
            end: state.reached.wal_needed().max(wal.progress.storable()),
        });
        // Before the first checkpoint, a new session is bound to the one before it all the same.
        let Some(checkpoint) = &state.stored else {
            let wal = wal?;
            let resume = wal.progress.status().confirmed;
            return Some(Stored { identity: wal.identity.clone(), resume, had: Lsn::ZERO, reached });
        };
        let Identity::Postgres(identity) = &checkpoint.identity else { return None };
        let strand = checkpoint.strands.get("")?;
        let (resume, had) = (Lsn::from_bytes(&strand.resume)?, strand.highest().wal_needed());
        Some(Stored { identity: identity.clone(), resume, had, reached })
    }

    /// What is stored.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().stored.clone()
    }

    pub(crate) fn set_checkpoint(&self, checkpoint: Checkpoint) {
        self.lock().stored = Some(checkpoint);
    }

    /// Reads what is stored anew. True if another process has moved it.
    pub(super) async fn recall(&self) -> Result<bool, String> {
        let bytes = self.memory.read_anew(&super::key(&self.name)).await.map_err(|e| e.to_string())?;
        let stored = bytes.map(|bytes| Checkpoint::decode(&bytes)).transpose().map_err(|e| e.to_string())?;
        let mut state = self.lock();
        if stored.is_none() || stored == state.stored {
            return Ok(false);
        }
        state.tokens = Tokens::of(stored.as_ref());
        (state.stored, state.moved) = (stored, true);
        Ok(true)
    }

    /// Whether another process has moved what is stored since this was asked last.
    pub(super) fn take_moved(&self) -> bool {
        std::mem::take(&mut self.lock().moved)
    }

    /// The slot is another's; for how long it has been.
    pub(super) fn waits_for_slot(&self) -> Duration {
        self.lock().refused.get_or_insert_with(Instant::now).elapsed()
    }

    /// Whether the slot is another's, as far as is known.
    pub(super) fn waits_its_turn(&self) -> bool {
        self.lock().refused.is_some()
    }

    /// The slot is ours, or not another's any more; how long it was waited for.
    pub(super) fn has_slot(&self) -> Option<Duration> {
        self.lock().refused.take().map(|since| since.elapsed())
    }

    /// A WAL session begins; its number. Positions of earlier ones mean nothing any more.
    pub(crate) fn begin(&self, live: &Arc<Session>) -> u64 {
        let facts = live.facts();
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let (progress, identity) = (live.progress(), facts.identity.clone());
        self.status.session(&progress);
        state.wal = Some(Wal { session, progress, identity, temporary: facts.temporary });
        state.session = Arc::downgrade(live);
        state.handed_on = HandedOn::default();
        drop(state);
        self.changed.notify_one();
        session
    }

    /// A number for a session that is none of the WAL.
    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// What of a snapshot need not be read again.
    pub(crate) fn record(&self) -> Result<Record, BadToken> {
        self.lock().tokens.record()
    }

    /// A strand beside the WAL is there once the bus has settled its first `bus` batches.
    pub(crate) fn strand_handed_on(&self, bus: u64, strand: &str, token: &[u8]) {
        self.lock().tokens.handed_on(bus, strand, token.to_vec());
        // It may be the last thing that happens for a long time.
        self.changed.notify_one();
    }

    /// Adds to a checkpoint what of other strands than the WAL may be stored.
    pub(crate) fn store_strands(&self, checkpoint: &mut Checkpoint, standing: &Standing) {
        let mut state = self.lock();
        state.tokens.settle(standing.frontier);
        state.tokens.store_in(checkpoint, &standing.strands);
    }

    /// Tells the server the last confirmed position and says goodbye.
    pub(crate) async fn farewell(&self) {
        let session = self.lock().session.upgrade();
        if let Some(session) = session {
            session.close().await;
        }
    }

    pub(crate) fn wal(&self) -> Option<Wal> {
        self.lock().wal.clone()
    }

    /// Batch `number` of a session is done for once the bus has settled its first `bus` batches.
    pub(crate) fn handed_on(&self, session: u64, number: u64, bus: u64, reached: OrderKey) {
        let mut state = self.lock();
        state.reached = reached.max(state.reached);
        if state.wal.as_ref().is_some_and(|wal| wal.session == session) {
            state.handed_on.handed_on(number, bus);
        }
    }

    /// How far the live session may be stored, now that the bus has settled its first `frontier` batches.
    pub(crate) fn storable(&self, frontier: u64) -> Option<(Wal, Lsn)> {
        let mut state = self.lock();
        let settled = state.handed_on.settled(frontier);
        let wal = state.wal.clone()?;
        let storable = wal.progress.settled(settled);
        Some((wal, storable))
    }
}
