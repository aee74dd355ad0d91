//! The instance of a source that lives now: what it asks of the host, and what it is told.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::component::instance::Instance;

/// A source is never asked again later than that, whatever it wishes.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(3600);
/// So many batches are named in one call.
const NUMBERS_MAX: usize = 4096;

/// See the file's head.
#[derive(Clone)]
pub(crate) struct Living {
    instance: Arc<Instance>,
    /// The bus's number of the first batch that it hands over: it counts its own from 0.
    first: u64,
}

/// What a source asks of the host, in its answer to `open`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Facts {
    /// How long to wait after an empty list; at once if absent.
    ask_again_after_ms: u64,
}

impl Facts {
    pub(super) fn parse(text: &str) -> Result<Facts, String> {
        if text.is_empty() {
            return Ok(Facts::default());
        }
        serde_json::from_str(text).map_err(|e| format!("facts of `open` are not as they should be: {e}"))
    }

    /// How long to wait after an empty list.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(self.ask_again_after_ms).min(ASK_AGAIN_MAX)
    }
}

impl Living {
    pub(super) fn new(instance: Arc<Instance>, first: u64) -> Living {
        Living { instance, first }
    }

    /// Names settled batches, by the bus's numbers, to whoever handed them over. What an earlier instance did is nobody's
    /// any more: it will come again, or has been done with.
    pub(super) async fn tell(&self, settled: &[std::ops::Range<u64>]) {
        let own = settled.iter().flat_map(|range| range.start.max(self.first)..range.end.max(self.first));
        let numbers: Vec<u64> = own.map(|number| number - self.first).collect();
        for some in numbers.chunks(NUMBERS_MAX) {
            if let Err(error) = self.instance.settled(some.to_vec()).await {
                tracing::warn!(%error, "source does not take what is settled; it may come again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_wishes_and_unknown_ones_are_passed_over() {
        assert_eq!(Facts::parse("").unwrap().pause(), Duration::ZERO);
        assert_eq!(
            Facts::parse(r#"{"ask-again-after-ms":500,"x":1}"#).unwrap().pause(),
            Duration::from_millis(500)
        );
        let for_ever = format!("{{\"ask-again-after-ms\":{}}}", u64::MAX);
        assert_eq!(Facts::parse(&for_ever).unwrap().pause(), ASK_AGAIN_MAX);
        assert!(Facts::parse("1").is_err() && Facts::parse(r#"{"ask-again-after-ms":-1}"#).is_err());
    }
}
