//! One event a request, several requests under way.
//!
//! Once the endpoint asks for a pause, or as many requests in a row fail as may be under way, no more begin: a server that is down
//! gets no more requests than that at each of the host's attempts.

use std::cell::Cell;

use futures_util::stream::{self, StreamExt};
use pgcdc_sdk::http::Request;
use pgcdc_sdk::layout::Event;
use pgcdc_sdk::sink::Failure;
use pgcdc_sdk::{Batch, Encoding, Error, Result};

use crate::order::Ticket;
use crate::{Webhook, answer, headers, key};

/// The code of what was left for later.
const NOT_TRIED: &str = "not-tried";

/// How many events of a batch are looked at for each request that may be under way: rows that wait for
/// themselves do not keep others from going.
const WINDOW: usize = 8;

/// Posts every event of a batch; what failed, in the order of the events.
pub(crate) async fn post(webhook: &Webhook, batch: &Batch) -> Result<Vec<Failure>> {
    let rows = batch.read()?;
    let events = || rows.view().events();
    if events().next().is_some_and(|first| !webhook.fence.admits(first.id())) {
        let early = |event: Event<'_>| {
            let error = Error::not_tried("an earlier batch has failed, and is to come first");
            Failure { index: event.index(), error }
        };
        return Ok(events().map(early).collect());
    }
    let tickets: Vec<Ticket> = events().map(|event| webhook.order.enter(key::of(&event))).collect();
    let mood = &Mood { failures: Cell::new(0), failures_max: webhook.options.in_flight };
    let posts = events().zip(&tickets).map(|(event, ticket)| async move {
        let done = post_one(webhook, batch, event, ticket, mood).await;
        mood.note(&done);
        ticket.settle(done.is_ok());
        done.err().map(|error| Failure { index: event.index(), error })
    });
    let window = WINDOW * webhook.options.in_flight as usize;
    let done: Vec<Option<Failure>> = stream::iter(posts).buffer_unordered(window).collect().await;
    webhook.order.leave(&tickets);
    let mut failures: Vec<Failure> = done.into_iter().flatten().collect();
    failures.sort_by_key(|failure| failure.index);
    let again = failures.iter().find(|failure| comes_again(&failure.error));
    if let Some(first) = again.and_then(|failure| rows.view().event(failure.index)) {
        webhook.fence.shut(first.id());
    }
    Ok(failures)
}

/// The host tries again what was not refused for good.
fn comes_again(error: &Error) -> bool {
    !matches!(&*error.code, "rejected" | "invalid" | "too-large" | "unsupported")
}

/// How the endpoint has answered this batch so far.
struct Mood {
    /// In a row.
    failures: Cell<u32>,
    failures_max: u32,
}

impl Mood {
    fn note(&self, done: &Result<()>) {
        match done {
            _ if self.failures.get() == u32::MAX => {}
            Ok(()) => self.failures.set(0),
            Err(error) if error.code == NOT_TRIED => {}
            Err(error) if answer::asks_for_a_pause(error) => self.failures.set(u32::MAX),
            Err(error) if matches!(&*error.code, "unavailable" | "timeout") => {
                self.failures.set(self.failures.get().saturating_add(1));
            }
            // It was looked at and refused.
            Err(_) => self.failures.set(0),
        }
    }

    fn is_bad(&self) -> bool {
        self.failures.get() >= self.failures_max
    }
}

async fn post_one(
    webhook: &Webhook,
    batch: &Batch,
    event: Event<'_>,
    ticket: &Ticket,
    mood: &Mood,
) -> Result<()> {
    if !ticket.turn().await {
        return Err(Error::not_tried("an earlier event of the same row failed"));
    }
    let _permit = webhook.permits.take().await;
    if mood.is_bad() {
        return Err(Error::not_tried("the endpoint does not answer, or asks for a pause"));
    }
    let options = &webhook.options;
    let body = batch.slice(Encoding::Json, event.index()..event.index() + 1);
    let own = vec![
        ("X-PGCDC-Event-ID", headers::uuid(event.id())),
        ("X-PGCDC-Channel", headers::visible(event.channel())),
    ];
    let headers = headers::of(options, "application/json", own, &body).await?;
    let request = Request { headers, ..Request::post(&options.url) };
    answer::read(&request.body(body).timeout(options.timeout).send().await?)
}
