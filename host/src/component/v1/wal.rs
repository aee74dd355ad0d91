//! Interface `wal`: replication sessions for sources, decoded by the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::batches::Handle;
use super::host::wal::{Host, HostReplication, HostReplicationWithStore, HostWithStore};
use super::{WireError, body, fine, sources};
use crate::batch::Batch;
use crate::component::state::State;
use crate::postgres;
use crate::snapshot::Joined;
use crate::source::{Origin, Part, takeover};
use crate::wal::Session;

/// What a guest's handle stands for.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Replication {
    session: Arc<Session>,
    number: u64,
    made: Arc<AtomicU64>,
    made_of_wal: Arc<AtomicU64>,
}

/// A session's error for a guest, with the way out as context.
pub(super) fn refused(error: &postgres::Error) -> WireError {
    let mut wire = body::wire(error.code(), error);
    if let Some(step) = error.next_step() {
        wire.context.push(("next-step".into(), step));
    }
    if let Some(reason) = error.reason() {
        wire.context.push(("reason".into(), reason.into()));
    }
    if let postgres::Error::Unfit { code, .. } = error {
        wire.retry_after_ms = takeover::ask_again_ms(code);
    }
    wire
}

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn open(
        accessor: &Accessor<State, Self>,
        endpoint: String,
        options: String,
    ) -> wasmtime::Result<Result<Resource<Replication>, WireError>> {
        let (params, link, options) = match sources::asked(accessor, &endpoint, &options) {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error)),
        };
        let opening = {
            let link = Arc::clone(&link);
            tokio::spawn(async move { takeover::open(&link, &params, options).await })
        };
        let session = match opening.await.map_err(wasmtime::Error::from)? {
            Ok(session) => Arc::new(session),
            Err(error) => return Ok(Err(refused(&error))),
        };
        let number = link.begin(&session);
        crate::source::watch_lag(Arc::clone(&link), Arc::downgrade(&session));
        if let Some(rows) = session.snapshot_estimate().await {
            accessor.with(|mut access| access.get().services.metrics.snapshot.expected(rows));
        }
        let replication = Replication { session, number, made: Arc::default(), made_of_wal: Arc::default() };
        accessor.with(|mut access| Ok(Ok(access.get().table.push(replication)?)))
    }
}

impl HostReplication for State {
    fn facts(&mut self, replication: Resource<Replication>) -> wasmtime::Result<String> {
        Ok(self.table.get(&replication)?.session.facts().to_json())
    }

    fn drop(&mut self, replication: Resource<Replication>) -> wasmtime::Result<()> {
        self.table.delete(replication)?;
        Ok(())
    }
}

impl HostReplicationWithStore<State> for HasSelf<State> {
    async fn next(
        accessor: &Accessor<State, Self>,
        replication: Resource<Replication>,
    ) -> wasmtime::Result<Result<Vec<Resource<Handle>>, WireError>> {
        let (session, number, made, made_of_wal) = accessor.with(|mut access| {
            let found = access.get().table.get(&replication)?;
            let made = (Arc::clone(&found.made), Arc::clone(&found.made_of_wal));
            fine((Arc::clone(&found.session), found.number, made.0, made.1))
        })?;
        let count = |of: &AtomicU64| of.fetch_add(1, Ordering::Relaxed);
        // Taking finished batches from the session's queue is one step: a guest that stops waiting loses none.
        let finished = match session.joined().await {
            Ok(finished) => finished,
            Err(error) => return Ok(Err(refused(&error))),
        };
        let toast = session.toast_counts();
        accessor.with(|mut access| {
            let state = access.get();
            if let (Some(link), Some(toast)) = (&state.source, toast) {
                state.services.metrics.toast.show(&link.name, toast);
            }
            let mut handles = Vec::with_capacity(finished.len());
            for finished in finished {
                let batch = match finished {
                    Joined::Wal(finished) => {
                        let origin = Origin {
                            session: number,
                            number: count(&made),
                            part: Part::Wal(count(&made_of_wal)),
                            first: finished.first_key,
                            last: finished.last_key,
                            refused: finished.refused,
                        };
                        Batch::from_wal(finished.bytes, origin)
                    }
                    Joined::Snapshot(piece) => {
                        let (bytes, origin) = Origin::of_piece(number, count(&made), piece);
                        Batch::from_wal(bytes, origin)
                    }
                };
                state.charge(batch.len_bytes())?;
                handles.push(state.table.push(Handle(Arc::new(batch)))?);
            }
            Ok(Ok(handles))
        })
    }
}
