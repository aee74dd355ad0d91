//! Files for connectors: one actor a file, so that appends keep their order and overlapping syncs are one.
//!
//! ```text
//! append ─► queue ─► actor ─► write(2)          a sync covers every append before it; appends go on
//! sync   ─► queue ─► actor ─► waiting ─► fdatasync ─► answers     while one is under way
//! ```
//!
//! Invariants. Nothing is acknowledged as synced that was appended after the sync began. After a failed
//! write or sync the file is broken for good: what is on the device is unknown.

mod actor;
mod rotate;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use actor::{Actor, Op};

/// Operations that may wait for a file.
const WAITING_MAX: usize = 64;

/// Why an operation on a file failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path}: {action}: {cause}")]
    Io { path: String, action: &'static str, cause: String },
    #[error("{0}: broken by an earlier failure; what is on the device is unknown")]
    Broken(String),
    #[error("{path}: longer than {bytes_max} bytes")]
    TooLarge { path: String, bytes_max: u32 },
}

impl Error {
    pub(super) fn io(path: &Path, action: &'static str, cause: &std::io::Error) -> Error {
        Error::Io { path: path.display().to_string(), action, cause: cause.to_string() }
    }
}

/// A file that is open; closed when the last handle is dropped and its queue is worked off.
#[derive(Clone)]
pub(crate) struct File {
    queue: mpsc::Sender<Op>,
    path: PathBuf,
}

impl File {
    /// Opens or makes a file for appending.
    pub(crate) async fn open(path: PathBuf) -> Result<File, Error> {
        let opening = path.clone();
        let file = tokio::task::spawn_blocking(move || rotate::open(&opening)).await.map_err(|e| {
            Error::Io { path: path.display().to_string(), action: "open", cause: e.to_string() }
        })??;
        let (queue, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(Actor::new(path.clone(), file).run(receiver));
        Ok(File { queue, path })
    }

    async fn ask<R>(&self, op: impl FnOnce(oneshot::Sender<Result<R, Error>>) -> Op) -> Result<R, Error> {
        let broken = || Error::Broken(self.path.display().to_string());
        let (answer, answered) = oneshot::channel();
        self.queue.send(op(answer)).await.map_err(|_| broken())?;
        answered.await.map_err(|_| broken())?
    }

    /// The position after the bytes.
    pub(crate) async fn append(&self, chunks: Vec<Bytes>) -> Result<u64, Error> {
        self.ask(|answer| Op::Append(chunks, answer)).await
    }

    /// Returns when everything appended before is on the device.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        self.ask(Op::Sync).await
    }

    /// Sets the content.
    pub(crate) async fn replace(&self, content: Vec<u8>) -> Result<(), Error> {
        self.ask(|answer| Op::Replace(content, answer)).await
    }

    /// The whole content.
    pub(crate) async fn read(&self, bytes_max: u32) -> Result<Vec<u8>, Error> {
        self.ask(|answer| Op::Read(bytes_max, answer)).await
    }

    pub(crate) async fn size(&self) -> Result<u64, Error> {
        self.ask(Op::Size).await
    }

    /// Cuts off what follows the last byte of this value; the size after that.
    pub(crate) async fn mend(&self, separator: u8) -> Result<u64, Error> {
        self.ask(|answer| Op::Mend(separator, answer)).await
    }

    /// Shifts the old ones, keeps `keep` of them, and goes on with an empty file.
    pub(crate) async fn rotate(&self, keep: u32) -> Result<(), Error> {
        self.ask(|answer| Op::Rotate(keep, answer)).await
    }
}

#[cfg(test)]
mod tests;
