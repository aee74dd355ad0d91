//! WebAssembly components: found, checked, compiled, and run in a Store of their own each.
//!
//! Invariants. One task owns one Store; everybody else sends it calls over a bounded mailbox. A trap, a
//! deadline or a limit ends the instance, never more: whoever holds it makes another and sends again what was
//! in flight. The engine that runs has no compiler. Only bytes that this program compiled itself are loaded as native
//! code. What a component imports was requested in its file and granted by the operator, or it does not start.

#[doc(hidden)]
pub mod bench;
pub(crate) mod cache;
pub(crate) mod engine;
pub(crate) mod grants;
pub(crate) mod instance;
mod last_words;
pub(crate) mod limits;
#[doc(hidden)]
pub mod linked;
pub(crate) mod native;
pub(crate) mod registry;
pub(crate) mod services;
pub(crate) mod state;
pub(crate) mod v1;
