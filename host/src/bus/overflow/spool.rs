//! A lane's batches on the disk, first in, first out, in segments; blocking, and all of its file system.
//!
//! ```text
//! append ─► back segment │ … │ front segment ─► read      a segment that was read to its end is removed
//! ```
//!
//! Invariants. `bytes` is what the files have together, and never more than `bytes_max`. Frames are read in the order in which they were
//! written, each once. A failed append leaves no part of a frame that could be read. Nothing is synced: a crash forgets all of it, and
//! the batches, which nobody has acknowledged, come again from the WAL.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// A segment that has grown to this is closed; larger ones where there would be more than so many files.
const SEGMENT_BYTES: u64 = 16 << 20;
const SEGMENTS_MAX: u64 = 64;
const WRITE_BYTES: usize = 64 << 10;

/// A frame to be written: its head, and the batch's bytes.
pub(super) struct Record {
    pub(super) head: Vec<u8>,
    pub(super) batch: Bytes,
}

impl Record {
    pub(super) fn len(&self) -> u64 {
        (self.head.len() + self.batch.len()) as u64
    }
}

struct Segment {
    path: PathBuf,
    file: File,
    /// What was written, and where the next read begins.
    bytes: u64,
    read: u64,
    /// The lengths of the frames that were not read.
    frames: VecDeque<u32>,
}

/// See the file's head.
pub(super) struct Spool {
    folder: PathBuf,
    /// What the names of its files begin with; nobody else's do.
    stem: String,
    bytes_max: u64,
    segment_bytes: u64,
    segments: VecDeque<Segment>,
    next: u64,
    bytes: u64,
}

impl Spool {
    /// Touches nothing until the first append.
    pub(super) fn new(folder: &Path, stem: String, bytes_max: u64) -> Spool {
        let segment_bytes = SEGMENT_BYTES.max(bytes_max / SEGMENTS_MAX).min(bytes_max / 4).max(1);
        Spool {
            folder: folder.to_path_buf(),
            stem,
            bytes_max,
            segment_bytes,
            segments: VecDeque::new(),
            next: 0,
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of these, from the first on, there is space for.
    pub(super) fn fits(&self, records: impl Iterator<Item = u64>) -> usize {
        let mut left = self.bytes_max - self.bytes;
        records
            .take_while(|bytes| {
                let fits = *bytes <= left;
                left = left.saturating_sub(*bytes);
                fits
            })
            .count()
    }

    /// Appends all of these, or none.
    pub(super) fn append(&mut self, records: &[Record]) -> std::io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.segments.back().is_none_or(|back| back.bytes >= self.segment_bytes) {
            let segment = self.open()?;
            self.segments.push_back(segment);
        }
        let Some(back) = self.segments.back_mut() else { return Ok(()) };
        let written = write(&back.file, back.bytes, records);
        if written.is_err() {
            // If even that fails, what is behind `bytes` is written over by the next append.
            let _ = back.file.set_len(back.bytes);
            if back.bytes == 0 {
                let _ = std::fs::remove_file(&back.path);
                self.segments.pop_back();
            }
            return written;
        }
        for record in records {
            back.frames.push_back(record.len() as u32);
            back.bytes += record.len();
            self.bytes += record.len();
        }
        Ok(())
    }

    fn open(&mut self) -> std::io::Result<Segment> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.folder.join(format!("{}.{}", self.stem, self.next));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        self.next += 1;
        Ok(Segment { path, file, bytes: 0, read: 0, frames: VecDeque::new() })
    }

    /// The next frames that have together at most so many bytes, at least one: how many, and their bytes. None if nothing is left.
    pub(super) fn ahead(&self, bytes_max: u64) -> Option<(usize, u64)> {
        let front = self.segments.front()?;
        let mut total = u64::from(*front.frames.front()?);
        let more = front.frames.iter().skip(1).take_while(|len| {
            let fits = total + u64::from(**len) <= bytes_max;
            total += if fits { u64::from(**len) } else { 0 };
            fits
        });
        Some((1 + more.count(), total))
    }

    /// The next so many frames. An error names the file.
    pub(super) fn read(&mut self, count: usize) -> Result<Vec<Bytes>, String> {
        let Some(front) = self.segments.front_mut() else { return Ok(Vec::new()) };
        let lens: Vec<usize> = front.frames.iter().take(count).map(|len| *len as usize).collect();
        let mut block = vec![0; lens.iter().sum()];
        front
            .file
            .read_exact_at(&mut block, front.read)
            .map_err(|e| format!("{}: at byte {}: {e}", front.path.display(), front.read))?;
        front.read += block.len() as u64;
        front.frames.drain(..lens.len());
        if front.frames.is_empty() {
            self.bytes -= front.bytes;
            // A file that stays is removed at the next start.
            let _ = std::fs::remove_file(&front.path);
            self.segments.pop_front();
        }
        let mut block = Bytes::from(block);
        Ok(lens.into_iter().map(|len| block.split_to(len)).collect())
    }

