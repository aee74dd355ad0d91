//! Interface `snapshot`: readings of tables for sources, decoded by the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::batches::Handle;
use super::host::snapshot::{Host, HostReading, HostReadingWithStore, HostWithStore};
use super::{WireError, body, fine, sources};
use crate::batch::Batch;
use crate::component::state::State;
use crate::postgres::Error;
use crate::snapshot::{self, End};
use crate::source::Origin;

/// What a guest's handle stands for.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Reading {
    reading: Arc<snapshot::Reading>,
    number: u64,
    made: Arc<AtomicU64>,
}

/// An error is final, whatever it is: what was read belongs to a moment that is gone.
fn refused(error: &Error) -> WireError {
    let mut wire = super::wal::refused(error);
    wire.retry_after_ms = None;
    if error.is_transient() {
        wire.code = "gone".into();
        wire.context.retain(|(key, _)| key != "next-step");
        let step = "see to it that the server can be reached, and run the snapshot again: it begins anew";
        wire.context.push(("next-step".into(), step.into()));
    }
    wire
}

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn open(
        accessor: &Accessor<State, Self>,
        endpoint: String,
        options: String,
    ) -> wasmtime::Result<Result<Resource<Reading>, WireError>> {
        let (params, link, options) = match sources::asked(accessor, &endpoint, &options) {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error)),
        };
        let opening = tokio::spawn(async move { snapshot::open(&params, options).await });
        let reading = match opening.await.map_err(wasmtime::Error::from)? {
            Ok(reading) => Arc::new(reading),
            Err(error) => return Ok(Err(refused(&error))),
        };
        if let Some(rows) = reading.estimate {
            accessor.with(|mut access| access.get().services.metrics.snapshot.expected(rows));
        }
        let reading = Reading { reading, number: link.next_session(), made: Arc::default() };
        accessor.with(|mut access| Ok(Ok(access.get().table.push(reading)?)))
    }
}

impl HostReading for State {
    fn facts(&mut self, reading: Resource<Reading>) -> wasmtime::Result<String> {
        Ok(self.table.get(&reading)?.reading.facts().to_owned())
    }

    fn drop(&mut self, reading: Resource<Reading>) -> wasmtime::Result<()> {
        self.table.delete(reading)?;
        Ok(())
    }
}

impl HostReadingWithStore<State> for HasSelf<State> {
    async fn next(
        accessor: &Accessor<State, Self>,
        reading: Resource<Reading>,
    ) -> wasmtime::Result<Result<Vec<Resource<Handle>>, WireError>> {
        let (reading, number, made) = accessor.with(|mut access| {
            let found = access.get().table.get(&reading)?;
            fine((Arc::clone(&found.reading), found.number, Arc::clone(&found.made)))
        })?;
        // Taking pieces from the queue is one step: a guest that stops waiting loses none.
        let pieces = match reading.next().await {
            Ok(pieces) => pieces,
            Err(End::Done) => return Ok(Err(body::wire("end", "all rows were read"))),
            Err(End::Failed(error)) => return Ok(Err(refused(&error))),
        };
        accessor.with(|mut access| {
            let state = access.get();
            let mut handles = Vec::with_capacity(pieces.len());
            for piece in pieces {
                let (bytes, origin) = Origin::of_piece(number, made.fetch_add(1, Ordering::Relaxed), piece);
                let batch = Batch::from_wal(bytes, origin);
                state.charge(batch.len_bytes())?;
                handles.push(state.table.push(Handle(Arc::new(batch)))?);
            }
            Ok(Ok(handles))
        })
    }
}
