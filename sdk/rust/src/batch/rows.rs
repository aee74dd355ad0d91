//! The bytes of a batch, read in place.

use pgcdc_layout::json::{Encoder, LINES_BYTES_MAX};
use pgcdc_layout::{Event, View};
use serde::de::DeserializeOwned;

use crate::backend::RowBytes;
use crate::{Error, Result};

/// Events in the flat layout. The host has checked them.
#[derive(Debug, Clone)]
pub struct Rows {
    bytes: RowBytes,
}

impl Rows {
    pub(crate) fn new(bytes: RowBytes) -> Self {
        Self { bytes }
    }

    /// The events, relations and types.
    pub fn view(&self) -> View<'_> {
        View::of_valid(&self.bytes)
    }

    /// The events in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        self.view().events()
    }

    /// The events as their JSON envelopes, read into a type of yours or into `config::Json`. Convenient, and ten
    /// times the cost of reading the columns in place.
    pub fn envelopes<T: DeserializeOwned>(&self) -> impl Iterator<Item = Result<T>> {
        let mut encoder = Encoder::new(&self.view(), LINES_BYTES_MAX);
        self.events().map(move |event| {
            let mut line = Vec::new();
            encoder.event(&mut line, &event).map_err(Error::too_large)?;
            Ok(serde_json::from_slice(&line)?)
        })
    }

    /// The bytes, to be rewritten.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
