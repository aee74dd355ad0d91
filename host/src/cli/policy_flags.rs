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
}

impl PolicyFlag {
    /// All of them, with the end of the flag's name, the kind of value, and help.
    pub(super) const ALL: [(PolicyFlag, &'static str, &'static str, &'static str); 3] = [
        (PolicyFlag::Retries, "retries", "N", "Attempts after the first"),
        (PolicyFlag::Timeout, "timeout", "DURATION", "For one attempt"),
        (PolicyFlag::OnFull, "on-full", "WORD", "What a full lane does: block or drop"),
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
                let choices = [OnFull::Block, OnFull::Drop];
                let choice = choices.into_iter().find(|choice| choice.as_str() == text);
                policy.on_full = Some(choice.ok_or("block or drop")?);
            }
        }
        Ok(())
    }
}
