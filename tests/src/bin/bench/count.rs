//! The reader at the other end of the pipe: counts lines, keeps nothing.
//!
//! Invariant: the same code reads from every contender.

use std::io::Read;
use std::time::Instant;

/// What came through a pipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
}

/// Reads up to the end, or to the line `lines_max`.
pub(crate) fn count(mut pipe: impl Read, lines_max: u64) -> Counted {
    let mut buffer = vec![0; 256 * 1024];
    let mut counted = Counted::default();
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        let now = Instant::now();
        counted.first.get_or_insert(now);
        counted.last = Some(now);
        let read = &buffer[..length];
        counted.bytes += u64::try_from(length).unwrap_or(0);
        counted.lines += u64::try_from(read.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
        if counted.lines >= lines_max {
            break;
        }
    }
    counted
}
