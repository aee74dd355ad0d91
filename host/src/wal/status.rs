//! Writes status updates, by its own clock: also while reading is paused, and whatever sinks do.
//!
//! One update goes out at once when the server asks, a second after confirmed moved at the latest, and
//! in any case so often that the server never counts us as gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::progress::Progress;

/// At least this often.
const EVERY: Duration = Duration::from_secs(10);
/// At most this often, unless the server asks.
const MOVED_EVERY: Duration = Duration::from_secs(1);

/// Where the server's clock begins, in microseconds since 1970.
const EPOCH_2000_US: i64 = 946_684_800_000_000;

/// What others want of the writer.
#[derive(Debug, Default)]
pub(super) struct Signals {
    now: Notify,
    /// The server is to answer: is it still there?
    ask: AtomicBool,
    close: AtomicBool,
}

impl Signals {
    /// The server wants to hear from us.
    pub(super) fn reply(&self) {
        self.now.notify_one();
    }

    /// We want to hear from the server.
    pub(super) fn ask(&self) {
        self.ask.store(true, Ordering::Release);
        self.now.notify_one();
    }

    /// Say goodbye.
    pub(super) fn close(&self) {
        self.close.store(true, Ordering::Release);
        self.now.notify_one();
    }
}

/// How long between two updates for a server that hangs up after `sender_timeout`.
pub(super) fn interval(sender_timeout: Option<Duration>) -> Duration {
    sender_timeout.map_or(EVERY, |timeout| (timeout / 3).clamp(Duration::from_millis(100), EVERY))
}

/// Writes until told to close; an error is the connection's.
pub(super) async fn run<W: AsyncWrite + Unpin>(
    mut write: W,
    progress: Arc<Progress>,
    signals: Arc<Signals>,
    every: Duration,
) -> io::Result<()> {
    let mut sent = Instant::now() - MOVED_EVERY;
    let mut due = sent;
    loop {
        let asked = tokio::select! {
            biased;
            () = signals.now.notified() => true,
            () = sleep_until(due) => true,
            () = progress.confirmed_moved.notified() => false,
        };
        if !asked {
            due = due.min(sent + MOVED_EVERY);
            continue;
        }
        let close = signals.close.load(Ordering::Acquire);
        let ask = signals.ask.swap(false, Ordering::AcqRel);
        crate::fault::io!("wal::status::before");
        write.write_all(&update(&progress, ask)).await?;
        crate::fault::io!("wal::status::after");
        if close {
            // CopyDone, then Terminate: the server sends what it has sent, and frees the slot.
            write.write_all(&[b'c', 0, 0, 0, 4, b'X', 0, 0, 0, 4]).await?;
            return write.shutdown().await;
        }
        write.flush().await?;
        sent = Instant::now();
        due = sent + every;
    }
}

/// A standby status update in its CopyData frame.
fn update(progress: &Progress, ask: bool) -> BytesMut {
    const BODY_BYTES: usize = 1 + 4 * 8 + 1;
    let status = progress.status();
    let mut out = BytesMut::with_capacity(5 + BODY_BYTES);
    out.put_u8(b'd');
    out.put_u32(4 + BODY_BYTES as u32);
    out.put_u8(b'r');
    out.put_u64(status.received.0);
    out.put_u64(status.confirmed.0);
    out.put_u64(status.confirmed.0);
    // `reply_time` in the server's pg_stat_replication.
    out.put_i64(crate::now_us() - EPOCH_2000_US);
    out.put_u8(u8::from(ask));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_core::lsn::Lsn;
    use tokio::io::AsyncReadExt;

    async fn read_confirmed(read: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u64, bool) {
        let mut frame = [0; 39];
        read.read_exact(&mut frame).await.expect("an update");
        let confirmed = u64::from_be_bytes(frame[14..22].try_into().expect("eight bytes"));
        (confirmed, frame[38] == 1)
    }

    #[tokio::test(start_paused = true)]
    async fn updates_follow_their_clock_and_the_servers_wish() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let (progress, signals) = (Arc::new(Progress::new(Lsn(5))), Arc::new(Signals::default()));
        tokio::spawn(run(ours, progress.clone(), signals.clone(), EVERY));
        let start = Instant::now();
        assert_eq!(read_confirmed(&mut theirs).await, (5, false));
        assert_eq!(read_confirmed(&mut theirs).await, (5, false));
        assert_eq!(start.elapsed().as_secs(), EVERY.as_secs());
        signals.ask();
        assert_eq!(read_confirmed(&mut theirs).await, (5, true));
        assert_eq!(start.elapsed().as_secs(), EVERY.as_secs());
        progress.batch(Lsn(9), true);
        progress.settled(1);
        progress.stored(Lsn(9));
        assert_eq!(read_confirmed(&mut theirs).await, (9, false));
        assert_eq!(start.elapsed().as_secs(), (EVERY + MOVED_EVERY).as_secs());
        signals.close();
        assert_eq!(read_confirmed(&mut theirs).await, (9, false));
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.expect("the end");
        assert_eq!(rest, b"c\0\0\0\x04X\0\0\0\x04");
    }

    #[test]
    fn a_hasty_server_hears_from_us_in_time() {
        assert_eq!(interval(None), EVERY);
        assert_eq!(interval(Some(Duration::from_secs(60))), EVERY);
        assert_eq!(interval(Some(Duration::from_secs(3))), Duration::from_secs(1));
    }
}
