//! Interface `batches`: handles on batches of the host's, and the making of new ones.

use std::sync::Arc;

use pgcdc_layout::{View, stamp};
use wasmtime::component::Resource;

use super::host::batches::{Body, Host, HostBatch};
use super::{WireError, body};
use crate::batch::Batch;
use crate::component::state::State;

/// What a guest's handle stands for.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Handle(pub(crate) Arc<Batch>);

impl State {
    pub(super) fn batch(&self, handle: &Resource<Handle>) -> wasmtime::Result<Arc<Batch>> {
        Ok(Arc::clone(&self.table.get(handle)?.0))
    }

    /// A handle on a new batch. It counts as what it weighs, and what was refused weighs nothing.
    fn hand_over(
        &mut self,
        made: Result<Batch, crate::batch::Error>,
    ) -> wasmtime::Result<Result<Resource<Handle>, WireError>> {
        match made {
            Ok(batch) => {
                self.charge(batch.len_bytes())?;
                Ok(Ok(self.table.push(Handle(Arc::new(batch)))?))
            }
            Err(error) => Ok(Err(body::wire("invalid", error))),
        }
    }
}

impl HostBatch for State {
    fn count(&mut self, batch: Resource<Handle>) -> wasmtime::Result<u32> {
        Ok(self.batch(&batch)?.events())
    }

    fn rows(
        &mut self,
        batch: Resource<Handle>,
        start: u32,
        n: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, WireError>> {
        let batch = self.batch(&batch)?;
        Ok(batch.rows(start, n).map(|bytes| bytes.to_vec()).map_err(|e| body::wire("invalid", e)))
    }

    fn json_lines(
        &mut self,
        batch: Resource<Handle>,
        start: u32,
        n: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, WireError>> {
        Ok(self
            .batch(&batch)?
            .json_lines(start, n)
            .map(|bytes| bytes.to_vec())
            .map_err(|e| body::wire("too-large", e)))
    }

    fn retain(&mut self, batch: Resource<Handle>) -> wasmtime::Result<Resource<Handle>> {
        let batch = self.batch(&batch)?;
        self.charge(batch.len_bytes())?;
        Ok(self.table.push(Handle(batch))?)
    }

    fn drop(&mut self, batch: Resource<Handle>) -> wasmtime::Result<()> {
        let handle = self.table.delete(batch)?;
        self.refund(handle.0.len_bytes());
        Ok(())
    }
}

impl Host for State {
    fn build(&mut self, mut rows: Vec<u8>) -> wasmtime::Result<Result<Resource<Handle>, WireError>> {
        if self.source.is_some() && View::parse(&rows).is_ok() {
            stamp::draw_ids(&mut rows, || {
                pgcdc_core::id::draw(crate::now_us() / 1_000, crate::random_wide())
            });
        }
        self.hand_over(Batch::from_guest(rows))
    }

    fn select(
        &mut self,
        from: Resource<Handle>,
        indexes: Vec<u32>,
    ) -> wasmtime::Result<Result<Resource<Handle>, WireError>> {
        let from = self.batch(&from)?;
        self.hand_over(from.pick(&indexes))
    }

    fn size(&mut self, what: Body) -> wasmtime::Result<Result<u64, WireError>> {
        Ok(body::resolve(self, what)?.map(|chunks| chunks.iter().map(|chunk| chunk.len() as u64).sum()))
    }
}
