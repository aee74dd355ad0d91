//! Fakes of the host for native builds: everything happens in memory, on this thread, and is there to be
//! looked at through `crate::testing`.

pub(crate) mod batches;
pub(crate) mod console;
pub(crate) mod crypto;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod kv;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod postgres;
pub(crate) mod snapshot;
pub(crate) mod wal;

use crate::Result;
use crate::batch::Part;

/// The bytes that the host would use for a body.
pub(crate) fn bytes_of(body: &[Part<'_>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in body {
        match part {
            Part::Bytes(part) => bytes.extend_from_slice(part),
            Part::Slice(slice) => bytes.extend(batches::encode(slice)?),
        }
    }
    Ok(bytes)
}
