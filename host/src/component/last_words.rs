//! The last of what a guest printed to its standard error: where a panic says what went wrong.
//!
//! Invariant: bounded, whatever a guest prints; one line of it is told, cut and without control characters.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

const KEPT_BYTES_MAX: usize = 4096;
const TOLD_BYTES_MAX: usize = 300;
/// How a Rust guest begins.
const PANICKED: &str = "panicked at ";

/// A stream that remembers its end.
#[derive(Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<u8>>>);

impl LastWords {
    fn write(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(KEPT_BYTES_MAX)..];
        let over = (kept.len() + bytes.len()).saturating_sub(KEPT_BYTES_MAX);
        let over = over.min(kept.len());
        kept.drain(..over);
        kept.extend(bytes);
    }

    /// The message of the last panic, if there was one: `panicked at src/lib.rs:1:2: message`.
    pub(super) fn panic(&self) -> Option<String> {
        let bytes: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let panic = &text[text.rfind(PANICKED)?..];
        let lines = panic.lines().take_while(|line| !line.starts_with("note: "));
        let mut told = lines.collect::<Vec<_>>().join(" ").replace(char::is_control, " ");
        let mut end = told.len().min(TOLD_BYTES_MAX);
        while !told.is_char_boundary(end) {
            end -= 1;
        }
        told.truncate(end);
        Some(told.trim_end().to_owned())
    }
}

impl IsTerminal for LastWords {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LastWords {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LastWords {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line() {
        let words = LastWords::default();
        assert_eq!(words.panic(), None);
        words.write(
            b"chatter\n\nthread '<unnamed>' (1) panicked at src/lib.rs:1:2:\nthe row\r\n13\nnote: run with",
        );
        assert_eq!(words.panic().as_deref(), Some("panicked at src/lib.rs:1:2: the row 13"));
    }

    #[test]
    fn only_the_end_is_kept_and_little_of_it_told() {
        let words = LastWords::default();
        for _ in 0..10_000 {
            words.write(b"noise ");
        }
        words.write(format!("panicked at x: {}", "é".repeat(1_000)).as_bytes());
        let kept = words.0.lock().unwrap().len();
        assert_eq!(kept, KEPT_BYTES_MAX);
        assert!(words.panic().unwrap().len() <= TOLD_BYTES_MAX);
        words.write(&[b'x'; 2 * KEPT_BYTES_MAX]);
        assert_eq!(words.panic(), None);
    }
}
