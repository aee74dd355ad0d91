//! Ports of the loopback interface that nobody listens on.
//!
//! Invariant: taken from below the range of outgoing connections, so that no client socket of this machine
//! gets the port between the look and the use. Two processes may still pick the same one; who starts a
//! server on it tries again with another.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port that was free a moment ago; never the same one twice in a process until all are used up.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // The process id spreads test binaries that run at the same time.
        let n = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
        let Ok(port) = u16::try_from(FIRST + n % COUNT) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
