//! Interface `http`: requests to granted endpoints.

use tokio::task::JoinSet;
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
        let (endpoint, chunks, memory_max) = accessor.with(|mut access| {
            let state = access.get();
            let memory_max = u32::try_from(state.limiter.memory_bytes_max()).unwrap_or(u32::MAX);
            let endpoint = state.grants.http(&request.endpoint).cloned();
            if endpoint.is_none() {
                refused(&state.name, &request.endpoint);
            }
            fine((endpoint, body::resolve(state, request.body)?, memory_max))
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
            // What the guest could not hold is not collected for it.
            response_bytes_max: request.response_bytes_max.min(memory_max),
        };
        // A task of its own, and gone with the instance that asked.
        let mut sending = JoinSet::new();
        sending.spawn(async move { endpoint.send(asked).await });
        let Some(sent) = sending.join_next().await else {
            return Ok(Err(body::wire("unavailable", "the request was not sent")));
        };
        Ok(match sent.map_err(wasmtime::Error::from)? {
            Ok(answered) => Ok(response(&answered)),
            Err(failed) => Err(body::wire(failed.code, failed.message)),
        })
    }
}

/// Says what was refused; with the line to paste, if it is an address that can be pasted as it stands.
fn refused(connector: &str, asked: &str) {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/%?=&".contains(letter);
    if asked.starts_with("http") && asked.contains("://") && asked.chars().all(plain) {
        tracing::warn!(connector, "egress denied: to grant it, add: grants: {{ http: [ \"{asked}\" ] }}");
    } else {
        tracing::warn!(connector, endpoint = asked, "egress denied: no such grant");
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
