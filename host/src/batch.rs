//! A batch of changes as everybody here shares it: immutable bytes in the flat layout, checked once.
//!
//! Invariant: the bytes of a [`Batch`] passed `View::parse`, whoever wrote them; its JSON is encoded at most once,
//! however many lanes and calls ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::order_key::OrderKey;
use pgcdc_layout::{View, json, rewrite};
use tokio::sync::OnceCell;

use crate::source::{Origin, Part};
use crate::transform::Derived;

/// The JSON of one batch may have this many bytes.
const JSON_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why something cannot be had of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Malformed(String),
    #[error("no encoding `{0}`: json-lines, json-array or json")]
    Encoding(String),
    #[error("the encoding `json` is of exactly one event, not {0}")]
    NotOne(u32),
    #[error("{0}")]
    TooLong(String),
}

struct Lines {
    bytes: Bytes,
    ends: Vec<u32>,
}

type Memo = Arc<OnceCell<Arc<Derived>>>;

/// Events that travel together.
pub(crate) struct Batch {
    bytes: Bytes,
    events: u32,
    lines: OnceLock<Result<Lines, Error>>,
    /// What chains of transforms have made of it, by the chain's number, so that lanes with the same one share it.
    derived: Mutex<HashMap<u32, Memo>>,
    /// For batches from the WAL.
    origin: Option<Origin>,
}

impl Batch {
    /// Bytes that the host itself wrote, with the number of their events.
    pub(crate) fn trusted(bytes: Vec<u8>) -> Batch {
        let events = View::of_valid(&bytes).event_count() as u32;
        Batch { bytes: bytes.into(), events, lines: OnceLock::new(), derived: Mutex::default(), origin: None }
    }

    /// A batch that the host decoded from the WAL.
    pub(crate) fn from_wal(bytes: Vec<u8>, origin: Origin) -> Batch {
        Batch { origin: Some(origin), ..Batch::trusted(bytes) }
    }

    /// Bytes from a guest: everything is checked.
    pub(crate) fn from_guest(bytes: Vec<u8>) -> Result<Batch, Error> {
        View::parse(&bytes).map_err(|error| Error::Malformed(error.to_string()))?;
        Ok(Batch::trusted(bytes))
    }

    /// A batch that was one before, with these bytes.
    pub(crate) fn restored(bytes: Bytes, origin: Option<Origin>) -> Batch {
        let events = View::of_valid(&bytes).event_count() as u32;
        Batch { bytes, events, lines: OnceLock::new(), derived: Mutex::default(), origin }
    }

    /// The flat layout.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::of_valid(&self.bytes)
    }

    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The cell for what a chain of transforms makes of this batch.
    pub(crate) fn memo(&self, chain: u32) -> Memo {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(derived.entry(chain).or_default())
    }

    /// Where it stands in the WAL, if it is from there.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The part that is not covered, refused changes included; none if nothing is left.
    pub(crate) fn without(&self, had: &LaneMark) -> Result<Option<Batch>, Error> {
        let view = self.view();
        let mut bytes = Vec::new();
        let mut is_new = |index: &u32| {
            bytes.clear();
            view.order_key(*index, &mut bytes);
            !OrderKey::new(&bytes).is_ok_and(|key| had.covers(&key))
        };
        let indexes: Vec<u32> = (0..self.events).filter(&mut is_new).collect();
        let origin = self.origin.as_ref().map(|origin| Origin {
            refused: origin.refused.iter().filter(|r| !had.covers(&r.key.to_order_key())).cloned().collect(),
            // Only batches of the WAL are cut; the number is of no use to a part.
            part: Part::Wal(0),
            ..*origin
        });
        let nothing_refused = origin.as_ref().is_none_or(|origin| origin.refused.is_empty());
        if indexes.is_empty() && nothing_refused {
            return Ok(None);
        }
        Ok(Some(Batch { origin, ..self.select(&indexes)? }))
    }

    /// How long ago the last event was committed, or detected; seconds.
    pub(crate) fn age_s(&self) -> Option<f64> {
        let view = self.view();
        let last = self.events.checked_sub(1).and_then(|last| view.event(last));
        let committed = last.and_then(|event| event.transaction()).and_then(|tx| tx.commit_us());
        let at_us = committed.unwrap_or_else(|| view.detected_us());
        Some((crate::now_us() - at_us) as f64 / 1e6)
    }

    fn clip(&self, start: u32, n: u32) -> (u32, u32) {
        let start = start.min(self.events);
        (start, n.min(self.events - start))
    }

    /// A part in the flat layout; the whole is shared, not copied.
    pub(crate) fn rows(&self, start: u32, n: u32) -> Result<Bytes, Error> {
        let (start, n) = self.clip(start, n);
        if n == self.events {
            return Ok(self.bytes.clone());
        }
        rewrite::slice(&self.view(), start, n).map(Bytes::from).map_err(|e| Error::Malformed(e.to_string()))
    }

    /// The events at these ascending indexes.
    pub(crate) fn select(&self, indexes: &[u32]) -> Result<Batch, Error> {
        let bytes = rewrite::select(&self.view(), indexes).map_err(|e| Error::Malformed(e.to_string()))?;
        Ok(Batch::trusted(bytes))
    }

    /// The same as a transform's output: each event names its index here as its input.
    pub(crate) fn pick(&self, indexes: &[u32]) -> Result<Batch, Error> {
        let bytes = rewrite::pick(&self.view(), indexes).map_err(|e| Error::Malformed(e.to_string()))?;
        Ok(Batch::trusted(bytes))
    }

    fn lines(&self) -> Result<&Lines, Error> {
        let encoded = self.lines.get_or_init(|| {
            let lines =
                json::lines(&self.view(), JSON_BYTES_MAX).map_err(|e| Error::TooLong(e.to_string()))?;
            Ok(Lines { bytes: lines.bytes.into(), ends: lines.ends })
        });
        encoded.as_ref().map_err(Clone::clone)
    }

    /// A part as JSON envelopes, one a line.
    pub(crate) fn json_lines(&self, start: u32, n: u32) -> Result<Bytes, Error> {
        let (start, n) = self.clip(start, n);
        let lines = self.lines()?;
        let end_of = |index: u32| index.checked_sub(1).map_or(0, |i| lines.ends[i as usize] as usize);
        Ok(lines.bytes.slice(end_of(start)..end_of(start + n)))
    }

    /// A part in a named encoding, as chunks.
    pub(crate) fn encode(&self, encoding: &str, start: u32, n: u32) -> Result<Vec<Bytes>, Error> {
        match encoding {
            "json-lines" => Ok(vec![self.json_lines(start, n)?]),
            "json" => {
                let (start, n) = self.clip(start, n);
                if n != 1 {
                    return Err(Error::NotOne(n));
                }
                let line = self.json_lines(start, 1)?;
                Ok(vec![line.slice(..line.len() - 1)])
            }
            "json-array" => self.json_array(start, n).map(|array| vec![array.into()]),
            _ => Err(Error::Encoding(encoding.to_string())),
        }
    }

    fn json_array(&self, start: u32, n: u32) -> Result<Vec<u8>, Error> {
        let (start, n) = self.clip(start, n);
        let mut array = Vec::with_capacity(self.json_lines(start, n)?.len() + 2);
        array.push(b'[');
        for index in start..start + n {
            let line = self.json_lines(index, 1)?;
            array.extend_from_slice(&line[..line.len() - 1]);
            array.push(b',');
        }
        if n > 0 {
            array.pop();
        }
        array.push(b']');
        Ok(array)
    }
}
