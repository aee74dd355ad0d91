//! A TCP socket that reads in bites while much streams in.
//!
//! A walsender dribbles two rows a packet, and waking up for each packet costs ten times what decoding
//! does. So while a backlog lasts the socket is not watched by the reactor at all: it is read until it
//! is empty, and then left alone for [`NAP`]; nobody is woken by what arrives meanwhile. As soon as the
//! stream thins out, the socket is watched again and every packet wakes its reader.
//!
//! On one machine, receiving a packet is work of the sender's thread, and the walsender's is the
//! bottleneck. There a small receive buffer ([`LOOPBACK_BUFFER_BYTES`], set before connecting, so that
//! the sender never saw a larger window) closes the window during a nap: the server's kernel joins what
//! it may not send yet into few large packets. `SO_RCVLOWAT` wakes us as seldom, but Linux then
//! acknowledges each packet at once, and nothing is ever joined.
//!
//! Invariants: no byte waits longer than a nap; a waiting writer keeps the socket watched, since a
//! socket that is not watched wakes nobody.

use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::pace::Pace;

/// See the file's head. The kernel doubles it for its bookkeeping.
pub(super) const LOOPBACK_BUFFER_BYTES: u32 = 16 << 10;
/// How long bytes gather; the runtime's timers may add as much again.
const NAP: Duration = Duration::from_millis(1);

/// See the file's head.
#[derive(Debug)]
pub struct Socket {
    io: Io,
    gather: Option<Gather>,
    writer_waits: bool,
}

#[derive(Debug)]
enum Io {
    /// By the reactor.
    Watched(TcpStream),
    /// By nobody.
    Bare(std::net::TcpStream),
    /// It broke on the way from one to the other.
    Lost,
}

#[derive(Debug)]
struct Gather {
    pace: Pace,
    born: Instant,
    nap: Pin<Box<Sleep>>,
    napping: bool,
}

impl Socket {
    /// Every packet wakes its reader, until [`Socket::let_gather`].
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { io: Io::Watched(stream), gather: None, writer_waits: false }
    }

    pub(super) fn let_gather(&mut self) {
        let nap = Box::pin(sleep(NAP));
        self.gather =
            Some(Gather { pace: Pace::new(Duration::ZERO), born: Instant::now(), nap, napping: false });
    }

    pub(super) fn is_loopback(&self) -> bool {
        let peer = match &self.io {
            Io::Watched(stream) => stream.peer_addr(),
            Io::Bare(stream) => stream.peer_addr(),
            Io::Lost => return false,
        };
        peer.is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    /// So many bytes came; what follows from it for the next read.
    fn came(&mut self, bytes: usize) -> io::Result<()> {
        let Some(gather) = &mut self.gather else { return Ok(()) };
        let now = Instant::now();
        let backlog = gather.pace.read(bytes, now - gather.born);
        gather.napping = backlog && bytes == 0;
        if gather.napping {
            gather.nap.as_mut().reset(now + NAP);
        }
        match backlog && !self.writer_waits {
            true => self.leave(),
            false => self.watch(),
        }
    }

    fn leave(&mut self) -> io::Result<()> {
        self.io = match std::mem::replace(&mut self.io, Io::Lost) {
            Io::Watched(stream) => Io::Bare(stream.into_std()?),
            other => other,
        };
        Ok(())
    }

    fn watch(&mut self) -> io::Result<()> {
        self.io = match std::mem::replace(&mut self.io, Io::Lost) {
            Io::Bare(stream) => Io::Watched(TcpStream::from_std(stream)?),
            other => other,
        };
        Ok(())
    }

    fn poll_nap(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(gather) = self.gather.as_mut().filter(|gather| gather.napping) {
            ready!(gather.nap.as_mut().poll(cx));
            gather.napping = false;
        }
        Poll::Ready(())
    }
}

fn lost<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_nap(cx));
            let before = buffer.filled().len();
            match &mut this.io {
                Io::Lost => return lost(),
                Io::Watched(stream) => {
                    ready!(Pin::new(stream).poll_read(cx, buffer))?;
                    this.came(buffer.filled().len() - before)?;
                    return Poll::Ready(Ok(()));
                }
                Io::Bare(stream) => match stream.read(buffer.initialize_unfilled()) {
                    Ok(count) => {
                        buffer.advance(count);
                        this.came(count)?;
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.came(0)?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Io::Bare(stream) = &mut this.io {
            match stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.watch()?,
                written => return Poll::Ready(written),
            }
        }
        let Io::Watched(stream) = &mut this.io else { return lost() };
        let written = Pin::new(stream).poll_write(cx, bytes);
        this.writer_waits = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Watched(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Bare(stream) => Poll::Ready(stream.shutdown(std::net::Shutdown::Write)),
            Io::Lost => lost(),
        }
    }
}
