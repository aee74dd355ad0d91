//! The host's powers as one struct: what the interfaces of `v1` hand out.

use std::sync::Arc;

use crate::admin::metrics::Metrics;
use crate::console::Console;
use crate::store::Memory;

/// Shared by every instance of a process.
pub(crate) struct Services {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) console: Console,
    /// The checkpoint store, for `kv`; the store itself has none.
    pub(crate) memory: Option<Memory>,
}
