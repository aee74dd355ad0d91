//! What an opened connector asks of the host.

use std::time::Duration;

/// The answer to `open`. What is not said is the host's to choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    members: Vec<(&'static str, u64)>,
}

impl Facts {
    /// No wishes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Call `flush` when what is held is this old.
    #[must_use]
    pub fn flush_after(self, age: Duration) -> Self {
        self.with("flush-after-ms", u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }

    /// Call `flush` when this many bytes are held.
    #[must_use]
    pub fn flush_bytes(self, bytes: u64) -> Self {
        self.with("flush-bytes", bytes)
    }

    /// So many calls of `write` may be under way at once; 1 if not said.
    #[must_use]
    pub fn concurrency(self, calls: u32) -> Self {
        self.with("concurrency", u64::from(calls))
    }

    /// Of a source: wait that long before asking again after an empty list. So a source that polls never has to wait
    /// itself, and is free to be told what is settled.
    #[must_use]
    pub fn ask_again_after(self, pause: Duration) -> Self {
        self.with("ask-again-after-ms", u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
    }

    fn with(mut self, name: &'static str, value: u64) -> Self {
        self.members.retain(|(known, _)| *known != name);
        self.members.push((name, value));
        self
    }

    /// As the contract has it: a JSON object, or nothing.
    pub fn to_json(&self) -> String {
        if self.members.is_empty() {
            return String::new();
        }
        let members: Vec<String> =
            self.members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}
