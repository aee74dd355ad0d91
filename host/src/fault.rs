//! Places in the program that can be told to fail, for `make certify`, and sabotage for the checker to find.
//!
//! Invariant: without the feature `faults`, which nothing turns on by default, every line of this room is empty: what is
//! shipped has neither the places nor their names.
//!
//! A place is one line: `fault::point!` where a process can end or be slow, `fault::io!` where an error of the system can
//! come from, `fault::fails!` where the caller makes an error of its own; `fault::pause!` is a `fails!` in a task, which can hang
//! for good without holding up anything else. `fault/told.rs` lists them.

#[cfg(feature = "faults")]
mod sabotage;
#[cfg(feature = "faults")]
mod split;
#[cfg(feature = "faults")]
mod told;

#[cfg(feature = "faults")]
pub(crate) use sabotage::{confirm_early, furthest, settled_early, whole_transaction};
#[cfg(feature = "faults")]
pub(crate) use split::{done, goes_on};
#[cfg(feature = "faults")]
pub(crate) use told::{command, pass, pass_or_hang, send};

/// Whether this place is to report an error, now.
macro_rules! fails {
    ($place:literal) => {{
        #[cfg(feature = "faults")]
        {
            $crate::fault::pass($place)
        }
        #[cfg(not(feature = "faults"))]
        {
            false
        }
    }};
}

/// A place that cannot fail, but where the process may end or be slow.
macro_rules! point {
    ($place:literal) => {
        #[cfg(feature = "faults")]
        let _ = $crate::fault::pass($place);
    };
}

/// Whether this place, in a task, is to report an error, now; or it never comes back.
macro_rules! pause {
    ($place:literal) => {{
        #[cfg(feature = "faults")]
        {
            $crate::fault::pass_or_hang($place).await
        }
        #[cfg(not(feature = "faults"))]
        {
            false
        }
    }};
}

/// A place in a function that returns `std::io::Result`.
macro_rules! io {
    ($place:literal) => {
        #[cfg(feature = "faults")]
        if $crate::fault::pass($place) {
            return Err(std::io::Error::other("a fault that was asked for"));
        }
    };
}

pub(crate) use {fails, io, pause, point};
