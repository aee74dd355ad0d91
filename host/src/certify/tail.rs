//! Reads a file that somebody else appends to and rotates: whole lines, each once, over all rotations.
//!
//! Invariant: a file is left only when another one stands in its place, and then the next newer one is read, which is
//! known by its neighbour and not by its name: names move while we look.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Rotated files that are looked through; as many as certify's manifest keeps.
pub(crate) const KEPT: u32 = 50;

/// Where reading goes on.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    open: Option<(File, u64)>,
    /// Bytes of the open file that were handed out.
    read: u64,
}

impl Tail {
    /// What has come since the last time.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let mut lines = Vec::new();
        if self.open.is_none() {
            self.open = open(path)?;
        }
        while let Some((_, inode)) = self.open {
            self.rest(&mut lines)?;
            // Nobody appends to a file once its name is another's; until then there may be more to come.
            if inode_of(path)?.is_none_or(|now| now == inode) {
                break;
            }
            self.rest(&mut lines)?;
            let Some(next) = newer(path, inode)? else { break };
            (self.open, self.read) = (Some(next), 0);
        }
        Ok(lines)
    }

    fn rest(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        let Some((file, _)) = &mut self.open else { return Ok(()) };
        file.seek(SeekFrom::Start(self.read))?;
        let from = lines.len();
        file.read_to_end(lines)?;
        let new = lines.get(from..).unwrap_or_default();
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        lines.truncate(from + whole);
        self.read += whole as u64;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn inode_of(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The file that was begun after this one. `None`: not there yet, or a rotation is under way; it will be seen later.
fn newer(path: &Path, inode: u64) -> io::Result<Option<(File, u64)>> {
    let name = |number: u32| match number {
        0 => path.to_owned(),
        _ => PathBuf::from(format!("{}.{number}", path.display())),
    };
    for at in 1..=KEPT {
        if inode_of(&name(at))? != Some(inode) {
            continue;
        }
        let mut next = None;
        for number in (0..at).rev() {
            next = open(&name(number))?;
            if next.is_some() {
                break;
            }
        }
        // A rotation moves the oldest first: if ours still stands here, what was opened is its neighbour.
        return Ok(next.filter(|_| inode_of(&name(at)).is_ok_and(|still| still == Some(inode))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_come_once_and_whole_over_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let append = |text: &str| {
            let mut file = File::options().create(true).append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let rename = |from: &str, to: &str| {
            std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
        };
        let mut tail = Tail::default();
        let mut read = || String::from_utf8(tail.read(&path).unwrap()).unwrap();
        assert_eq!(read(), "");
        append("a\nb\nhal");
        assert_eq!(read(), "a\nb\n");
        append("f\n");
        rename("events", "events.1");
        assert_eq!(read(), "half\n");
        append("c\n");
        // Another rotation that was cut off in the middle, and one more after it: the gap is no end.
        rename("events.1", "events.2");
        rename("events", "events.1");
        append("d\n");
        rename("events.2", "events.3");
        rename("events", "events.2");
        rename("events.1", "events.9");
        rename("events.2", "events.1");
        rename("events.9", "events.2");
        append("e\n");
        assert_eq!(read(), "c\nd\ne\n");
        assert_eq!(read(), "");
    }
}
