//! The process's standard output and error, for connectors: whole bodies, one after the other.
//!
//! A writer of its own for each stream, on a thread that starts with the first body; a body that was taken is
//! written whole, whoever stops waiting for it. A closed pipe is reported to every later caller.

use std::io::{IoSlice, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Bodies that may wait for the stream.
const WAITING_MAX: usize = 16;

type Job = (Vec<Bytes>, oneshot::Sender<std::io::Result<()>>);

/// Both streams.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) stdout: Arc<Stream>,
    pub(crate) stderr: Arc<Stream>,
}

impl Default for Console {
    fn default() -> Console {
        Console {
            stdout: Arc::new(Stream::new("stdout", || Box::new(std::io::stdout().lock()))),
            stderr: Arc::new(Stream::new("stderr", || Box::new(std::io::stderr()))),
        }
    }
}

/// One stream.
pub(crate) struct Stream {
    jobs: std::sync::OnceLock<mpsc::Sender<Job>>,
    name: &'static str,
    open: fn() -> Box<dyn Write>,
}

impl Stream {
    fn new(name: &'static str, open: fn() -> Box<dyn Write>) -> Stream {
        Stream { jobs: std::sync::OnceLock::new(), name, open }
    }

    /// Writes a body; bodies come out in the order of the calls.
    pub(crate) async fn write(&self, chunks: Vec<Bytes>) -> std::io::Result<()> {
        let gone = || std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the writer has ended");
        let (done, finished) = oneshot::channel();
        self.jobs.get_or_init(|| self.start()).send((chunks, done)).await.map_err(|_| gone())?;
        finished.await.map_err(|_| gone())?
    }

    fn start(&self) -> mpsc::Sender<Job> {
        let (jobs, mut receiver) = mpsc::channel::<Job>(WAITING_MAX);
        let open = self.open;
        // Without a thread the receiver is dropped, and every write says that the writer has ended.
        let _ = std::thread::Builder::new().name(self.name.into()).spawn(move || {
            let mut stream = open();
            while let Some((chunks, done)) = receiver.blocking_recv() {
                let written = write_all(&mut *stream, &chunks);
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
