//! The connection that rows come over: plain commands, and `COPY … TO STDOUT` read where it lies.
//!
//! Invariant: a row that is longer than the limit is read past, not held.

use std::future::poll_fn;
use std::io;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use crate::postgres::{Error, Frame, Kind, Params, Rows, WriteHalf, connect, data_row};
use crate::wal::input::{self, Input};

/// See the file's head.
pub(super) struct Line {
    input: Input,
    write: WriteHalf,
    pub(super) place: String,
}

/// What came next of a COPY.
pub(super) enum Step<'a> {
    /// A row without its line break, or the front of it, and how long it is.
    Row(&'a [u8], u64),
    /// Nothing whole is here.
    Starved,
    /// No more rows, and no error.
    Done,
}

impl Line {
    pub(super) async fn open(params: &Params, row_bytes_max: usize) -> Result<Line, Error> {
        let wire = connect(params, Kind::Ordinary).await?.wire;
        let (read, write) = tokio::io::split(wire.transport);
        Ok(Line { input: Input::new(read, &wire.buffer, row_bytes_max + 64), write, place: wire.place })
    }

    /// Runs statements; rows of text.
    pub(super) async fn command(&mut self, sql: &str, doing: &'static str) -> Result<Rows, Error> {
        self.send(sql, doing).await?;
        let (mut rows, mut refused) = (Rows::new(), None);
        loop {
            while let Some(frame) = self.input.next().map_err(|_| senseless(&self.place))? {
                match frame.tag {
                    b'D' => rows.push(data_row(frame.body).ok_or_else(|| senseless(&self.place))?),
                    b'E' => refused = Some(server_error(&frame, &self.place, doing)),
                    b'Z' => return refused.map_or(Ok(rows), Err),
                    _ => {}
                }
            }
            self.fill(doing).await?;
        }
    }

    /// Starts a COPY.
    pub(super) async fn copy(&mut self, sql: &str) -> Result<(), Error> {
        self.send(sql, COPYING).await
    }

    /// What is here of the COPY.
    pub(super) fn step(&mut self) -> Result<Step<'_>, Error> {
        loop {
            let place = &self.place;
            // The compiler does not see that a frame that is given out ends the loop.
            let Some(tag) = self.input.peek() else {
                return match self.input.next() {
                    Ok(_) => Ok(Step::Starved),
                    Err(_) => Err(senseless(place)),
                };
            };
            if tag == b'd' {
                break;
            }
            let Some(frame) = self.input.next().map_err(|_| senseless(place))? else {
                return Ok(Step::Starved);
            };
            match frame.tag {
                b'E' => return Err(server_error(&frame, place, COPYING)),
                b'Z' => return Ok(Step::Done),
                b'H' | b'c' | b'C' | b'N' | b'S' | b'A' => {}
                _ => return Err(senseless(place)),
            }
        }
        match self.input.next().map_err(|_| senseless(&self.place))? {
            Some(frame) => {
                let whole = frame.length == frame.body.len();
                let row = frame.body.strip_suffix(b"\n").filter(|_| whole).unwrap_or(frame.body);
                Ok(Step::Row(row, frame.length.saturating_sub(1) as u64))
            }
            None => Ok(Step::Starved),
        }
    }

    /// The row that was given out last comes again.
    pub(super) fn again(&mut self) {
        self.input.again();
    }

    /// Waits for more bytes.
    pub(super) async fn fill(&mut self, doing: &'static str) -> Result<(), Error> {
        let input = &mut self.input;
        let error = match poll_fn(|cx| input.poll_fill(cx)).await {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(Error::Io { place: self.place.clone(), doing, source: error })
    }

    async fn send(&mut self, sql: &str, doing: &'static str) -> Result<(), Error> {
        let mut out = BytesMut::new();
        let sent = match frontend::query(sql, &mut out) {
            Ok(()) => self.write.write_all(&out).await,
            Err(error) => Err(error),
        };
        let flushed = match sent {
            Ok(()) => self.write.flush().await,
            Err(error) => Err(error),
        };
        flushed.map_err(|source| Error::Io { place: self.place.clone(), doing, source })
    }
}

pub(super) const COPYING: &str = "reading rows";

fn senseless(place: &str) -> Error {
    Error::protocol(place, "an answer makes no sense while rows are read")
}

fn server_error(frame: &input::Frame<'_>, place: &str, doing: &'static str) -> Error {
    let mut whole = Vec::with_capacity(5 + frame.body.len());
    whole.push(frame.tag);
    whole.extend_from_slice(&u32::try_from(frame.body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    whole.extend_from_slice(frame.body);
    let server = Frame { tag: frame.tag, bytes: whole.into() }.server_error();
    Error::Server { place: place.into(), doing, server: Box::new(server) }
}
