//! What is wrong with bytes that are not a batch.

use core::fmt;

/// The first thing found that makes bytes not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// The field and the rule that it breaks.
    pub what: &'static str,
    /// Where the field is, in bytes from the start of the batch.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid batch (layout version 1): {}, at byte {}", self.what, self.at)
    }
}

impl core::error::Error for Malformed {}
