//! Which places there are, and what one of them was told: `PGCDC_FAULT="wal::read::after 3 exit"` ends the process when
//! that place is passed for the fourth time.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

const VARIABLE: &str = "PGCDC_FAULT";
/// What `certify` asks for the list with.
const COMMAND: &str = "faults";
/// What a line of the log begins with when a place has struck.
const STRUCK: &str = "fault:";
const DELAY: Duration = Duration::from_millis(1_500);

/// Every place, and what it can do beside ending the process and being slow.
const PLACES: &[(&str, &[&str])] = &[
    ("wal::read::before", &["error"]),
    ("wal::read::after", &["error"]),
    ("wal::decode::before", &[]),
    ("wal::decode::after", &[]),
    ("bus::push::before", &[]),
    ("bus::push::after", &[]),
    ("guest::call::before", &["error"]),
    ("guest::call::after", &["error"]),
    ("sink::send::before", &["hang"]),
    // Passed only when a sink is to get the rest of a transaction, and has done all before it.
    ("sink::send::split", &["hang", "linger"]),
    ("sink::send::after", &[]),
    ("ack::settle::before", &[]),
    ("ack::settle::after", &[]),
    ("store::write::before", &["error", "hang"]),
    ("store::write::after", &["error"]),
    // Passed only when the position is to move, not some lane's mark alone.
    ("store::write::further", &["hang"]),
    ("files::write::before", &["error"]),
    ("files::write::after", &["error"]),
    ("files::sync::before", &["error"]),
    ("files::sync::after", &["error"]),
    ("wal::status::before", &["error"]),
    ("wal::status::after", &["error"]),
];

/// What a place does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Exit,
    Error,
    Delay,
    Hang,
    /// Hangs, and the process ends two checkpoints later: what was done before is stored by then.
    Linger,
}

/// Checkpoints to come until the process ends; none unless something lingers.
static LINGERS: AtomicU64 = AtomicU64::new(0);
/// Where they are counted.
const STORED: &str = "store::write::after";

struct Told {
    place: String,
    after: u64,
    action: Action,
    passed: AtomicU64,
}

/// A place is passed. True: it is to report an error.
pub(crate) fn pass(place: &str) -> bool {
    strikes(place).is_some_and(act)
}

/// The same for a place in a task: one that hangs leaves the thread to others.
pub(crate) async fn pass_or_hang(place: &str) -> bool {
    match strikes(place) {
        Some(Action::Hang) => std::future::pending().await,
        Some(action) => act(action),
        None => false,
    }
}

/// The places in front of a sink. Once one of them hangs, so does all that comes behind it in its lane: otherwise it would be the
/// fault that changes the order.
pub(crate) async fn send(lane: &str, splits: bool) {
    static HANGS: Mutex<Option<String>> = Mutex::new(None);
    let hangs = || HANGS.lock().unwrap_or_else(PoisonError::into_inner);
    if hangs().as_deref() == Some(lane) {
        std::future::pending().await
    }
    for place in ["sink::send::before", "sink::send::split"] {
        if place.ends_with("split") && !splits {
            continue;
        }
        match strikes(place) {
            Some(action @ (Action::Hang | Action::Linger)) => {
                *hangs() = Some(lane.to_owned());
                LINGERS.store(if action == Action::Linger { 2 } else { 0 }, Ordering::Relaxed);
                std::future::pending().await
            }
            Some(action) => {
                act(action);
            }
            None => {}
        }
    }
}

fn strikes(place: &str) -> Option<Action> {
    debug_assert!(PLACES.iter().any(|(name, _)| *name == place), "{place} is not listed");
    static TOLD: OnceLock<Option<Told>> = OnceLock::new();
    let told = TOLD.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|text| Told::read(&text)));
    if place == STORED && LINGERS.load(Ordering::Relaxed) > 0 && LINGERS.fetch_sub(1, Ordering::Relaxed) == 1
    {
        return Some(Action::Exit);
    }
    let action = told.as_ref().and_then(|told| told.pass(place))?;
    // For `certify`, which reads the log.
    eprintln!("{STRUCK} {place}");
    Some(action)
}

fn act(action: Action) -> bool {
    match action {
        Action::Error => return true,
        Action::Delay => std::thread::sleep(DELAY),
        // As SIGKILL from outside: nothing is flushed, nothing is dropped, and nothing comes after.
        Action::Exit => {
            let _ = kill_process(getpid(), Signal::KILL);
            hang();
        }
        Action::Hang | Action::Linger => hang(),
    }
    false
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// Prints the list, if that is what was asked for.
pub(crate) fn command() -> Option<ExitCode> {
    (std::env::args().nth(1)? == COMMAND).then(|| {
        for (place, more) in PLACES {
            println!("{place} exit delay {}", more.join(" "));
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
            "hang" => Action::Hang,
            "linger" => Action::Linger,
            _ => return None,
        };
        Some(Told { place, after, action, passed: AtomicU64::new(0) })
    }

    /// What it does now, at this passage.
    fn pass(&self, place: &str) -> Option<Action> {
        let its_turn = self.place == place && self.passed.fetch_add(1, Ordering::Relaxed) == self.after;
        its_turn.then_some(self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_fails_once_when_it_is_its_turn() {
        let told = Told::read("a::b 2 error").unwrap();
        let passed = ["a::b", "a::c", "a::b", "a::b", "a::b"].map(|place| told.pass(place).is_some());
        assert_eq!(passed, [false, false, false, true, false]);
        assert!(Told::read("a::b 2 explode").is_none());
    }
}
