//! One failure, as an operator reads it.
//!
//! The code decides what the host does next; the message says what happened and what to do about it. Row
//! values and secrets belong in neither.

use std::fmt::{self, Display};
use std::time::Duration;

/// What every fallible function of a connector answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A code, a sentence, and particulars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// One of the constructors' names, in kebab case; the host takes any other for `unavailable`.
    pub code: String,
    /// A sentence for the operator.
    pub message: String,
    /// Particulars: names and values.
    pub context: Vec<(String, String)>,
    /// How long to wait before the next attempt; milliseconds.
    pub retry_after_ms: Option<u64>,
}

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal;)*) => {
        $(
            $(#[$meta])*
            pub fn $name(message: impl Display) -> Self {
                Self::new($code, message)
            }
        )*
    };
}

impl Error {
    /// An error of any code.
    pub fn new(code: &str, message: impl Display) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
            context: Vec::new(),
            retry_after_ms: None,
        }
    }

    codes! {
        /// The other side is not there now: tried again.
        unavailable = "unavailable";
        /// No answer in time; whether it took effect is unknown: tried again.
        timeout = "timeout";
        /// The other side asks for less: tried again, later.
        throttled = "throttled";
        /// The other side refuses this event for good: dead-lettered.
        rejected = "rejected";
        /// Malformed: no attempt will ever succeed.
        invalid = "invalid";
        /// Over a limit of size.
        too_large = "too-large";
        /// Not something that this connector does.
        unsupported = "unsupported";
        /// Not granted, or forbidden by the other side.
        denied = "denied";
        /// The other side does not know who we are.
        unauthenticated = "unauthenticated";
        /// The configuration cannot work.
        misconfigured = "misconfigured";
        /// What is asked for was there once and is lost.
        gone = "gone";
        /// An earlier event of the same row failed: this one waits for it.
        not_tried = "not-tried";
        /// Somebody else was faster.
        conflict = "conflict";
        /// A source that has nothing more to say, ever.
        end = "end";
    }

    /// The same, with a particular. Not for row values or secrets.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.context.push((name.to_owned(), value.to_string()));
        self
    }

    /// A particular, by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.context.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same, not to be tried again before `wait` is over.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        for (name, value) in &self.context {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

macro_rules! from {
    ($($error:ty => $code:literal;)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::new($code, error)
            }
        })*
    };
}

from! {
    std::io::Error => "unavailable";
    std::str::Utf8Error => "invalid";
    std::string::FromUtf8Error => "invalid";
    std::num::ParseIntError => "invalid";
    std::num::ParseFloatError => "invalid";
    std::num::TryFromIntError => "invalid";
    fmt::Error => "invalid";
    serde_json::Error => "invalid";
    pgcdc_layout::Malformed => "invalid";
    pgcdc_layout::WriteError => "invalid";
}
