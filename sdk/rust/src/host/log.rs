//! Log lines, at a bounded rate; the host adds who speaks. Never row values or secrets.

use std::fmt::Display;

use crate::backend;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Needs somebody.
    Error,
}

/// A lower-case fact and its particulars.
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    backend::log::write(level, message, &fields);
}

macro_rules! levels {
    ($($(#[$meta:meta])* $name:ident $level:ident;)*) => {
        $(
            $(#[$meta])*
            pub fn $name(message: &str, fields: &[(&str, &dyn Display)]) {
                write(Level::$level, message, fields);
            }
        )*
    };
}

levels! {
    /// For whoever looks for a fault.
    debug Debug;
    /// Worth knowing.
    info Info;
    /// Worth a look.
    warn Warn;
    /// Needs somebody.
    error Error;
}
