//! What a source asks for when it opens a database that the host reads for it.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use wasmtime::component::{Accessor, HasSelf};

use super::{WireError, body};
use crate::component::state::State;
use crate::postgres::Params;
use crate::source::SourceLink;

/// The database behind a grant's name, the source's own place in the host, and its options.
pub(super) fn asked<O: DeserializeOwned>(
    accessor: &Accessor<State, HasSelf<State>>,
    endpoint: &str,
    options: &str,
) -> Result<(Arc<Params>, Arc<SourceLink>, O), WireError> {
    let (params, link) = accessor.with(|mut access| {
        let state = access.get();
        (state.grants.postgres(endpoint).cloned(), state.source.clone())
    });
    let (Some(params), Some(link)) = (params, link) else {
        return Err(body::wire("denied", format!("no database `{endpoint}` is granted to a source")));
    };
    let options = serde_json::from_str(options);
    let options = options.map_err(|error| body::wire("misconfigured", format!("options: {error}")))?;
    Ok((params, link, options))
}
