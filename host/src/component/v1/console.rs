//! Interface `console`: the process's standard output and error.

use wasmtime::component::{Accessor, HasSelf};

use super::host::batches::Body;
use super::host::console::{Host, HostWithStore};
use super::{WireError, body, fine};

use crate::component::state::State;

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn write(
        accessor: &Accessor<State, Self>,
        stream: String,
        body: Body,
    ) -> wasmtime::Result<Result<(), WireError>> {
        let (resolved, console) = accessor.with(|mut access| {
            let state = access.get();
            fine((body::resolve(state, body)?, state.services.console.clone()))
        })?;
        let chunks = match resolved {
            Ok(chunks) => chunks,
            Err(error) => return Ok(Err(error)),
        };
        let target = match stream.as_str() {
            "stdout" => &console.stdout,
            "stderr" => &console.stderr,
            _ => return Ok(Err(body::wire("invalid", format!("no stream `{stream}`: stdout or stderr")))),
        };
        Ok(target.write(chunks).await.map_err(|e| {
            // A pipe that nobody reads any more will never be read again.
            let code = if e.kind() == std::io::ErrorKind::BrokenPipe { "end" } else { "unavailable" };
            body::wire(code, format!("{stream}: {e}"))
        }))
    }
}
