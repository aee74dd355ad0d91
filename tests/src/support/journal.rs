//! Lines of a stream as they come, kept, and waited for by event.
//!
//! Invariant: no wait outlives `DEADLINE`, or the end of the stream, whichever is first.
//! Invariant: at most `LINES_MAX` lines are kept; what a stream says beyond that is not seen.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take to happen; generous, because a busy machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(60);
const LINES_MAX: usize = 5_000_000;

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    /// What came after the last end of a line before a stream ended: a line that was cut.
    cut: String,
    feeds: usize,
}

/// What a stream, or several in turn, have said so far.
#[derive(Debug)]
pub struct Journal {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

impl Journal {
    /// An empty journal; `name` is what failures call it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), state: Mutex::default(), changed: Condvar::new() })
    }

    /// Reads `stream` to its end on a thread; joining the handle waits for that end.
    pub fn feed(self: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        self.lock().feeds += 1;
        let journal = Arc::clone(self);
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(stream.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let whole = line.pop_if(|last| *last == b'\n').is_some();
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                let mut state = journal.lock();
                if !whole {
                    state.cut = text;
                } else if state.lines.len() < LINES_MAX {
                    state.lines.push(text);
                }
                drop(state);
                journal.changed.notify_all();
            }
            journal.lock().feeds -= 1;
            journal.changed.notify_all();
        })
    }

    /// How many whole lines there are by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Whether nothing was said yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of every whole line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Everything so far as one text, with a line that was cut in the end.
    #[must_use]
    pub fn text(&self) -> String {
        let state = self.lock();
        let mut text: String = state.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        text += &state.cut;
        text
    }

    /// Waits until `found` sees what it looks for in the lines after the first `from`.
    #[track_caller]
    pub fn wait<T>(&self, from: usize, what: &str, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let answer = self.watch(from, |lines, ended| match found(lines) {
            Some(answer) => Some(Ok(answer)),
            None => ended.then_some(Err("it ended")),
        });
        match answer.unwrap_or(Err("time is up")) {
            Ok(answer) => answer,
            Err(why) => panic!("{}: waited for {what}, but {why}; last lines:\n{}", self.name, self.tail()),
        }
    }

    /// Waits for a line that contains `text` among those after the first `from`, and returns it.
    #[track_caller]
    pub fn wait_line(&self, from: usize, text: &str) -> String {
        self.wait(from, &format!("a line with `{text}`"), |lines| {
            lines.iter().find(|l| l.contains(text)).cloned()
        })
    }

    /// Waits for PostgreSQL's word that it takes connections, read-only ones at least; false if it ended instead.
    #[must_use]
    pub fn wait_ready(&self, from: usize) -> bool {
        let ready = |lines: &[String]| lines.iter().any(|l| l.contains("ready to accept"));
        self.watch(from, |lines, ended| if ready(lines) { Some(true) } else { ended.then_some(false) })
            .unwrap_or(false)
    }

    /// Waits for the end of everything that feeds this journal.
    #[track_caller]
    pub fn wait_end(&self) {
        let ended = self.watch(0, |_, ended| ended.then_some(()));
        assert!(ended.is_some(), "{} did not end in time; last lines:\n{}", self.name, self.tail());
    }

    /// Shows `look` the lines after the first `from`, and whether the stream has ended, at every change,
    /// until it has an answer; `None` once time is up.
    fn watch<T>(&self, from: usize, mut look: impl FnMut(&[String], bool) -> Option<T>) -> Option<T> {
        let end = Instant::now() + DEADLINE;
        let mut state = self.lock();
        loop {
            let ended = state.feeds == 0;
            if let Some(answer) = look(state.lines.get(from..).unwrap_or_default(), ended) {
                return Some(answer);
            }
            let left = end.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tail(&self) -> String {
        let state = self.lock();
        let last = state.lines.get(state.lines.len().saturating_sub(30)..).unwrap_or_default();
        format!("{}\n{}", last.join("\n"), state.cut)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
