//! For facts that nobody announces: asks again and again, with a pause that a busy machine can bear.
//!
//! Only for what has no event of its own (a slot's position, a file's length); never to let time pass.

use std::time::{Duration, Instant};

use super::journal::DEADLINE;

const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer; panics with `what` once time is up.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited for {what} in vain");
        std::thread::park_timeout(PAUSE);
    }
}
