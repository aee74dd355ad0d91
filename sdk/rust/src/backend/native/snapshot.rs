//! A script of batches.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::{Batch, Error, Result};

thread_local! {
    static SCRIPT: RefCell<VecDeque<Result<Vec<Batch>>>> = const { RefCell::new(VecDeque::new()) };
}

/// A reading; it remembers what it was opened with.
#[derive(Debug)]
pub(crate) struct Reading {
    options: String,
}

pub(crate) fn script(answers: impl IntoIterator<Item = Result<Vec<Batch>>>) {
    SCRIPT.with_borrow_mut(|script| script.extend(answers));
}

pub(crate) async fn open(_: String, options: String) -> Result<Reading> {
    Ok(Reading { options })
}

impl Reading {
    pub(crate) async fn next(&self) -> Result<Vec<Batch>> {
        let next = SCRIPT.with_borrow_mut(VecDeque::pop_front);
        next.unwrap_or_else(|| Err(Error::end("the script is over")))
    }

    pub(crate) fn facts(&self) -> String {
        self.options.clone()
    }
}
