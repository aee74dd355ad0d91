//! Interface `http`: requests to granted endpoints.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf};

use super::host::http::{Host, HostWithStore, Request, Response};
use super::{WireError, body, fine};
use crate::component::state::State;
use crate::egress::endpoint::{Answered, Asked};

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn send(
        accessor: &Accessor<State, Self>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, WireError>> {
        let (endpoint, chunks) = accessor.with(|mut access| {
            let state = access.get();
            let endpoint = state.grants.http(&request.endpoint).cloned();
            if endpoint.is_none() {
                tracing::warn!(
                    connector = &*state.name,
                    endpoint = request.endpoint,
                    "egress denied: no such grant"
                );
            }
            fine((endpoint, body::resolve(state, request.body)?))
        })?;
        let Some(endpoint) = endpoint else {
            return Ok(Err(body::wire("denied", format!("no endpoint `{}` is granted", request.endpoint))));
        };
        let chunks = match chunks {
            Ok(chunks) => chunks,
            Err(error) => return Ok(Err(error)),
        };
        let asked = Asked {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: chunks,
            timeout_ms: request.timeout_ms,
            response_bytes_max: request.response_bytes_max,
        };
        let sending = tokio::spawn(async move { Arc::clone(&endpoint).send(asked).await });
        Ok(match sending.await.map_err(wasmtime::Error::from)? {
            Ok(answered) => Ok(response(&answered)),
            Err(failed) => Err(body::wire(failed.code, failed.message)),
        })
    }
}

fn response(answered: &Answered) -> Response {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Response {
        status: answered.status.as_u16(),
        headers: answered.headers.iter().map(header).collect(),
        body: answered.body.to_vec(),
    }
}
