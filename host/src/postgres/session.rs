//! An ordinary session: tokio-postgres over a transport that we opened and authenticated.
//!
//! tokio-postgres insists on greeting the server itself, and knows neither verify-full nor our rule
//! about passwords in clear text. So it greets [`Greeted`], which swallows its start-up message and
//! answers with what the real server said to ours.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::connect::{Kind, connect};
use super::error::{Error, ServerError};
use super::params::Params;
use super::startup::Established;
use super::transport::Transport;
use super::wire::Wire;

/// A session and the task that drives it. Dropping it ends both.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    place: String,
    parameters: BTreeMap<String, String>,
    major_version: u32,
}

impl Session {
    /// Connects; notices go to the log, notifications to nobody.
    pub async fn open(params: &Params) -> Result<Self, Error> {
        Self::open_with(params, |_| {}).await
    }

    /// Connects; `hear` gets every notification (for LISTEN), and must not block.
    pub async fn open_with(
        params: &Params,
        mut hear: impl FnMut(tokio_postgres::Notification) + Send + 'static,
    ) -> Result<Self, Error> {
        let established = connect(params, Kind::Ordinary).await?;
        let place = established.wire.place.clone();
        let (parameters, major_version) = (established.parameters.clone(), established.major_version());
        let mut config = tokio_postgres::Config::new();
        config.user(&params.user).ssl_mode(tokio_postgres::config::SslMode::Disable);
        let greeted = Greeted::new(established);
        let (client, mut connection) = config
            .connect_raw(greeted, NoTls)
            .await
            .map_err(|error| read(&place, "starting a session", error))?;
        let driver = tokio::spawn(async move {
            loop {
                match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(heard))) => hear(heard),
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        tracing::debug!(
                            severity = notice.severity(),
                            text = notice.message(),
                            "server notice"
                        );
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(%error, "session ended");
                        return;
                    }
                    None => return,
                }
            }
        });
        Ok(Self { client, driver, place, parameters, major_version })
    }

    /// The session, for anything that tokio-postgres can do.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Host and port.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What the server reported about itself at the start.
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// The server's major version; 0 if it did not say.
    pub fn major_version(&self) -> u32 {
        self.major_version
    }

    /// Rows as text, `None` for NULL, from one simple query without parameters.
    pub async fn rows(&self, query: &str, doing: &'static str) -> Result<Rows, Error> {
        let messages = self.client.simple_query(query).await.map_err(|error| self.error(doing, error))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.try_get(at).ok().flatten().map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Types one of tokio-postgres's errors.
    pub fn error(&self, doing: &'static str, error: tokio_postgres::Error) -> Error {
        read(&self.place, doing, error)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Rows of text cells.
pub type Rows = Vec<Vec<Option<String>>>;

fn read(place: &str, doing: &'static str, error: tokio_postgres::Error) -> Error {
    if let Some(server) = error.as_db_error() {
        let server = ServerError {
            severity: server
                .parsed_severity()
                .map_or_else(|| server.severity().to_owned(), |one| one.to_string()),
            sqlstate: server.code().code().to_owned(),
            message: server.message().to_owned(),
            hint: server.hint().unwrap_or_default().to_owned(),
        };
        return Error::Server { place: place.into(), doing, server: Box::new(server) };
    }
    Error::Io { place: place.into(), doing, source: io::Error::other(error) }
}

/// One simple query on a session of our own; `None` for NULL.
pub(crate) async fn simple_query(wire: &mut Wire, query: &str, doing: &'static str) -> Result<Rows, Error> {
    wire.send(|out| frontend::query(query, out)).await?;
    let (mut rows, mut refused) = (Rows::new(), None);
    loop {
        let frame = wire.frame().await?;
        match frame.tag {
            b'D' => rows.push(data_row(frame.body()).ok_or_else(|| wire.unexpected(&frame, doing))?),
            b'E' => refused = Some(wire.refused(doing, &frame)),
            b'Z' => return refused.map_or(Ok(rows), Err),
            b'T' | b'C' | b'N' | b'S' | b'I' => {}
            _ => return Err(wire.unexpected(&frame, doing)),
        }
    }
}

pub(crate) fn data_row(mut body: &[u8]) -> Option<Vec<Option<String>>> {
    let count = body.try_get_u16().ok()?;
    let mut row = Vec::new();
    for _ in 0..count {
        let length = body.try_get_i32().ok()?;
        row.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) => {
                let (cell, rest) = body.split_at_checked(length)?;
                body = rest;
                Some(String::from_utf8_lossy(cell).into_owned())
            }
        });
    }
    Some(row)
}

/// A server that has been greeted already, to whom tokio-postgres may say hello.
struct Greeted {
    transport: Transport,
    /// What is still to be answered in the server's name, then what it sent early.
    ahead: BytesMut,
    /// Bytes of the greeting that are still to be swallowed; `None` until its length is known.
    greeting: BytesMut,
    swallowed: bool,
}

impl Greeted {
    fn new(established: Established) -> Self {
        let Established { wire, parameters, key } = established;
        let mut ahead = BytesMut::new();
        message(&mut ahead, b'R', &[&0_u32.to_be_bytes()]);
        for (name, value) in &parameters {
            message(&mut ahead, b'S', &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
        }
        if let Some(key) = key {
            message(&mut ahead, b'K', &[&key]);
        }
        message(&mut ahead, b'Z', &[b"I"]);
        ahead.extend_from_slice(&wire.buffer);
        Self { transport: wire.transport, ahead, greeting: BytesMut::new(), swallowed: false }
    }

    /// How many of `bytes` belong to the greeting.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        let had = self.greeting.len();
        self.greeting.extend_from_slice(bytes);
        let whole = self.greeting.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize);
        match whole {
            Some(whole) if whole <= self.greeting.len() => {
                self.swallowed = true;
                self.greeting = BytesMut::new();
                whole.saturating_sub(had)
            }
            _ => bytes.len(),
        }
    }
}

fn message(out: &mut BytesMut, tag: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.put_u8(tag);
    out.put_u32(u32::try_from(length + 4).unwrap_or(u32::MAX));
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

impl AsyncRead for Greeted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.transport).poll_read(cx, buffer);
        }
        let count = this.ahead.len().min(buffer.remaining());
        buffer.put_slice(&this.ahead.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.swallowed {
            return Poll::Ready(Ok(this.swallow(bytes)));
        }
        Pin::new(&mut this.transport).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.transport).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}
