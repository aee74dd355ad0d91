//! Flags for what the host does around each sink: `--webhook-retries`, `--webhook-on-full`, …
//! Every sink has the same, because the host owns them.

use crate::manifest::model::{OnFull, Policy};
use crate::manifest::quantity;

/// One of the host's settings around a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFlag {
    /// Attempts after the first.
    Retries,
    /// For one attempt.
    Timeout,
    /// What a full lane does.
    OnFull,
    /// Bytes on the disk for a full lane.
    Overflow,
}

impl PolicyFlag {
    /// All of them, with the end of the flag's name, the kind of value, and help.
    pub(super) const ALL: [(PolicyFlag, &'static str, &'static str, &'static str); 4] = [
        (PolicyFlag::Retries, "retries", "N", "Attempts after the first"),
        (PolicyFlag::Timeout, "timeout", "DURATION", "For one attempt"),
        (PolicyFlag::OnFull, "on-full", "WORD", "What a full lane does: block, shed or fail"),
        (PolicyFlag::Overflow, "overflow", "SIZE", "Space on the disk for a full lane; 0 for none"),
    ];

    /// Sets it. The error says what is wanted.
    pub(super) fn set(self, policy: &mut Policy, text: &str) -> Result<(), &'static str> {
        const COUNT: &str = "a whole number";
        const TIME: &str = "a duration of more than 0, such as 10s";
        let time = || quantity::duration(text).filter(|time| !time.is_zero()).ok_or(TIME);
        match self {
            PolicyFlag::Retries => policy.retries = Some(text.parse().map_err(|_| COUNT)?),
            PolicyFlag::Timeout => policy.timeout = Some(time()?),
            PolicyFlag::OnFull => {
                policy.on_full = Some(OnFull::from_word(text).ok_or("block, shed or fail")?);
            }
            PolicyFlag::Overflow => {
                policy.overflow_bytes =
                    Some(quantity::bytes(text).ok_or("a size such as 1GiB, or 0 for none")?);
            }
        }
        Ok(())
    }
}
