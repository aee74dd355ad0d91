//! Calls into a guest, typed: what each kind of connector exports, as the rest of the host asks for it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Accessor, Instance as WasmInstance, InstancePre, Resource};

use super::WireError;
use super::batches::Handle;
use super::exports::{checkpoint_store, dlq, lifecycle, sink, source, transform};
use crate::batch::Batch;
use crate::component::instance::{Failure, Instance};
use crate::component::state::State;

pub(crate) use super::exports::checkpoint_store::{Entry, Put};
pub(crate) use super::exports::dlq::Letter;
pub(crate) use super::exports::sink::Outcome;

/// The exports that an instance has.
pub(crate) struct Exports {
    lifecycle: lifecycle::Guest,
    source: Option<source::Guest>,
    transform: Option<transform::Guest>,
    sink: Option<sink::Guest>,
    dlq: Option<dlq::Guest>,
    store: Option<checkpoint_store::Guest>,
}

/// One event that failed, and why.
pub(crate) type Failed = (u32, WireError);

/// What became of a batch in a transform.
pub(crate) struct Applied {
    pub(crate) batches: Vec<Arc<Batch>>,
    pub(crate) dropped: Vec<u32>,
    pub(crate) failed: Vec<Failed>,
}

/// A held batch that is held no longer.
pub(crate) struct Settlement {
    pub(crate) sequence: u64,
    pub(crate) outcome: Result<Outcome, WireError>,
}

impl Exports {
    pub(crate) fn load(
        store: &mut Store<State>,
        pre: &InstancePre<State>,
        instance: &WasmInstance,
    ) -> wasmtime::Result<Exports> {
        macro_rules! optional {
            ($kind:ident) => {
                match $kind::GuestIndices::new(pre) {
                    Ok(indices) => Some(indices.load(&mut *store, instance)?),
                    Err(_) => None,
                }
            };
        }
        Ok(Exports {
            lifecycle: lifecycle::GuestIndices::new(pre)?.load(&mut *store, instance)?,
            source: optional!(source),
            transform: optional!(transform),
            sink: optional!(sink),
            dlq: optional!(dlq),
            store: optional!(checkpoint_store),
        })
    }
}

fn exported<'a, G>(guest: &'a Option<G>, kind: &str) -> wasmtime::Result<&'a G> {
    guest.as_ref().ok_or_else(|| wasmtime::Error::msg(format!("the component is no {kind}")))
}

/// Lends a batch to the guest for as long as `call` runs. The handle is freed after the guest's task has ended.
async fn lend<R>(
    accessor: &Accessor<State>,
    batch: Arc<Batch>,
    call: impl AsyncFnOnce(Resource<Handle>) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    let owned = accessor.with(|mut access| access.get().table.push(Handle(batch)))?;
    let result = call(Resource::new_borrow(owned.rep())).await?;
    accessor.with(|mut access| access.get().table.delete(owned))?;
    Ok(result)
}

/// Takes over what the guest returned.
fn take(accessor: &Accessor<State>, handles: Vec<Resource<Handle>>) -> wasmtime::Result<Vec<Arc<Batch>>> {
    accessor.with(|mut access| {
        let state = access.get();
        let mut batches = Vec::with_capacity(handles.len());
        for handle in handles {
            let batch = state.table.delete(handle)?.0;
            state.refund(batch.len_bytes());
            batches.push(batch);
        }
        Ok(batches)
    })
}

/// Calls that every kind has.
impl Instance {
    pub(crate) async fn check(&self, config: String) -> Result<(), Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exports.lifecycle.call_check(accessor, config).await })
        })
        .await
    }

    /// The guest's facts, as JSON.
    pub(crate) async fn open(&self, config: String, context: String) -> Result<String, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exports.lifecycle.call_open(accessor, config, context).await })
        })
        .await
    }

    pub(crate) async fn close(&self) -> Result<(), Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exports.lifecycle.call_close(accessor).await })
        })
        .await
    }
}

/// Calls of a source.
impl Instance {
    /// May wait for as long as nothing changes.
    pub(crate) async fn next(&self) -> Result<Vec<Arc<Batch>>, Failure> {
        self.call_within(None, move |accessor, exports| {
            Box::pin(async move {
                match exported(&exports.source, "source")?.call_next(accessor).await? {
                    Ok(handles) => Ok(Ok(take(accessor, handles)?)),
                    Err(error) => Ok(Err(error)),
                }
            })
        })
        .await
    }

