//! What a guest hands over as a body, as the bytes that it stands for; and errors on their way to a guest.

use bytes::Bytes;

use super::WireError;
use super::host::batches::{Body, Part};
use crate::component::state::State;

/// An error for a guest, with one of the well-known codes.
pub(super) fn wire(code: &str, message: impl std::fmt::Display) -> WireError {
    WireError { code: code.into(), message: message.to_string(), context: Vec::new(), retry_after_ms: None }
}

/// The chunks of a body, in order; slices are the host's own bytes, shared.
pub(super) fn resolve(state: &mut State, body: Body) -> wasmtime::Result<Result<Vec<Bytes>, WireError>> {
    let mut chunks = Vec::with_capacity(body.len());
    for part in body {
        match part {
            Part::Bytes(bytes) => chunks.push(Bytes::from(bytes)),
            Part::Slice(slice) => {
                let batch = state.batch(&slice.batch)?;
                match batch.encode(&slice.encoding, slice.start, slice.n) {
                    Ok(encoded) => chunks.extend(encoded),
                    Err(error) => return Ok(Err(wire("unsupported", error))),
                }
            }
        }
    }
    Ok(Ok(chunks))
}
