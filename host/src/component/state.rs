//! What one Store carries: a guest's identity, what it may use, and what it has used.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::grants::Grants;
use super::last_words::LastWords;
use super::limits::{Limiter, LogRate};
use super::services::Services;
use crate::source::SourceLink;

/// Handles that a guest may hold at once.
const HANDLES_MAX: usize = 100_000;

/// The data of one Store.
pub(crate) struct State {
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    /// The operator's name for this connector.
    pub(super) name: Arc<str>,
    pub(super) grants: Arc<Grants>,
    pub(super) services: Arc<Services>,
    pub(super) limiter: Limiter,
    pub(super) log_rate: LogRate,
    /// Sessions for queries, open between them.
    pub(super) sessions: crate::postgres::query::Sessions,
    /// For sources: what the host knows of this one.
    pub(super) source: Option<Arc<SourceLink>>,
    /// What it printed last, for the report of its end.
    pub(super) last_words: LastWords,
    /// Bytes of batches that only this guest's handles keep.
    held_bytes: usize,
}

impl State {
    pub(super) fn new(
        name: Arc<str>,
        grants: Arc<Grants>,
        services: Arc<Services>,
        limiter: Limiter,
        log_rate: LogRate,
        source: Option<Arc<SourceLink>>,
    ) -> State {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        // Inert: no folder, no environment, no arguments, no network; of what a guest prints its last words are kept.
        let last_words = LastWords::default();
        let wasi = WasiCtx::builder().stderr(last_words.clone()).build();
        let sessions = Default::default();
        State {
            table,
            wasi,
            name,
            grants,
            services,
            limiter,
            log_rate,
            sessions,
            source,
            last_words,
            held_bytes: 0,
        }
    }

    /// Counts bytes that a guest makes the host keep; past the guest's memory limit it traps.
    pub(super) fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        let max = self.limiter.memory_bytes_max();
        if self.held_bytes > max {
            self.limiter.deny(format!("batches held by handles: {} bytes of {max}", self.held_bytes));
            return Err(wasmtime::Error::msg("limit of held batches exceeded"));
        }
        Ok(())
    }

    /// Gives back what [`State::charge`] counted.
    pub(super) fn refund(&mut self, bytes: usize) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
