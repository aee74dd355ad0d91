//! One transaction's file: blocks, each with its length and checksum, appended and read back in order.
//!
//! ```text
//! length u32 │ crc u32 │ records …        little-endian; a record never spans two blocks
//! ```
//!
//! Invariants. The file is open only while a block is written, so that any number of transactions may have one. It is its
//! owner's alone (0600, in a folder of 0700), and gone with its owner. A failed append leaves no part of a block.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use tokio::task::JoinHandle;

const HEAD_BYTES: usize = 8;

/// A file that belongs to whoever has this.
#[derive(Debug)]
pub(super) struct SpillFile {
    path: PathBuf,
    bytes: u64,
}

/// Why a block could not be read back.
#[derive(Debug, thiserror::Error)]
pub(in crate::wal) enum Failed {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a block has changed since it was written")]
    Changed,
    #[error("records do not add up")]
    Records,
}

/// How much a block of these records takes on the disk.
pub(super) fn written_bytes(records: &[u8]) -> u64 {
    (HEAD_BYTES + records.len()) as u64
}

impl SpillFile {
    /// Nothing is made before the first append.
    pub(super) fn new(path: PathBuf) -> SpillFile {
        SpillFile { path, bytes: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a block; blocking.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let length = u32::try_from(records.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut file = self.open()?;
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(records).to_le_bytes());
        file.seek(SeekFrom::Start(self.bytes))?;
        if let Err(error) = file.write_all(&head).and_then(|()| file.write_all(records)) {
            let _ = file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += written_bytes(records);
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        if self.bytes > 0 {
            return options.open(&self.path);
        }
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        options.create_new(true).open(&self.path)
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // One that stays is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What was kept of one transaction, block by block; the next one is read while the last is worked on.
#[derive(Debug)]
pub(in crate::wal) struct Blocks {
    file: Option<SpillFile>,
    ahead: Option<JoinHandle<Ahead>>,
    tail: Option<Vec<u8>>,
}

/// Where the next block begins, and the records of this one.
type Ahead = Result<(Reading, Vec<u8>), Failed>;

#[derive(Debug)]
struct Reading {
    file: File,
    left: u64,
}

impl Blocks {
    pub(super) fn new(file: Option<SpillFile>, tail: Vec<u8>) -> Blocks {
        let ahead = file.as_ref().map(|file| {
            let (path, left) = (file.path.clone(), file.bytes);
            tokio::task::spawn_blocking(move || read(Reading { file: File::open(path)?, left }))
        });
        Blocks { file, ahead, tail: Some(tail) }
    }

    /// The next whole records; `None` at the end.
    pub(in crate::wal) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let Some(ahead) = self.ahead.take() else { return Ok(self.tail.take()) };
        let (reading, records) = ahead.await.map_err(io::Error::other)??;
        if reading.left > 0 {
            self.ahead = Some(tokio::task::spawn_blocking(move || read(reading)));
        }
        Ok(Some(records))
    }

    pub(super) fn into_file(self) -> Option<SpillFile> {
        self.file
    }
}

/// One block; blocking.
fn read(mut from: Reading) -> Ahead {
    let mut head = [0; HEAD_BYTES];
    from.file.read_exact(&mut head)?;
    let [a, b, c, d, crc @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    from.left = from.left.checked_sub(HEAD_BYTES as u64 + u64::from(length)).ok_or(Failed::Changed)?;
    let mut records = vec![0; length as usize];
    from.file.read_exact(&mut records)?;
    if crc32fast::hash(&records) != u32::from_le_bytes(crc) {
        return Err(Failed::Changed);
    }
    Ok((from, records))
}
