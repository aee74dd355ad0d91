//! What the host does for a connector. Using one of these modules is asking for that capability: it shows in
//! the component's imports, `pgcdc describe` prints it, and the operator grants what it reaches.

pub mod console;
pub mod crypto;
pub mod files;
pub mod http;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod postgres;
pub mod snapshot;
pub mod wal;
