//! Bytes of the stream: read in big pieces, cut into frames where they lie.
//!
//! Invariants: a frame's length is checked before it is believed; memory stays within the buffer plus
//! one frame of at most `frame_bytes_max`; of a longer one the head is kept and the rest read past.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::postgres::ReadHalf;

/// What one read may bring.
const BUFFER_BYTES: usize = 256 << 10;
/// Less room than this at the end moves what is left to the front.
const ROOM_BYTES_MIN: usize = 64 << 10;
/// What is kept of a frame that is too long.
const HEAD_KEPT_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 5;

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: u8,
    /// Its body, or the front of it.
    pub(crate) body: &'a [u8],
    /// How long the body is.
    pub(crate) length: usize,
}

/// The server sent what is no message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLength;

/// The reading half and what it brought.
#[derive(Debug)]
pub(crate) struct Input<R = ReadHalf> {
    read: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where the last whole frame began.
    last: usize,
    /// Bytes of a long frame that are still to be read past.
    skip: usize,
    frame_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Input<R> {
    /// `early` are bytes that arrived before.
    pub(crate) fn new(read: R, early: &[u8], frame_bytes_max: usize) -> Self {
        let mut buffer = vec![0; BUFFER_BYTES.max(early.len())];
        buffer[..early.len()].copy_from_slice(early);
        Self { read, buffer, start: 0, end: early.len(), last: 0, skip: 0, frame_bytes_max }
    }

    /// Reads what there is, once; `Ready(0)` is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.len() - self.end < ROOM_BYTES_MIN && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut into = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(&mut self.read).poll_read(cx, &mut into))?;
        let count = into.filled().len();
        self.end += count;
        let skipped = self.skip.min(self.end - self.start);
        (self.skip, self.start) = (self.skip - skipped, self.start + skipped);
        Poll::Ready(Ok(count))
    }

    /// The next whole frame that is here.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, BadLength> {
        let here = self.end - self.start;
        if here == 0 || self.skip > 0 {
            (self.start, self.end) = (0, 0);
            return Ok(None);
        }
        let Some([tag, a, b, c, d]) = self.buffer[self.start..self.end].first_chunk().copied() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(4..1 << 30).contains(&length) {
            return Err(BadLength);
        }
        let (whole, body) = (length + 1, self.start + HEAD_BYTES);
        if here >= whole {
            (self.last, self.start) = (self.start, self.start + whole);
            return Ok(Some(Frame { tag, body: &self.buffer[body..self.start], length: length - 4 }));
        }
        let long = whole > self.frame_bytes_max;
        if long && here >= HEAD_KEPT_BYTES {
            self.skip = whole - here;
            self.start = self.end;
            return Ok(Some(Frame { tag, body: &self.buffer[body..self.end], length: length - 4 }));
        }
        if !long && whole > self.buffer.len() - self.start {
            self.make_room(whole);
        }
        Ok(None)
    }

    /// The kind of the next frame, which need not be here as a whole.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.buffer[self.start..self.end].first().copied().filter(|_| self.skip == 0)
    }

    /// The next frame will be the last one again, if it was whole. For use before anything else is read.
    pub(crate) fn again(&mut self) {
        self.start = self.last;
    }

    fn make_room(&mut self, whole: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if whole > self.buffer.len() {
            self.buffer.resize(whole + ROOM_BYTES_MIN, 0);
        }
    }

    /// Gives back what a long frame needed. To be called when nothing is left to cut.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.len() > BUFFER_BYTES && self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    async fn all(bytes: &[u8], piece: usize, max: usize) -> Result<Vec<(u8, usize, usize)>, BadLength> {
        let mut input = Input::new(Pieces(bytes, piece), b"", max);
        let mut out = Vec::new();
        loop {
            while let Some(frame) = input.next()? {
                out.push((frame.tag, frame.body.len(), frame.length));
            }
            if std::future::poll_fn(|cx| input.poll_fill(cx)).await.expect("no failure") == 0 {
                return Ok(out);
            }
        }
    }

    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.1.min(self.0.len()).min(out.remaining());
            let (now, later) = self.0.split_at(count);
            out.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn frames_are_the_same_however_they_arrive() {
        let big = vec![7; 700_000];
        let bytes = [frame(b'd', b""), frame(b'd', &big), frame(b'k', b"xyz"), frame(b'd', &vec![1; 70_000])]
            .concat();
        for piece in [1_000, 65_536, 1 << 20] {
            let frames = all(&bytes, piece, 1 << 20).await.expect("frames");
            assert_eq!(
                frames,
                [(b'd', 0, 0), (b'd', 700_000, 700_000), (b'k', 3, 3), (b'd', 70_000, 70_000)]
            );
        }
    }

    #[tokio::test]
    async fn a_long_frame_is_read_past() {
        let bytes = [frame(b'd', &vec![7; 3_000_000]), frame(b'k', b"xyz")].concat();
        for piece in [1_000, 100_000, 1 << 20] {
            let frames = all(&bytes, piece, 100_000).await.expect("frames");
            assert_eq!(frames.len(), 2);
            assert_eq!((frames[0].2, frames[1]), (3_000_000, (b'k', 3, 3)));
            assert!((HEAD_KEPT_BYTES - HEAD_BYTES..=BUFFER_BYTES).contains(&frames[0].1));
        }
    }

    #[tokio::test]
    async fn a_senseless_length_is_refused() {
        for length in [0_u32, 3, 1 << 30, u32::MAX] {
            let bytes = [&b"d"[..], &length.to_be_bytes()].concat();
            assert_eq!(all(&bytes, 5, 1 << 20).await, Err(BadLength));
        }
    }
}