    pub(crate) async fn settled(&self, batches: Vec<u64>) -> Result<(), Failure> {
        self.call(move |accessor, exports| {
            Box::pin(
                async move { exported(&exports.source, "source")?.call_settled(accessor, batches).await },
            )
        })
        .await
    }
}

/// Calls of a transform.
impl Instance {
    pub(crate) async fn apply(&self, batch: Arc<Batch>) -> Result<Applied, Failure> {
        if let Some(linked) = &self.linked {
            return linked.apply(batch).map_err(|reason| Failure::Dead(reason.into()));
        }
        self.call(move |accessor, exports| {
            Box::pin(async move {
                let guest = exported(&exports.transform, "transform")?;
                let applied =
                    lend(accessor, batch, async |batch| guest.call_apply(accessor, batch).await).await?;
                Ok(match applied {
                    Ok(applied) => Ok(Applied {
                        batches: take(accessor, applied.batches)?,
                        dropped: applied.dropped,
                        failed: applied.failures.into_iter().map(|f| (f.index, f.error)).collect(),
                    }),
                    Err(error) => Err(error),
                })
            })
        })
        .await
    }
}

/// Calls of a sink.
impl Instance {
    pub(crate) async fn write(
        &self,
        batch: Arc<Batch>,
        sequence: u64,
        attempt: u32,
    ) -> Result<Outcome, Failure> {
        self.write_within(Some(self.limits.call_max), batch, sequence, attempt).await
    }

    /// For callers with a limit of their own, after which the instance still runs.
    pub(crate) async fn write_patiently(
        &self,
        batch: Arc<Batch>,
        sequence: u64,
        attempt: u32,
    ) -> Result<Outcome, Failure> {
        self.write_within(None, batch, sequence, attempt).await
    }

    async fn write_within(
        &self,
        limit: Option<Duration>,
        batch: Arc<Batch>,
        sequence: u64,
        attempt: u32,
    ) -> Result<Outcome, Failure> {
        if let Some(linked) = &self.linked {
            return linked.write(batch).await.map_err(|reason| Failure::Dead(reason.into()));
        }
        self.call_within(limit, move |accessor, exports| {
            Box::pin(async move {
                let guest = exported(&exports.sink, "sink")?;
                let context = sink::Context { sequence, attempt, more: String::new() };
                lend(accessor, batch, async |batch| guest.call_write(accessor, batch, context).await).await
            })
        })
        .await
    }

    pub(crate) async fn flush(&self, reason: &'static str) -> Result<Vec<Settlement>, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move {
                let guest = exported(&exports.sink, "sink")?;
                let settled = guest.call_flush(accessor, reason.to_string()).await?;
                Ok(settled.map(|all| {
                    all.into_iter().map(|s| Settlement { sequence: s.sequence, outcome: s.outcome }).collect()
                }))
            })
        })
        .await
    }
}

/// Calls of a dead-letter queue.
impl Instance {
    pub(crate) async fn put_letters(&self, letters: Vec<Letter>) -> Result<(), Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exported(&exports.dlq, "dlq")?.call_put(accessor, letters).await })
        })
        .await
    }

    pub(crate) async fn list_letters(&self, filter: String) -> Result<Vec<Letter>, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exported(&exports.dlq, "dlq")?.call_list(accessor, filter).await })
        })
        .await
    }

    pub(crate) async fn get_letter(&self, id: String) -> Result<Option<Letter>, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exported(&exports.dlq, "dlq")?.call_get(accessor, id).await })
        })
        .await
    }

    pub(crate) async fn mark_letters(&self, ids: Vec<String>, state: String) -> Result<u64, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exported(&exports.dlq, "dlq")?.call_mark(accessor, ids, state).await })
        })
        .await
    }

    pub(crate) async fn purge_letters(&self, filter: String) -> Result<u64, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move { exported(&exports.dlq, "dlq")?.call_purge(accessor, filter).await })
        })
        .await
    }
}

/// Calls of a checkpoint store.
impl Instance {
    pub(crate) async fn load(&self, prefix: String) -> Result<Vec<Entry>, Failure> {
        self.call(move |accessor, exports| {
            Box::pin(async move {
                exported(&exports.store, "checkpoint store")?.call_load(accessor, prefix).await
            })
        })
        .await
    }

    pub(crate) async fn store(&self, puts: Vec<Put>) -> Result<(), Failure> {
        self.call(move |accessor, exports| {
            Box::pin(
                async move { exported(&exports.store, "checkpoint store")?.call_store(accessor, puts).await },
            )
        })
        .await
    }
}
