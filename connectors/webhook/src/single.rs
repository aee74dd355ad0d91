//! One event a request, several requests under way.

use futures_util::stream::{self, StreamExt};
use pgcdc_sdk::http::Request;
use pgcdc_sdk::layout::Event;
use pgcdc_sdk::sink::Failure;
use pgcdc_sdk::{Batch, Encoding, Error, Result};

use crate::order::Ticket;
use crate::{Webhook, answer, headers, key};

/// How many events of a batch are looked at for each request that may be under way: rows that wait for
/// themselves do not keep others from going.
const WINDOW: usize = 8;

/// Posts every event of a batch; what failed, in the order of the events.
pub(crate) async fn post(webhook: &Webhook, batch: &Batch) -> Result<Vec<Failure>> {
    let rows = batch.read()?;
    let events = || rows.view().events();
    let tickets: Vec<Ticket> = events().map(|event| webhook.order.enter(key::of(&event))).collect();
    let posts = events().zip(&tickets).map(|(event, ticket)| async move {
        let done = post_one(webhook, batch, event, ticket).await;
        ticket.settle(done.is_ok());
        done.err().map(|error| Failure { index: event.index(), error })
    });
    let window = WINDOW * webhook.options.in_flight as usize;
    let done: Vec<Option<Failure>> = stream::iter(posts).buffer_unordered(window).collect().await;
    webhook.order.leave(&tickets);
    let mut failures: Vec<Failure> = done.into_iter().flatten().collect();
    failures.sort_by_key(|failure| failure.index);
    Ok(failures)
}

async fn post_one(webhook: &Webhook, batch: &Batch, event: Event<'_>, ticket: &Ticket) -> Result<()> {
    if !ticket.turn().await {
        return Err(Error::not_tried("an earlier event of the same row failed"));
    }
    let _permit = webhook.permits.take().await;
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
