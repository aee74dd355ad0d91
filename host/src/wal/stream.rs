//! The reading loop: one task owns the socket's reading half, and turns what comes into batches.
//!
//! A batch closes when it is full, or when the socket has nothing more and the consumer has nothing left;
//! so an idle consumer never waits for a batch to fill, and a busy one finds larger batches.
//! When the queue is full, this task stops reading, TCP tells the server to wait, and the status writer
//! goes on. Pieces of transactions in progress are put aside (`spill`) until their commit (`stream/replay.rs`). Invariants:
//! - nothing is skipped: a message that cannot be read ends the connection;
//! - the server's word that it left out a publication is an error, since rows would be missing (I6);
//! - a peer that is silent is asked once, and given up after as long again.

mod replay;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgcdc_core::assembler::{Assembler, Error as BadStream, Fed, Finished};
use pgcdc_core::confirm::Stand;
use pgcdc_core::error::Kind;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::streamed::{Replay, Step as Taken, Streamed};
use tokio::time::{Instant, Sleep, sleep};

use super::input::{Frame, Input};
use super::progress::Progress;
use super::queue::Queue;
use super::side::Side;
use super::spill::{News, Spill};
use super::status::Signals;
use super::toast::ToastNews;
use crate::postgres::{Error, ServerError};

/// What stands before the change in an XLogData message: its kind, two positions, a time.
pub(super) const CHANGE_HEAD_BYTES: usize = 25;
/// What a change has more inside of a transaction in progress.
pub(super) const XID_BYTES: usize = 4;
/// Kind, position, time, wish.
const KEEPALIVE_BYTES: usize = 18;

/// Everything that the reading task owns or shares.
pub(super) struct Reader {
    pub(super) input: Input,
    pub(super) assembler: Assembler,
    pub(super) streamed: Streamed,
    /// None if pieces of transactions in progress were not asked for.
    pub(super) spill: Option<Spill>,
    pub(super) queue: Arc<Queue<Finished, Error>>,
    pub(super) progress: Arc<Progress>,
    pub(super) signals: Arc<Signals>,
    pub(super) side: Arc<Side>,
    pub(super) place: String,
    pub(super) silence: Duration,
    pub(super) toast: Arc<ToastNews>,
}

/// What stopped the cutting of frames.
enum Step {
    /// Nothing whole is left.
    Starved,
    /// This batch has to go before anything else.
    Push(Finished),
    /// These types have to be known first.
    Learn(Vec<u32>),
    /// What is kept has to go to the disk before anything else.
    Stow,
    /// A transaction that came in pieces has committed.
    Replay(Box<Replay>),
}

enum Woken {
    Read,
    Hungry,
    Silent,
}

/// What the loop remembers between two waits.
struct Loop {
    reader: Reader,
    now_us: i64,
    received: Lsn,
    alarm: Pin<Box<Sleep>>,
    heard: Instant,
    asked: bool,
}

impl Reader {
    /// Reads until the connection ends, and says why it did.
    pub(super) async fn run(self) -> Error {
        let alarm = Box::pin(sleep(self.silence));
        let heard = Instant::now();
        let mut this =
            Loop { reader: self, now_us: now_us(), received: Lsn::ZERO, alarm, heard, asked: false };
        loop {
            if let Err(error) = this.turn().await {
                return error;
            }
        }
    }
}

impl Loop {
    async fn turn(&mut self) -> Result<(), Error> {
        match self.step()? {
            Step::Push(batch) => return self.push(batch).await,
            Step::Learn(oids) => return self.learn(&oids).await,
            Step::Stow => return self.stow().await,
            Step::Replay(replay) => return self.replay(replay).await,
            Step::Starved => {}
        }
        self.reader.progress.received(self.received);
        if self.fill_now().await? {
            return Ok(());
        }
        if self.reader.assembler.is_empty() && !self.reader.assembler.in_transaction() {
            self.reader.progress.is_clear(self.received);
        }
        self.reader.input.shrink();
        if !self.reader.assembler.is_empty() && self.reader.queue.is_empty() {
            return self.push_open().await;
        }
        match self.wait().await? {
            Woken::Read => Ok(()),
            Woken::Hungry => self.push_open().await,
            Woken::Silent => self.ask(),
        }
    }

