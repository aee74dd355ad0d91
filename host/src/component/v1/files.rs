//! Interface `files`: granted files, each an actor of the host's.

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::host::batches::Body;
use super::host::files::{Host, HostFile, HostFileWithStore, HostWithStore};
use super::{WireError, body, fine};
use crate::component::grants::FileRefused;
use crate::component::state::State;
use crate::files::{Error, File};

/// What a guest's handle stands for.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenFile(File);

type Here = Accessor<State, HasSelf<State>>;

fn failed(error: Error) -> WireError {
    match error {
        Error::TooLarge { .. } => body::wire("too-large", error),
        Error::Io { .. } | Error::Broken(_) => body::wire("unavailable", error),
    }
}

fn file(accessor: &Here, handle: &Resource<OpenFile>) -> wasmtime::Result<File> {
    accessor.with(|mut access| Ok(access.get().table.get(handle)?.0.clone()))
}

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn open(
        accessor: &Accessor<State, Self>,
        grant: String,
        name: String,
    ) -> wasmtime::Result<Result<Resource<OpenFile>, WireError>> {
        let grants = accessor.with(|mut access| access.get().grants.clone());
        match grants.file(&grant, &name).await {
            Ok(file) => accessor.with(|mut access| Ok(Ok(access.get().table.push(OpenFile(file))?))),
            Err(FileRefused::Denied(why)) => Ok(Err(body::wire("denied", why))),
            Err(FileRefused::Failed(error)) => Ok(Err(body::wire("misconfigured", error))),
        }
    }
}

impl HostFile for State {
    fn drop(&mut self, handle: Resource<OpenFile>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostFileWithStore<State> for HasSelf<State> {
    async fn append(
        accessor: &Here,
        handle: Resource<OpenFile>,
        body: Body,
    ) -> wasmtime::Result<Result<u64, WireError>> {
        let (file, chunks) = accessor.with(|mut access| {
            let state = access.get();
            fine((state.table.get(&handle)?.0.clone(), body::resolve(state, body)?))
        })?;
        Ok(match chunks {
            Ok(chunks) => file.append(chunks).await.map_err(failed),
            Err(error) => Err(error),
        })
    }

    async fn sync(accessor: &Here, handle: Resource<OpenFile>) -> wasmtime::Result<Result<(), WireError>> {
        Ok(file(accessor, &handle)?.sync().await.map_err(failed))
    }

    async fn replace(
        accessor: &Here,
        handle: Resource<OpenFile>,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<(), WireError>> {
        Ok(file(accessor, &handle)?.replace(content).await.map_err(failed))
    }

    async fn read(
        accessor: &Here,
        handle: Resource<OpenFile>,
        bytes_max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, WireError>> {
        Ok(file(accessor, &handle)?.read(bytes_max).await.map_err(failed))
    }

    async fn size(accessor: &Here, handle: Resource<OpenFile>) -> wasmtime::Result<Result<u64, WireError>> {
        Ok(file(accessor, &handle)?.size().await.map_err(failed))
    }

    async fn mend(
        accessor: &Here,
        handle: Resource<OpenFile>,
        separator: u8,
    ) -> wasmtime::Result<Result<u64, WireError>> {
        Ok(file(accessor, &handle)?.mend(separator).await.map_err(failed))
    }

    async fn rotate(
        accessor: &Here,
        handle: Resource<OpenFile>,
        keep: u32,
    ) -> wasmtime::Result<Result<(), WireError>> {
        Ok(file(accessor, &handle)?.rotate(keep).await.map_err(failed))
    }
}
