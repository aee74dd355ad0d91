//! Many events a request, one request after the other.
//!
//! The first request that fails ends it: what comes after it is not tried, so that the order holds. If what
//! was refused is the content, halves are posted instead, down to the one event that is at fault.

use std::ops::Range;

use pgcdc_sdk::http::{Request, Response};
use pgcdc_sdk::sink::Failure;
use pgcdc_sdk::{Batch, Encoding, Error, Result};

use crate::{Batching, Webhook, answer, headers};

/// Posts a batch; what failed, in the order of the events.
pub(crate) async fn post(webhook: &Webhook, batch: &Batch) -> Result<Vec<Failure>> {
    let mut from = 0;
    // Among the events before this one is the one at fault.
    let mut suspects_end = 0_u32;
    while from < batch.count() {
        let events_max = match suspects_end.saturating_sub(from) {
            0 => webhook.options.batch_events_max,
            suspects => suspects.div_ceil(2),
        };
        let events = next(webhook, batch, from, events_max)?;
        let response = post_some(webhook, batch, events.clone()).await;
        let refused = response.as_ref().is_ok_and(|response| answer::is_about_content(response.status));
        match response.and_then(|response| answer::read(&response)) {
            Ok(()) => from = events.end,
            Err(_) if refused && events.len() > 1 => suspects_end = events.end,
            Err(error) => return Ok(failures(events, batch.count(), &error)),
        }
    }
    Ok(Vec::new())
}

/// Those that were posted in vain, and all behind them.
fn failures(posted: Range<u32>, count: u32, error: &Error) -> Vec<Failure> {
    let behind = posted.end..count;
    let failed = posted.map(|index| Failure { index, error: error.clone() });
    failed
        .chain(behind.map(|index| Failure { index, error: Error::not_tried("an earlier request failed") }))
        .collect()
}

/// The next events that are not too many and not too large.
fn next(webhook: &Webhook, batch: &Batch, from: u32, events_max: u32) -> Result<Range<u32>> {
    let bytes_max = webhook.options.batch_bytes_max.bytes();
    // Lines and an array of the same events differ by one byte.
    let fits = |to: u32| Ok::<bool, Error>(batch.slice(Encoding::JsonLines, from..to).size()? < bytes_max);
    let mut too_many = batch.count().min(from.saturating_add(events_max.max(1)));
    if fits(too_many)? {
        return Ok(from..too_many);
    }
    let mut enough = from + 1;
    while too_many - enough > 1 {
        let middle = enough + (too_many - enough) / 2;
        if fits(middle)? {
            enough = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(from..enough)
}

async fn post_some(webhook: &Webhook, batch: &Batch, events: Range<u32>) -> Result<Response> {
    let options = &webhook.options;
    let (encoding, content_type) = match options.batch {
        Batching::Ndjson => (Encoding::JsonLines, "application/x-ndjson"),
        Batching::None | Batching::JsonArray => (Encoding::JsonArray, "application/json"),
    };
    let own = vec![("X-PGCDC-Event-Count", events.len().to_string())];
    let body = batch.slice(encoding, events);
    let headers = headers::of(options, content_type, own, &body).await?;
    let request = Request { headers, ..Request::post(&options.url) };
    request.body(body).timeout(options.timeout).send().await
}
