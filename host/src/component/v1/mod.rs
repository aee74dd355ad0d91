//! The only folder that knows `wit/v1`: one file an interface of the host, one a kind of connector.
//!
//! Laws of these files. A handle is resolved to what it stands for before the first await. Whatever has an effect
//! runs in a task of the host's own, so that a guest that stops waiting leaves no torn line and no shared sync
//! behind. A plain `func` never waits. Nothing here trusts a number from a guest.

mod batches;
mod body;
mod console;
mod crypto;
mod files;
mod http;
mod kv;
mod log;
mod metrics;
mod postgres;
mod snapshot;
mod sources;
mod wal;

pub(crate) mod calls;

use wasmtime::component::{HasSelf, Linker};

use super::state::State;

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit/v1",
        inline: "
            package pgcdc:view;

            world everything {
                include pgcdc:connector/imports@1.0.0-draft;
                export pgcdc:connector/lifecycle@1.0.0-draft;
                export pgcdc:connector/source@1.0.0-draft;
                export pgcdc:connector/transform@1.0.0-draft;
                export pgcdc:connector/sink@1.0.0-draft;
                export pgcdc:connector/dlq@1.0.0-draft;
                export pgcdc:connector/checkpoint-store@1.0.0-draft;
            }
        ",
        world: "pgcdc:view/everything",
        imports: { default: trappable },
        with: {
            "pgcdc:host/batches.batch": super::batches::Handle,
            "pgcdc:host/wal.replication": super::wal::Replication,
            "pgcdc:host/snapshot.reading": super::snapshot::Reading,
            "pgcdc:host/postgres.subscription": super::postgres::Subscription,
            "pgcdc:host/files.file": super::files::OpenFile,
        },
    });
}

pub(crate) use generated::exports::pgcdc::connector as exports;
pub(crate) use generated::pgcdc::host;
pub(crate) use host::types::Error as WireError;

/// Links every interface of the host. What a component may use of it was decided before, by its imports.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type D = HasSelf<State>;
    fn it(state: &mut State) -> &mut State {
        state
    }
    host::types::add_to_linker::<State, D>(linker, it)?;
    host::batches::add_to_linker::<State, D>(linker, it)?;
    host::log::add_to_linker::<State, D>(linker, it)?;
    host::metrics::add_to_linker::<State, D>(linker, it)?;
    host::console::add_to_linker::<State, D>(linker, it)?;
    host::http::add_to_linker::<State, D>(linker, it)?;
    host::postgres::add_to_linker::<State, D>(linker, it)?;
    host::wal::add_to_linker::<State, D>(linker, it)?;
    host::snapshot::add_to_linker::<State, D>(linker, it)?;
    host::files::add_to_linker::<State, D>(linker, it)?;
    host::crypto::add_to_linker::<State, D>(linker, it)?;
    host::kv::add_to_linker::<State, D>(linker, it)
}

impl host::types::Host for State {}

/// `Ok`, with the error type that host functions have.
fn fine<T>(value: T) -> wasmtime::Result<T> {
    Ok(value)
}