    /// The file that is read.
    pub(super) fn reading(&self) -> String {
        self.segments
            .front()
            .map_or_else(|| self.folder.display().to_string(), |f| f.path.display().to_string())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        for segment in &self.segments {
            let _ = std::fs::remove_file(&segment.path);
        }
    }
}

fn write(file: &File, at: u64, records: &[Record]) -> std::io::Result<()> {
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    let mut to = BufWriter::with_capacity(WRITE_BYTES, file);
    for record in records {
        to.write_all(&record.head)?;
        to.write_all(&record.batch)?;
    }
    to.flush()
}

/// Removes what an earlier process has left: its batches come again.
pub(crate) fn forget(folder: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: leftovers of an earlier run cannot be removed: {e}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64, len: usize) -> Record {
        Record { head: n.to_le_bytes().to_vec(), batch: vec![n as u8; len].into() }
    }

    fn files(folder: &Path) -> Vec<(u64, u32)> {
        use std::os::unix::fs::MetadataExt;
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|e| e.unwrap().metadata().unwrap()).map(|m| (m.len(), m.mode() & 0o777)).collect()
    }

    fn on_disk(folder: &Path) -> u64 {
        files(folder).iter().map(|(bytes, _)| bytes).sum()
    }

    #[test]
    fn first_in_first_out_and_read_files_are_gone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("overflow");
        let mut spool = Spool::new(&folder, "a".into(), 4_000);
        let (mut put, mut got) = (0_u64, 0_u64);
        for round in 0..200_usize {
            let records: Vec<Record> =
                (0..round % 5).map(|n| record(put + n as u64, (round * 37 + n) % 300)).collect();
            let fits = spool.fits(records.iter().map(Record::len));
            spool.append(&records[..fits]).unwrap();
            put += fits as u64;
            assert_eq!(on_disk(&folder), spool.bytes());
            assert!(spool.bytes() <= 4_000);
            while let Some((count, bytes)) = spool.ahead(500).filter(|_| round % 3 == 0 || round == 199) {
                let frames = spool.read(count).unwrap();
                assert_eq!(frames.iter().map(Bytes::len).sum::<usize>() as u64, bytes);
                assert!(count == 1 || bytes <= 500);
                for frame in frames {
                    assert_eq!(frame[..8], got.to_le_bytes());
                    assert!(frame[8..].iter().all(|byte| *byte == got as u8));
                    got += 1;
                }
            }
        }
        assert!(put > 300 && got == put, "{put} written, {got} read");
        assert_eq!((spool.bytes(), files(&folder)), (0, vec![]));
    }

    #[test]
    fn nobody_else_may_read_its_files_and_they_end_with_it() {
        use std::os::unix::fs::MetadataExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("overflow");
        let mut spool = Spool::new(&folder, "a".into(), 1_000);
        spool.append(&[record(1, 10)]).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(files(&folder), [(18, 0o600)]);
        drop(spool);
        assert_eq!(files(&folder), []);
    }

    #[test]
    fn a_failed_append_loses_nothing_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("overflow");
        let mut spool = Spool::new(&folder, "a".into(), 1_000);
        std::fs::write(&folder, "in the way").unwrap();
        assert!(spool.append(&[record(1, 10)]).is_err());
        assert_eq!((spool.bytes(), spool.ahead(100)), (0, None));
        std::fs::remove_file(&folder).unwrap();
        spool.append(&[record(1, 10)]).unwrap();
        // A full device, as the file itself says it: what was written before stays whole.
        spool.segments[0].file = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        assert_eq!(spool.append(&[record(2, 10)]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        spool.segments[0].file =
            OpenOptions::new().read(true).write(true).open(&spool.segments[0].path).unwrap();
        spool.append(&[record(3, 10)]).unwrap();
        let firsts: Vec<u8> = spool.read(2).unwrap().iter().map(|frame| frame[0]).collect();
        assert_eq!(firsts, [1, 3]);
    }

    #[test]
    fn a_file_that_has_become_shorter_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(home.path(), "a".into(), 1_000);
        spool.append(&[record(1, 10)]).unwrap();
        spool.segments[0].file.set_len(11).unwrap();
        let error = spool.read(1).unwrap_err();
        assert!(error.contains("a.0: at byte 0"), "{error}");
    }

    #[test]
    fn leftovers_are_removed_and_none_is_fine() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("overflow");
        forget(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.0"), "x").unwrap();
        forget(&folder).unwrap();
        assert!(!folder.exists());
    }
}
