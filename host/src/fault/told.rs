//! Which places there are, and what one of them was told: `PGCDC_FAULT="wal::read::after 3 exit"` ends the process when
//! that place is passed for the fourth time.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

const VARIABLE: &str = "PGCDC_FAULT";
/// What `certify` asks for the list with.
const COMMAND: &str = "faults";
const DELAY: Duration = Duration::from_millis(1_500);

/// Every place, and whether it can report an error.
const PLACES: &[(&str, bool)] = &[
    ("wal::read::before", true),
    ("wal::read::after", true),
    ("wal::decode::before", false),
    ("wal::decode::after", false),
    ("bus::push::before", false),
    ("bus::push::after", false),
    ("guest::call::before", true),
    ("guest::call::after", true),
    ("sink::send::before", false),
    ("sink::send::after", false),
    ("ack::settle::before", false),
    ("ack::settle::after", false),
    ("store::write::before", true),
    ("store::write::after", true),
    ("files::write::before", true),
    ("files::write::after", true),
    ("files::sync::before", true),
    ("files::sync::after", true),
    ("wal::status::before", true),
    ("wal::status::after", true),
];

/// What a place does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Exit,
    Error,
    Delay,
}

struct Told {
    place: String,
    after: u64,
    action: Action,
    passed: AtomicU64,
}

/// A place is passed. True: it is to report an error.
pub(crate) fn pass(place: &str) -> bool {
    debug_assert!(PLACES.iter().any(|(name, _)| *name == place), "{place} is not listed");
    static TOLD: OnceLock<Option<Told>> = OnceLock::new();
    let told = TOLD.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|text| Told::read(&text)));
    told.as_ref().is_some_and(|told| told.pass(place))
}

/// Prints the list, if that is what was asked for.
pub(crate) fn command() -> Option<ExitCode> {
    (std::env::args().nth(1)? == COMMAND).then(|| {
        for (place, fails) in PLACES {
            println!("{place} exit delay{}", if *fails { " error" } else { "" });
        }
        ExitCode::SUCCESS
    })
}

impl Told {
    fn read(text: &str) -> Option<Told> {
        let mut words = text.split_whitespace();
        let (place, after, action) = (words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?);
        let action = match action {
            "exit" => Action::Exit,
            "error" => Action::Error,
            "delay" => Action::Delay,
            _ => return None,
        };
        Some(Told { place, after, action, passed: AtomicU64::new(0) })
    }

    fn pass(&self, place: &str) -> bool {
        if self.place != place || self.passed.fetch_add(1, Ordering::Relaxed) != self.after {
            return false;
        }
        match self.action {
            Action::Error => return true,
            Action::Delay => std::thread::sleep(DELAY),
            Action::Exit => {
                // As SIGKILL from outside: nothing is flushed, nothing is dropped, and nothing comes after.
                let _ = kill_process(getpid(), Signal::KILL);
                loop {
                    std::thread::park();
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_fails_once_when_it_is_its_turn() {
        let told = Told::read("a::b 2 error").unwrap();
        let passed: Vec<bool> = ["a::b", "a::c", "a::b", "a::b", "a::b"].map(|place| told.pass(place)).into();
        assert_eq!(passed, [false, false, false, true, false]);
        assert!(Told::read("a::b 2 explode").is_none());
    }
}
