//! PostgreSQL's framing: one tag byte, a length, a body. For start-up and simple queries; the stream
//! of changes has a reader of its own.
//!
//! Invariants: a length is checked before memory is asked for, and no frame here exceeds
//! [`FRAME_MAX_BYTES`]; bytes that arrived behind the last frame stay in `buffer` for whoever goes on.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{Error, ServerError};
use super::transport::Transport;

/// Nothing that a server says before it streams is larger.
const FRAME_MAX_BYTES: usize = 16 << 20;
const HEAD_BYTES: usize = 5;

/// One message, whole, head included.
#[derive(Debug)]
pub struct Frame {
    /// Its kind.
    pub tag: u8,
    /// Head and body.
    pub bytes: Bytes,
}

impl Frame {
    /// What follows the head.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEAD_BYTES..).unwrap_or_default()
    }

    /// The message by `postgres-protocol`'s reading, for the kinds that it knows.
    pub(crate) fn message(&self) -> io::Result<Message> {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        Message::parse(&mut bytes)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// What an ErrorResponse or NoticeResponse says.
    pub(crate) fn server_error(&self) -> ServerError {
        match self.message() {
            Ok(Message::ErrorResponse(body)) => read_error(&body),
            Ok(Message::NoticeResponse(body)) => ServerError::read(body.fields()),
            _ => ServerError { message: "an error that cannot be read".into(), ..ServerError::default() },
        }
    }
}

fn read_error(body: &ErrorResponseBody) -> ServerError {
    ServerError::read(body.fields())
}

/// A transport with the bytes read ahead of it.
#[derive(Debug)]
pub struct Wire {
    /// The connection.
    pub transport: Transport,
    /// Read, and not yet taken.
    pub buffer: BytesMut,
    /// Host and port, for errors.
    pub place: String,
}

impl Wire {
    pub(crate) fn new(transport: Transport, place: String) -> Self {
        Self { transport, buffer: BytesMut::with_capacity(8 << 10), place }
    }

    /// The next message.
    pub(crate) async fn frame(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            let read = self.transport.read_buf(&mut self.buffer).await;
            if read.map_err(|source| self.io("reading", source))? == 0 {
                return Err(self.io("reading", io::Error::from(io::ErrorKind::UnexpectedEof)));
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Frame>, Error> {
        let [tag, a, b, c, d, ..] = self.buffer[..] else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(4..FRAME_MAX_BYTES).contains(&length) {
            return Err(Error::protocol(
                &self.place,
                "this is not a PostgreSQL server: a message's length makes no sense",
            ));
        }
        if self.buffer.len() <= length {
            self.buffer.reserve(length + 1 - self.buffer.len());
            return Ok(None);
        }
        Ok(Some(Frame { tag, bytes: self.buffer.split_to(length + 1).freeze() }))
    }

    /// The next message that is not a notice or a changed setting; an error from the server is ours.
    pub(crate) async fn answer(&mut self, doing: &'static str) -> Result<Frame, Error> {
        loop {
            let frame = self.frame().await?;
            match frame.tag {
                b'E' => return Err(self.refused(doing, &frame)),
                b'N' | b'S' => {}
                _ => return Ok(frame),
            }
        }
    }

    pub(crate) fn refused(&self, doing: &'static str, frame: &Frame) -> Error {
        Error::Server { place: self.place.clone(), doing, server: Box::new(frame.server_error()) }
    }

    /// Sends what `build` writes.
    pub(crate) async fn send(
        &mut self,
        build: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BytesMut::new();
        let result = match build(&mut out) {
            Ok(()) => self.transport.write_all(&out).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => self.transport.flush().await.map_err(|source| self.io("writing", source)),
            Err(source) => Err(self.io("writing", source)),
        }
    }

    pub(crate) fn io(&self, doing: &'static str, source: io::Error) -> Error {
        Error::Io { place: self.place.clone(), doing, source }
    }

    pub(crate) fn unexpected(&self, frame: &Frame, doing: &str) -> Error {
        let tag = char::from(frame.tag);
        Error::protocol(&self.place, format!("unexpected message `{}` while {doing}", tag.escape_default()))
    }
}

/// A zero-terminated string at the front of `body`.
pub(crate) fn c_str(body: &mut &[u8]) -> Option<String> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Some(text)
}
