//! The actor of one file: takes operations in order; one sync at a time, shared by all that wait for one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Error, rotate};

type Answer<R> = oneshot::Sender<Result<R, Error>>;

/// What can be asked of a file.
pub(super) enum Op {
    Append(Vec<Bytes>, Answer<u64>),
    Sync(Answer<()>),
    Replace(Vec<u8>, Answer<()>),
    Read(u32, Answer<Vec<u8>>),
    Size(Answer<u64>),
    Mend(u8, Answer<u64>),
    Rotate(u32, Answer<()>),
}

type Syncing = JoinHandle<(std::io::Result<()>, Vec<Answer<()>>)>;

pub(super) struct Actor {
    path: PathBuf,
    file: Arc<File>,
    /// Who waits for a sync that has not begun.
    waiting: Vec<Answer<()>>,
    syncing: Option<Syncing>,
    broken: bool,
}

impl Actor {
    pub(super) fn new(path: PathBuf, file: File) -> Actor {
        Actor { path, file: Arc::new(file), waiting: Vec::new(), syncing: None, broken: false }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Op>) {
        loop {
            match &mut self.syncing {
                None if !self.waiting.is_empty() => {
                    // Whoever asks for a sync right now shares this one.
                    while let Ok(op) = queue.try_recv() {
                        self.take(op).await;
                    }
                    self.begin_sync();
                }
                None => match queue.recv().await {
                    Some(op) => self.take(op).await,
                    None => return,
                },
                Some(syncing) => tokio::select! {
                    done = syncing => self.end_sync(done.ok()),
                    Some(op) = queue.recv() => self.take(op).await,
                },
            }
        }
    }

    fn begin_sync(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (file, waiting) = (Arc::clone(&self.file), std::mem::take(&mut self.waiting));
        self.syncing = Some(tokio::task::spawn_blocking(move || (sync(&file), waiting)));
    }

    fn end_sync(&mut self, done: Option<(std::io::Result<()>, Vec<Answer<()>>)>) {
        self.syncing = None;
        let Some((result, waiting)) = done else {
            self.broken = true;
            return;
        };
        let result = result.map_err(|e| self.fail("sync", &e));
        for answer in waiting {
            let _ = answer.send(result.clone());
        }
    }

    /// Ends a sync that is under way, for operations that change the file itself.
    async fn settle(&mut self) {
        while self.syncing.is_some() || !self.waiting.is_empty() {
            if let Some(syncing) = &mut self.syncing {
                let done = syncing.await.ok();
                self.end_sync(done);
            }
            self.begin_sync();
        }
    }

    fn fail(&mut self, action: &'static str, cause: &std::io::Error) -> Error {
        self.broken = true;
        Error::io(&self.path, action, cause)
    }

    async fn take(&mut self, op: Op) {
        match op {
            Op::Sync(answer) if self.broken => drop(answer.send(Err(self.broken_error()))),
            Op::Sync(answer) => self.waiting.push(answer),
            Op::Append(chunks, answer) => {
                let result = self.write(move |file| append(file, &chunks)).await;
                let _ = answer.send(result);
            }
            Op::Replace(content, answer) => {
                self.settle().await;
                let result = self.write(move |file| replace(file, &content)).await;
                let _ = answer.send(result);
            }
            Op::Read(bytes_max, answer) => {
                let (file, path) = (Arc::clone(&self.file), self.path.clone());
                let read = tokio::task::spawn_blocking(move || read(&file, &path, bytes_max)).await;
                let _ = answer.send(read.unwrap_or_else(|_| Err(self.broken_error())));
            }
            Op::Size(answer) => {
                let size = self.file.metadata().map(|metadata| metadata.len());
                let _ = answer.send(size.map_err(|e| Error::io(&self.path, "look at", &e)));
            }
            Op::Mend(separator, answer) => {
                self.settle().await;
                let result = self.write(move |file| mend(file, separator)).await;
                let _ = answer.send(result);
            }
            Op::Rotate(keep, answer) => {
                let rotated = self.rotate(keep).await;
                let _ = answer.send(rotated);
            }
        }
    }

    fn broken_error(&self) -> Error {
        Error::Broken(self.path.display().to_string())
    }

    async fn write<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Arc<File>) -> std::io::Result<R> + Send + 'static,
    ) -> Result<R, Error> {
        if self.broken {
            return Err(self.broken_error());
        }
        let file = Arc::clone(&self.file);
        let written = tokio::task::spawn_blocking(move || work(&file)).await;
        written.map_err(std::io::Error::other).and_then(|result| result).map_err(|e| self.fail("write", &e))
    }

    async fn rotate(&mut self, keep: u32) -> Result<(), Error> {
        if self.broken {
            return Err(self.broken_error());
        }
        let (answer, mut synced) = oneshot::channel();
        self.waiting.push(answer);
        self.settle().await;
        synced.try_recv().unwrap_or_else(|_| Err(self.broken_error()))?;
        let path = self.path.clone();
        let rotated = tokio::task::spawn_blocking(move || rotate::rotate(&path, keep)).await;
        self.file = Arc::new(
            rotated.unwrap_or_else(|_| Err(self.broken_error())).inspect_err(|_| self.broken = true)?,
        );
        Ok(())
    }
}

fn sync(file: &File) -> std::io::Result<()> {
    crate::fault::io!("files::sync::before");
    file.sync_data()?;
    crate::fault::io!("files::sync::after");
    Ok(())
}

fn replace(file: &File, content: &[u8]) -> std::io::Result<()> {
    let mut file = file;
    crate::fault::io!("files::write::before");
    file.set_len(0)?;
    file.write_all(content)
}

/// Looks for the separator from the end on.
fn mend(file: &File, separator: u8) -> std::io::Result<u64> {
    const CHUNK_BYTES: u64 = 64 * 1024;
    let mut file = file;
    let mut end = file.metadata()?.len();
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        chunk.clear();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == separator) {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end != file.metadata()?.len() {
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(end)
}

fn append(file: &File, chunks: &[Bytes]) -> std::io::Result<u64> {
    let mut file = file;
    crate::fault::io!("files::write::before");
    for chunk in chunks {
        file.write_all(chunk)?;
    }
    crate::fault::io!("files::write::after");
    file.stream_position()
}

fn read(file: &File, path: &std::path::Path, bytes_max: u32) -> Result<Vec<u8>, Error> {
    let failed = |e: std::io::Error| Error::io(path, "read", &e);
    let mut file = file;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut content = Vec::new();
    file.take(u64::from(bytes_max) + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > bytes_max as usize {
        return Err(Error::TooLarge { path: path.display().to_string(), bytes_max });
    }
    Ok(content)
}
