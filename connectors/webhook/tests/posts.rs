//! Events are posted, signed, sorted by answer, and the rows keep their order.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::RefCell;
use std::rc::Rc;

use pgcdc_sdk::batch::Part;
use pgcdc_sdk::http::{Request, Response};
use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, Context, Sink, testing};
use webhook::Webhook;

const T: testing::Table<'_> = testing::Table { name: "t", columns: &[("id", Kind::Int), ("n", Kind::Int)] };

type Seen = Rc<RefCell<Vec<Request<'static>>>>;

/// Answers with the status that a body's marker asks for, 204 without one.
fn serve(answer: impl Fn(&str) -> u16 + 'static) -> Seen {
    let seen = Seen::default();
    let log = Rc::clone(&seen);
    testing::serve_http(move |request| {
        let status = answer(&body(&request));
        log.borrow_mut().push(request);
        std::future::ready(Ok(Response { status, ..Response::default() }))
    });
    seen
}

fn body(request: &Request<'_>) -> String {
    match request.body.as_slice() {
        [Part::Bytes(bytes)] => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn header<'r>(request: &'r Request<'_>, name: &str) -> Vec<&'r str> {
    let found = request.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str()).collect()
}

fn batch(rows: &[(&str, &str)]) -> Batch {
    let rows: Vec<[Option<&str>; 2]> = rows.iter().map(|(id, n)| [Some(*id), Some(*n)]).collect();
    let changes: Vec<_> = rows.iter().map(|row| (Op::Insert, None, Some(row.as_slice()))).collect();
    T.batch(&changes).unwrap()
}

fn write(config: &str, batch: &Batch) -> Outcome {
    testing::block_on(async {
        let sink = Webhook::open(testing::config(config).unwrap(), &Context::default()).await.unwrap();
        sink.write(batch, &WriteContext::default()).await.unwrap()
    })
}

fn codes(outcome: Outcome) -> Vec<(u32, String)> {
    match outcome {
        Outcome::Failed(failures) => {
            failures.into_iter().map(|failure| (failure.index, failure.error.code)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_event_a_post_with_its_headers() {
    testing::set_secret("hook", b"key");
    let seen = serve(|_| 204);
    let config = r#"{"url":"url","signing_key":"hook","headers":{"user-agent":"mine","X-A":"b"}}"#;
    assert_eq!(write(config, &batch(&[("1", "1"), ("2", "2")])), Outcome::Durable);
    let seen = seen.borrow();
    assert_eq!(seen.len(), 2);
    let request = &seen[0];
    assert_eq!(
        (request.endpoint.as_str(), request.method.as_str(), request.timeout_ms),
        ("url", "POST", 10_000)
    );
    assert_eq!(header(request, "X-PGCDC-Event-ID"), ["00000000-0000-0000-0000-000000000001"]);
    assert_eq!(header(request, "X-PGCDC-Channel"), ["pgcdc:t"]);
    assert_eq!(header(request, "Content-Type"), ["application/json"]);
    assert_eq!(header(request, "User-Agent"), ["mine"]);
    assert_eq!(header(request, "X-A"), ["b"]);
    let signature = header(request, "X-PGCDC-Signature");
    assert!(signature[0].starts_with("sha256=") && signature[0].len() == 7 + 64);
    assert!(body(request).starts_with(r#"{"id":"00000000-0000-0000-0000-000000000001","channel":"pgcdc:t""#));
    assert!(!body(request).ends_with('\n'));
}

#[test]
fn a_refused_event_holds_up_its_row_and_no_other() {
    serve(|body| if body.contains(r#""n":13"#) { 422 } else { 200 });
    let batch = batch(&[("1", "1"), ("2", "13"), ("1", "3"), ("2", "4"), ("3", "5")]);
    assert_eq!(codes(write(r#"{"url":"url"}"#, &batch)), [(1, "rejected".into()), (3, "not-tried".into())]);
}

#[test]
fn many_events_a_post() {
    let seen = serve(|_| 200);
    let config = r#"{"url":"url","batch":"json_array","batch_events_max":2}"#;
    assert_eq!(write(config, &batch(&[("1", "1"), ("2", "2"), ("3", "3")])), Outcome::Durable);
    let bodies: Vec<String> = seen.borrow().iter().map(body).collect();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[0].starts_with('[') && bodies[0].ends_with(']') && bodies[0].contains("},{"));
    assert_eq!(header(&seen.borrow()[0], "X-PGCDC-Event-Count"), ["2"]);
    let seen = serve(|_| 200);
    write(r#"{"url":"url","batch":"ndjson"}"#, &batch(&[("1", "1"), ("2", "2")]));
    assert_eq!(body(&seen.borrow()[0]).lines().count(), 2);
    let seen = serve(|_| 200);
    write(r#"{"url":"url","batch":"ndjson","batch_bytes_max":10}"#, &batch(&[("1", "1"), ("2", "2")]));
    assert_eq!(seen.borrow().len(), 2, "an event over the limit has a request of its own");
}

#[test]
fn the_event_at_fault_is_found_by_halves() {
    let seen = serve(|body| if body.contains(r#""n":13"#) { 400 } else { 200 });
    let rows: Vec<(String, String)> =
        (0..16).map(|n| (n.to_string(), if n == 5 { 13 } else { n }.to_string())).collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(id, n)| (id.as_str(), n.as_str())).collect();
    let failed = codes(write(r#"{"url":"url","batch":"json_array"}"#, &batch(&rows)));
    assert_eq!(failed[0], (5, "rejected".into()));
    assert!(
        failed[1..]
            .iter()
            .enumerate()
            .all(|(n, (index, code))| *index as usize == n + 6 && code == "not-tried")
    );
    assert!(seen.borrow().len() <= 6);
}

#[test]
fn a_status_that_is_not_about_the_content_is_not_halved() {
    let seen = serve(|_| 503);
    let failed = codes(write(r#"{"url":"url","batch":"ndjson"}"#, &batch(&[("1", "1"), ("2", "2")])));
    assert_eq!(failed, [(0, "unavailable".into()), (1, "unavailable".into())]);
    assert_eq!(seen.borrow().len(), 1);
}

#[test]
fn what_was_sent_before_a_failure_was_known_does_not_overtake_it() {
    let down = Rc::new(std::cell::Cell::new(true));
    let is_down = Rc::clone(&down);
    let seen = serve(move |body| if is_down.get() && body.contains("111") { 503 } else { 204 });
    // Ids are counted within a batch here, so the event that fails is not the first.
    let (older, newer) = (batch(&[("2", "0"), ("1", "111")]), batch(&[("1", "222")]));
    testing::block_on(async {
        let config = testing::config("{\"url\":\"hook\"}").unwrap();
        let sink = Webhook::open(config, &Context::default()).await.unwrap();
        let context = WriteContext::default();
        assert_eq!(codes(sink.write(&older, &context).await.unwrap()), [(1, "unavailable".to_owned())]);
        down.set(false);
        assert_eq!(codes(sink.write(&newer, &context).await.unwrap()), [(0, "not-tried".to_owned())]);
        assert_eq!(seen.borrow().len(), 2, "the newer one was not posted");
        for batch in [&older, &newer] {
            assert_eq!(sink.write(batch, &context).await.unwrap(), Outcome::Durable);
        }
    });
    assert_eq!(seen.borrow().len(), 5);
}
