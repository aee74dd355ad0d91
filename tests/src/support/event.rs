//! One envelope as a consumer sees it.

use super::exact::Exact;

/// An envelope line, parsed.
#[derive(Clone, Debug)]
pub struct Event {
    /// Same id, same source image.
    pub id: String,
    /// e.g. `pgcdc:orders`
    pub channel: String,
    /// e.g. `INSERT`
    pub operation: String,
    /// Whatever is under `payload`.
    pub payload: Exact,
    /// The whole envelope.
    pub envelope: Exact,
}

impl Event {
    /// Reads an envelope; anything else fails the test.
    #[must_use]
    #[track_caller]
    pub fn parse(line: &str) -> Self {
        let envelope = Exact::parse(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line:?}"));
        let text = |key: &str| match envelope.get(key).and_then(Exact::text) {
            Some(text) => text.to_owned(),
            None => panic!("an envelope without a text `{key}`: {line}"),
        };
        let payload = envelope.get("payload").cloned().unwrap_or_else(|| panic!("no `payload`: {line}"));
        Self { id: text("id"), channel: text("channel"), operation: text("operation"), payload, envelope }
    }

    /// Every line as an envelope.
    #[must_use]
    #[track_caller]
    pub fn parse_all<S: AsRef<str>>(lines: &[S]) -> Vec<Self> {
        lines.iter().map(|line| Self::parse(line.as_ref())).collect()
    }

    /// The table of a row event.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.payload.get("table").and_then(Exact::text)
    }

    /// The row: after the change, or the deleted one.
    #[must_use]
    pub fn row(&self) -> &Exact {
        self.payload.get("row").unwrap_or(&Exact::Null)
    }

    /// The row before an update.
    #[must_use]
    pub fn old(&self) -> &Exact {
        self.payload.get("old").unwrap_or(&Exact::Null)
    }

    /// A column of the row.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Exact> {
        self.row().get(name)
    }
}
