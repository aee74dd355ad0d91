//! What every session with a PostgreSQL shares: where it is, TLS, authentication, typed errors.
//!
//! ```text
//! conninfo ─► params ─► connect ─┬─► session  (ordinary: tokio-postgres over our transport)
//!  (text)     (meaning)   │      └─► wal room (replication: our own protocol)
//!                         └ transport ▸ tls ▸ startup ▸ auth, per host and per TLS attempt
//! ```
//!
//! Invariants:
//! - One implementation of TLS and authentication serves both kinds of session.
//! - No error, `Debug` or `Display` of this room shows a password.
//! - A password in clear text leaves only over TLS, loopback or a Unix socket.
//! - `sslmode` never gets weaker than what was asked for.

pub mod certificate;
pub mod conninfo;
pub mod error;
pub(crate) mod listen;
pub mod params;
pub(crate) mod query;
pub mod session;
pub mod tls;

mod auth;
mod connect;
mod draft;
mod pace;
mod socket;
mod startup;
mod transport;
mod wire;

pub use connect::{Kind, connect};
pub use error::{Error, ServerError};
pub use params::Params;
pub use session::Session;
pub(crate) use session::{Rows, data_row};
pub use startup::Established;
pub use transport::{ReadHalf, Transport, WriteHalf};
pub use wire::{Frame, Wire};