    /// Cuts and feeds frames until something has to be waited for.
    fn step(&mut self) -> Result<Step, Error> {
        let Self { reader, now_us, received, .. } = self;
        let Reader { input, assembler, streamed, spill, progress, signals, place, .. } = reader;
        let bad = |what: &str| Error::protocol(place, what);
        while let Some(frame) = input.next().map_err(|_| bad("a message's length makes no sense"))? {
            match (frame.tag, frame.body.first()) {
                (b'd', Some(b'w')) => {
                    let (at, head) = change(&frame).ok_or_else(|| bad("a change is cut short"))?;
                    *received = (*received).max(at);
                    let bytes = frame.length - CHANGE_HEAD_BYTES;
                    let taken = streamed.take(at, head, bytes as u64);
                    match taken
                        .map_err(|error| bad(&format!("the stream of changes cannot be read: {error}")))?
                    {
                        Taken::Pass => {}
                        aside => match put_aside(aside, spill.as_mut(), place)? {
                            Some(step) => return Ok(step),
                            None => continue,
                        },
                    }
                    match feed(assembler, at, head, bytes, *now_us).map_err(|error| broken(place, &error))? {
                        (Fed::NeedTypes(oids), _) => {
                            input.again();
                            return Ok(Step::Learn(oids));
                        }
                        (_, Some(batch)) => return Ok(Step::Push(batch)),
                        (_, None) if assembler.is_full() => {
                            if let Some(batch) = assembler.take_batch() {
                                return Ok(Step::Push(batch));
                            }
                        }
                        (_, None) => {}
                    }
                }
                (b'd', Some(b'k')) => {
                    let (end, wanted) = keepalive(&frame).ok_or_else(|| bad("a keepalive is cut short"))?;
                    *received = (*received).max(end);
                    // Between two pieces the WAL end says as much as anywhere: a transaction in progress ends behind it, and
                    // the server keeps what it needs to send it again (decision 0012).
                    let inside = assembler.in_transaction() || streamed.is_inside();
                    let stand = match (inside, assembler.is_empty()) {
                        (true, _) => Stand::Inside,
                        (false, true) => Stand::Clear,
                        (false, false) => Stand::Gathered,
                    };
                    progress.keepalive(end, wanted, stand);
                    if wanted {
                        progress.received(*received);
                        signals.reply();
                    }
                }
                _ => other(&frame, place)?,
            }
        }
        Ok(Step::Starved)
    }

    async fn push_open(&mut self) -> Result<(), Error> {
        match self.reader.assembler.take_batch() {
            Some(batch) => self.push(batch).await,
            None => Ok(()),
        }
    }

    async fn push(&mut self, mut batch: Finished) -> Result<(), Error> {
        let Reader { progress, queue, toast, assembler, .. } = &self.reader;
        if let Some(counts) = assembler.toast_counts() {
            toast.tell(counts);
        }
        // A batch without events only says how far the server is, and is nobody's to settle.
        let events = batch.events > 0 || !batch.refused.is_empty();
        progress.batch(batch.resume, events);
        if events {
            let bytes = batch.bytes.len();
            // A small batch was written into room for a full one, and may wait in a lane for long.
            if batch.bytes.capacity() / 2 > bytes {
                batch.bytes.shrink_to_fit();
            }
            queue.push(batch, bytes).await;
            self.hear();
        }
        Ok(())
    }

    async fn stow(&mut self) -> Result<(), Error> {
        if let Some(spill) = &mut self.reader.spill {
            spill.stow().await?;
        }
        self.hear();
        Ok(())
    }

    async fn learn(&mut self, oids: &[u32]) -> Result<(), Error> {
        let rows = self.reader.side.types(oids).await?;
        self.reader.assembler.learn_types(oids, rows);
        self.hear();
        Ok(())
    }

    /// Takes what the socket has at this moment. False: nothing.
    async fn fill_now(&mut self) -> Result<bool, Error> {
        if crate::fault::fails!("wal::read::before") {
            return self.was_read(Err(io::ErrorKind::ConnectionReset.into())).map(|()| false);
        }
        let input = &mut self.reader.input;
        let read = poll_fn(|cx| {
            std::task::Poll::Ready(match input.poll_fill(cx) {
                std::task::Poll::Ready(read) => Some(read),
                std::task::Poll::Pending => None,
            })
        });
        match read.await {
            None => Ok(false),
            Some(read) => self.was_read(read).map(|()| true),
        }
    }

    async fn wait(&mut self) -> Result<Woken, Error> {
        let Reader { input, queue, assembler, .. } = &mut self.reader;
        let pending = !assembler.is_empty();
        let read = tokio::select! {
            biased;
            read = poll_fn(|cx| input.poll_fill(cx)) => read,
            () = queue.hungry(), if pending => return Ok(Woken::Hungry),
            () = &mut self.alarm => return Ok(Woken::Silent),
        };
        self.was_read(read).map(|()| Woken::Read)
    }

    fn was_read(&mut self, read: io::Result<usize>) -> Result<(), Error> {
        let error = match read {
            Ok(1..) if crate::fault::fails!("wal::read::after") => io::ErrorKind::ConnectionReset.into(),
            Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"),
            Ok(_) => {
                self.now_us = now_us();
                self.hear();
                return Ok(());
            }
            Err(error) => error,
        };
        Err(Error::Io { place: self.reader.place.clone(), doing: "reading changes", source: error })
    }

