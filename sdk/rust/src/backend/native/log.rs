//! What was logged.

use std::cell::RefCell;

use crate::log::Level;

/// Level, message, fields.
pub(crate) type Line = (Level, String, Vec<(String, String)>);

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn write(level: Level, message: &str, fields: &[(String, String)]) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned(), fields.to_vec())));
}

pub(crate) fn take() -> Vec<Line> {
    LINES.take()
}
