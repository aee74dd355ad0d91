//! The process's standard output and error, for connectors: whole bodies, one after the other.
//!
//! A writer of its own for each stream, on a thread that starts with the first body that needs it; a body that was taken is
//! written whole, whoever stops waiting for it. A closed pipe is reported to every later caller.
//!
//! A small body, when nothing is before it, is written at once if the kernel takes it without waiting: a lone event
//! then costs no other thread. What the kernel does not take goes to the writer, so bodies keep their order.

use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use tokio::sync::{mpsc, oneshot};

/// Bodies that may wait for the stream.
const WAITING_MAX: usize = 16;
/// Larger bodies are the writer's: copying them would keep a worker from others.
const AT_ONCE_BYTES_MAX: usize = 16 * 1024;

type Job = (Vec<Bytes>, oneshot::Sender<std::io::Result<()>>, Place);

/// A place in the writer's queue, from before it is entered until its body is written or given up.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Place {
        waiting.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(waiting))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Both streams.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) stdout: Arc<Stream>,
    pub(crate) stderr: Arc<Stream>,
}

impl Default for Console {
    fn default() -> Console {
        Console {
            stdout: Arc::new(Stream::new("stdout", || Box::new(std::io::stdout().lock()), now::stdout)),
            stderr: Arc::new(Stream::new("stderr", || Box::new(std::io::stderr()), now::stderr)),
        }
    }
}

/// One stream.
pub(crate) struct Stream {
    jobs: std::sync::OnceLock<mpsc::Sender<Job>>,
    name: &'static str,
    open: fn() -> Box<dyn Write>,
    /// Writes what can be written without waiting.
    now: fn(&[IoSlice<'_>]) -> std::io::Result<usize>,
    /// Whose turn it is to write at once, or to join the queue.
    turn: Mutex<()>,
    /// Bodies that the writer has, or is about to get.
    waiting: Arc<AtomicUsize>,
    /// The stream can say that it would have to wait.
    can_say: AtomicBool,
}

impl Stream {
    fn new(
        name: &'static str,
        open: fn() -> Box<dyn Write>,
        now: fn(&[IoSlice<'_>]) -> std::io::Result<usize>,
    ) -> Stream {
        let (jobs, turn, waiting) = Default::default();
        Stream { jobs, name, open, now, turn, waiting, can_say: AtomicBool::new(true) }
    }

    /// Writes a body; bodies come out in the order of the calls.
    pub(crate) async fn write(&self, mut chunks: Vec<Bytes>) -> std::io::Result<()> {
        let gone = || std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the writer has ended");
        let (done, finished) = oneshot::channel();
        let place = {
            let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if self.at_once(&mut chunks)? {
                return Ok(());
            }
            Place::take(&self.waiting)
        };
        self.jobs.get_or_init(|| self.start()).send((chunks, done, place)).await.map_err(|_| gone())?;
        finished.await.map_err(|_| gone())?
    }

    /// True: all of it is written. Else what is left is in `chunks`.
    fn at_once(&self, chunks: &mut Vec<Bytes>) -> std::io::Result<bool> {
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        let free = self.waiting.load(Ordering::Acquire) == 0 && self.can_say.load(Ordering::Relaxed);
        if bytes > AT_ONCE_BYTES_MAX || !free {
            return Ok(false);
        }
        let slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let written = match (self.now)(&slices) {
            Ok(written) => written,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) =>
            {
                0
            }
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Err(error),
            Err(_) => {
                self.can_say.store(false, Ordering::Relaxed);
                0
            }
        };
        skip(chunks, written);
        Ok(chunks.is_empty())
    }

    fn start(&self) -> mpsc::Sender<Job> {
        let (jobs, mut receiver) = mpsc::channel::<Job>(WAITING_MAX);
        let open = self.open;
        // Without a thread the receiver is dropped, and every write says that the writer has ended.
        let _ = std::thread::Builder::new().name(self.name.into()).spawn(move || {
            let mut stream = open();
            while let Some((chunks, done, place)) = receiver.blocking_recv() {
                let written = write_all(&mut *stream, &chunks);
                drop(place);
                let _ = done.send(written);
            }
        });
        jobs
    }
}

fn write_all(stream: &mut dyn Write, chunks: &[Bytes]) -> std::io::Result<()> {
    if let [chunk] = chunks {
        stream.write_all(chunk)?;
    } else {
        let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            let written = stream.write_vectored(left)?;
            if written == 0 && left.iter().any(|slice| !slice.is_empty()) {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
            while left.first().is_some_and(|slice| slice.is_empty()) {
                left = &mut left[1..];
            }
        }
    }
    stream.flush()
}

/// Takes away what was written, and empty chunks.
fn skip(chunks: &mut Vec<Bytes>, mut written: usize) {
    chunks.retain_mut(|chunk| {
        let taken = written.min(chunk.len());
        chunk.advance(taken);
        written -= taken;
        !chunk.is_empty()
    });
}

/// Writing without waiting, where the system has a word for it.
#[cfg(target_os = "linux")]
mod now {
    use std::io::{IoSlice, Result};

    use rustix::io::{ReadWriteFlags, pwritev2};

    /// Where the stream is.
    const HERE: u64 = u64::MAX;

    pub(super) fn stdout(slices: &[IoSlice<'_>]) -> Result<usize> {
        Ok(pwritev2(std::io::stdout(), slices, HERE, ReadWriteFlags::NOWAIT)?)
    }

    pub(super) fn stderr(slices: &[IoSlice<'_>]) -> Result<usize> {
        Ok(pwritev2(std::io::stderr(), slices, HERE, ReadWriteFlags::NOWAIT)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod now {
    use std::io::{ErrorKind, IoSlice, Result};

    pub(super) fn stdout(_: &[IoSlice<'_>]) -> Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    pub(super) use stdout as stderr;
}
