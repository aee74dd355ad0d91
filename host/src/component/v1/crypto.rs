//! Interface `crypto`: keyed functions over secrets that stay here.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::component::{Accessor, HasSelf};

use super::host::batches::Body;
use super::host::crypto::{Host, HostWithStore};
use super::{WireError, body};
use crate::component::state::State;

type HmacSha256 = Hmac<Sha256>;

fn keyed(state: &State, algorithm: &str, secret: &str) -> Result<HmacSha256, WireError> {
    if algorithm != "sha256" {
        return Err(body::wire("unsupported", format!("no algorithm `{algorithm}`: sha256")));
    }
    let key = state
        .grants
        .secret(secret)
        .ok_or_else(|| body::wire("denied", format!("no secret `{secret}` in this connector's config")))?;
    HmacSha256::new_from_slice(key.expose().as_bytes()).map_err(|e| body::wire("misconfigured", e))
}

impl Host for State {
    fn hmac(
        &mut self,
        algorithm: String,
        secret: String,
        items: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<Vec<Vec<u8>>, WireError>> {
        Ok(keyed(self, &algorithm, &secret).map(|keyed| {
            let digest = |item: &Vec<u8>| keyed.clone().chain_update(item).finalize().into_bytes().to_vec();
            items.iter().map(digest).collect()
        }))
    }
}

impl HostWithStore<State> for HasSelf<State> {
    async fn hmac_body(
        accessor: &Accessor<State, Self>,
        algorithm: String,
        secret: String,
        body: Body,
    ) -> wasmtime::Result<Result<Vec<u8>, WireError>> {
        accessor.with(|mut access| {
            let state = access.get();
            let chunks = match body::resolve(state, body)? {
                Ok(chunks) => chunks,
                Err(error) => return Ok(Err(error)),
            };
            Ok(keyed(state, &algorithm, &secret).map(|mut keyed| {
                chunks.iter().for_each(|chunk| keyed.update(chunk));
                keyed.finalize().into_bytes().to_vec()
            }))
        })
    }
}
