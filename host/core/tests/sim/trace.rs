//! What happened, step by step: a hash of all of it, and the last lines for people.

use std::collections::VecDeque;
use std::fmt::{Arguments, Write as _};
use std::hash::{DefaultHasher, Hasher as _};

const LINES_KEPT: usize = 60;

#[derive(Default)]
pub(crate) struct Trace {
    hash: DefaultHasher,
    lines: VecDeque<String>,
    pub(crate) step: u64,
}

impl Trace {
    pub(crate) fn note(&mut self, what: Arguments<'_>) {
        let mut line = match self.lines.len() {
            LINES_KEPT => self.lines.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        line.clear();
        let _ = write!(line, "{:>6} {what}", self.step);
        self.hash.write(line.as_bytes());
        self.lines.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn tail(&self) -> String {
        self.lines.iter().fold(String::new(), |all, line| all + line + "\n")
    }
}
