//! Interface `kv`: a little durable state of a connector's own, in the checkpoint store.

use wasmtime::component::{Accessor, HasSelf};

use super::host::kv::{Host, HostWithStore};
use super::{WireError, body};
use crate::component::state::State;

const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 1024 * 1024;

impl Host for State {}

/// The store's key for a connector's, or what is wrong with it.
fn scoped(
    accessor: &Accessor<State, HasSelf<State>>,
    key: &str,
) -> Result<(crate::store::Memory, String), WireError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(body::wire("invalid", format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
    }
    accessor.with(|mut access| {
        let state = access.get();
        match &state.services.memory {
            Some(memory) => Ok((memory.clone(), format!("kv/{}/{key}", state.name))),
            None => Err(body::wire("unsupported", "kv is not for checkpoint stores")),
        }
    })
}

impl HostWithStore<State> for HasSelf<State> {
    async fn get(
        accessor: &Accessor<State, Self>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, WireError>> {
        Ok(match scoped(accessor, &key) {
            Ok((memory, key)) => memory.get(&key).await.map_err(|e| body::wire("unavailable", e)),
            Err(error) => Err(error),
        })
    }

    async fn set(
        accessor: &Accessor<State, Self>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), WireError>> {
        if value.len() > VALUE_BYTES_MAX {
            return Ok(Err(body::wire("too-large", format!("a value has at most {VALUE_BYTES_MAX} bytes"))));
        }
        Ok(match scoped(accessor, &key) {
            Ok((memory, key)) => {
                memory.set(&key, Some(value)).await.map_err(|e| body::wire("unavailable", e))
            }
            Err(error) => Err(error),
        })
    }

    async fn delete(
        accessor: &Accessor<State, Self>,
        key: String,
    ) -> wasmtime::Result<Result<(), WireError>> {
        Ok(match scoped(accessor, &key) {
            Ok((memory, key)) => memory.set(&key, None).await.map_err(|e| body::wire("unavailable", e)),
            Err(error) => Err(error),
        })
    }
}
