//! A TCP socket that reads in bites while much streams in.
//!
//! A walsender dribbles two rows a packet, and waking up for each packet costs ten times what decoding
//! does. So while a backlog lasts the socket is not watched by the reactor at all: it is read without
//! waiting, and then left alone for [`NAP`]. Nobody is woken by what arrives meanwhile, and since the
//! kernel acknowledges in step with our reads, the server's kernel joins small packets into large ones.
//! (`SO_RCVLOWAT` wakes as seldom, but acknowledges every packet at once, and the server's side pays.)
//! As soon as the stream thins out, the socket is watched again and every packet wakes its reader.
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
        self.gather = Some(Gather { pace: Pace::new(Duration::ZERO), born: Instant::now(), nap, napping: false });
    }

    pub(super) fn is_loopback(&self) -> bool {
        let peer = match &self.io {
            Io::Watched(stream) => stream.peer_addr(),
            Io::Bare(stream) => stream.peer_addr(),
            Io::Lost => return false,
        };
        peer.is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    /// Bytes came, or none; what follows from it for the next read.
    fn came(&mut self, bytes: usize, more: bool) -> io::Result<()> {
        let Some(gather) = &mut self.gather else { return Ok(()) };
        let now = Instant::now();
        let backlog = gather.pace.read(bytes, now - gather.born);
        gather.napping = backlog && !more;
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
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_nap(cx));
            let before = buffer.filled().len();
            match &mut this.io {
                Io::Lost => return lost(),
                Io::Watched(stream) => {
                    ready!(Pin::new(stream).poll_read(cx, buffer))?;
                    this.came(buffer.filled().len() - before, buffer.remaining() == 0)?;
                    return Poll::Ready(Ok(()));
                }
                Io::Bare(stream) => match stream.read(buffer.initialize_unfilled()) {
                    Ok(count) => {
                        buffer.advance(count);
                        this.came(count, buffer.remaining() == 0)?;
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.came(0, false)?,
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
