//! What is sent, stored or signed: bytes of the guest's and the host's own bytes of a batch, one after the other.

use std::ops::Range;

use crate::{Batch, Result, backend};

/// The encodings that the host can make of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON envelope a line.
    JsonLines,
    /// One JSON array of envelopes.
    JsonArray,
    /// One JSON envelope: of exactly one event, without a newline.
    Json,
}

/// Events of a batch as bytes in an encoding. What takes a slice reads the host's bytes: nothing is copied
/// through the guest.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    /// Whose events.
    pub batch: &'a Batch,
    /// The host's word for the encoding.
    pub encoding: String,
    /// The first event.
    pub start: u32,
    /// How many.
    pub n: u32,
    /// JSON, for what later encodings have to say; may be empty.
    pub options: String,
}

/// A piece of a body.
#[derive(Debug, Clone)]
pub enum Part<'a> {
    /// The guest's bytes.
    Bytes(Vec<u8>),
    /// The host's.
    Slice(Slice<'a>),
}

/// Bytes for a capability, in parts. An empty one is no body.
#[derive(Debug, Clone, Default)]
pub struct Body<'a> {
    pub(crate) parts: Vec<Part<'a>>,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "json-lines",
            Self::JsonArray => "json-array",
            Self::Json => "json",
        }
    }
}

impl Batch {
    /// Every event, one JSON envelope a line.
    pub fn lines(&self) -> Body<'_> {
        self.slice(Encoding::JsonLines, 0..self.count())
    }

    /// Some events in an encoding.
    pub fn slice(&self, encoding: Encoding, events: Range<u32>) -> Body<'_> {
        let slice = Slice {
            batch: self,
            encoding: encoding.name().to_owned(),
            start: events.start,
            n: events.end.saturating_sub(events.start),
            options: String::new(),
        };
        Body { parts: vec![Part::Slice(slice)] }
    }
}

impl<'a> Body<'a> {
    /// This, and then that.
    #[must_use]
    pub fn then(mut self, next: impl Into<Body<'a>>) -> Self {
        self.parts.extend(next.into().parts);
        self
    }

    /// How many bytes this is.
    ///
    /// # Errors
    ///
    /// `invalid` for `Json` of anything but one event.
    pub fn size(&self) -> Result<u64> {
        backend::batches::size(&self.parts)
    }
}

impl From<Vec<u8>> for Body<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self { parts: vec![Part::Bytes(bytes)] }
    }
}

impl From<String> for Body<'_> {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Body<'_> {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}