    fn hear(&mut self) {
        (self.heard, self.asked) = (Instant::now(), false);
    }

    /// The alarm went off: the peer may be gone without a word.
    fn ask(&mut self) -> Result<(), Error> {
        let limit = self.reader.silence;
        if self.heard.elapsed() >= limit {
            if self.asked {
                let after_ms = u64::try_from(self.heard.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Err(Error::Timeout {
                    place: self.reader.place.clone(),
                    doing: "waiting for the server",
                    after_ms,
                });
            }
            self.asked = true;
            self.reader.signals.ask();
            self.alarm.as_mut().reset(Instant::now() + limit);
        } else {
            self.alarm.as_mut().reset(self.heard + limit);
        }
        Ok(())
    }
}

/// What a piece of a transaction in progress asks for.
fn put_aside(aside: Taken<'_>, spill: Option<&mut Spill>, place: &str) -> Result<Option<Step>, Error> {
    let Some(spill) = spill else {
        return Err(Error::protocol(place, "a transaction in progress, which was not asked for"));
    };
    match aside {
        Taken::Keep { xid, record } => return Ok(spill.keep(xid, &record).then_some(Step::Stow)),
        Taken::Release(replay) => return Ok(Some(Step::Replay(replay))),
        Taken::Forget { xid } => spill.forget(xid),
        Taken::Pass | Taken::Noted => spill.tell(News::default()),
    }
    Ok(None)
}

/// Feeds one change. A batch that had to go first comes back.
fn feed(
    assembler: &mut Assembler,
    at: Lsn,
    data: &[u8],
    bytes: usize,
    now_us: i64,
) -> Result<(Fed, Option<Finished>), BadStream> {
    let feed = |assembler: &mut Assembler| {
        crate::fault::point!("wal::decode::before");
        if bytes == data.len() {
            assembler.feed(at, data, now_us)
        } else {
            assembler.feed_head(at, data, bytes as u64, now_us)
        }
    };
    let fed = feed(assembler)?;
    crate::fault::point!("wal::decode::after");
    match fed {
        Fed::Full => {
            let batch = assembler.take_batch();
            Ok((feed(assembler)?, batch))
        }
        fed => Ok((fed, None)),
    }
}

fn change<'a>(frame: &Frame<'a>) -> Option<(Lsn, &'a [u8])> {
    let data = frame.body.get(CHANGE_HEAD_BYTES..)?;
    Some((position(frame.body)?, data))
}

fn keepalive(frame: &Frame<'_>) -> Option<(Lsn, bool)> {
    let wish = frame.body.get(KEEPALIVE_BYTES - 1)?;
    Some((position(frame.body)?, *wish != 0))
}

fn position(body: &[u8]) -> Option<Lsn> {
    body.get(1..9).and_then(Lsn::from_bytes)
}

/// Anything but a change or a keepalive.
fn other(frame: &Frame<'_>, place: &str) -> Result<(), Error> {
    match frame.tag {
        b'E' => Err(Error::Server {
            place: place.into(),
            doing: "reading changes",
            server: Box::new(server_error(frame)),
        }),
        b'N' => notice(&server_error(frame), place),
        b'S' | b'A' => Ok(()),
        b'c' | b'C' | b'Z' => {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the stream");
            Err(Error::Io { place: place.into(), doing: "reading changes", source })
        }
        tag => {
            let kind = frame.body.first().copied().unwrap_or(b' ');
            let tag = [tag, kind].escape_ascii().to_string();
            Err(Error::protocol(place, format!("unexpected message `{tag}` in the stream of changes")))
        }
    }
}

/// From version 18 on, a missing publication is skipped with a warning, and its rows never come.
fn notice(notice: &ServerError, place: &str) -> Result<(), Error> {
    if notice.sqlstate == "55000" || notice.message.contains("skipped loading publication") {
        return Err(Error::unfit(
            Kind::Gone,
            "publication_gap",
            format!("{place}: the server leaves out changes: {}", notice.message),
            "the publication was dropped or created anew, and changes in between are missing: copy the tables anew, then run `pgcdc checkpoint reset`",
        ));
    }
    tracing::info!(severity = notice.severity, text = notice.message, "server notice");
    Ok(())
}

fn server_error(frame: &Frame<'_>) -> ServerError {
    let mut whole = Vec::with_capacity(5 + frame.body.len());
    whole.push(frame.tag);
    whole.extend_from_slice(&u32::try_from(frame.body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    whole.extend_from_slice(frame.body);
    crate::postgres::Frame { tag: frame.tag, bytes: whole.into() }.server_error()
}

fn broken(place: &str, error: &BadStream) -> Error {
    Error::protocol(place, format!("the stream of changes cannot be read: {error}"))
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
