//! What is under way is not read again, and goes from the table when it is settled; a server that is away changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Waker};

use outbox::Outbox;
use pgcdc_sdk::postgres::Rows;
use pgcdc_sdk::{Context, Error, Result, Source, testing};

/// A table of one column that counts, and what is done to it.
#[derive(Default)]
struct Server {
    rows: RefCell<BTreeMap<u32, String>>,
    /// Another session has the lock.
    locked: Cell<bool>,
    away: Cell<bool>,
}

fn cells(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

impl Server {
    fn answer(&self, sql: &str, params: &[Option<String>]) -> Result<Rows> {
        if self.away.get() {
            return Err(Error::unavailable("the server is away"));
        }
        let rows = if sql.contains("from pg_class") {
            let column = |name: &str, ty: &str| cells(&["7", "public", "pgcdc_outbox", "db", name, ty]);
            ["id", "channel", "operation", "payload", "key", "seq"].map(|name| column(name, "text")).to_vec()
        } else if sql.starts_with("delete") {
            let ids: Vec<String> = serde_json::from_str(params[0].as_deref().unwrap()).unwrap();
            self.rows.borrow_mut().retain(|_, id| !ids.contains(id));
            Vec::new()
        } else {
            self.read(params)
        };
        Ok(Rows { rows, ..Rows::default() })
    }

    fn read(&self, params: &[Option<String>]) -> Vec<Vec<Option<String>>> {
        let list =
            |at: usize| -> Vec<String> { serde_json::from_str(params[at].as_deref().unwrap()).unwrap() };
        let (parts, taken) = (list(0), list(1));
        let held = (!self.locked.get()).to_string();
        let mut found: Vec<_> = parts
            .iter()
            .map(|part| [vec![None], cells(&[part.as_str(), held.as_str()]), vec![None; 5]].concat())
            .collect();
        if !self.locked.get() {
            let rows = self.rows.borrow();
            let free = rows.iter().filter(|(_, id)| !taken.contains(id));
            let limit: usize = params[2].as_deref().unwrap().parse().unwrap();
            found.extend(free.take(limit).enumerate().map(|(at, (n, id))| {
                let (at, payload) = ((at + 1).to_string(), format!("{{\"n\":{n}}}"));
                [
                    cells(&[at.as_str(), id.as_str(), "ch", "op", payload.as_str(), "k"]),
                    vec![None, Some("7".into())],
                ]
                .concat()
            }));
        }
        found
    }
}

fn open(rows: u32) -> (Rc<Server>, Outbox) {
    let server = Rc::new(Server::default());
    server.rows.borrow_mut().extend((1..=rows).map(|n| (n, format!("row-{n}"))));
    let answering = Rc::clone(&server);
    testing::serve_postgres(move |sql, params| answering.answer(sql, params));
    let options = testing::config(r#"{"db":"db","batch_size":2}"#).unwrap();
    (server, testing::block_on(Outbox::open(options, &Context::default())).unwrap())
}

/// The numbers of the rows in what `next` brings.
fn next(outbox: &Outbox) -> Vec<u64> {
    let batches = testing::block_on(outbox.next()).unwrap();
    let printed = batches.iter().flat_map(|batch| testing::printed(batch).unwrap());
    printed.map(|envelope| envelope["payload"]["n"].as_u64().unwrap()).collect()
}

fn settle(outbox: &Outbox, batches: &[u64]) {
    testing::block_on(outbox.settled(batches)).unwrap();
}

fn left(server: &Server) -> Vec<u32> {
    server.rows.borrow().keys().copied().collect()
}

#[test]
fn rows_are_read_once_and_leave_when_they_are_settled_in_whatever_order() {
    let (server, outbox) = open(5);
    assert_eq!([next(&outbox), next(&outbox)], [[1, 2], [3, 4]]);
    assert_eq!(left(&server), [1, 2, 3, 4, 5]);
    settle(&outbox, &[1]);
    assert_eq!(left(&server), [1, 2, 5]);
    assert_eq!(next(&outbox), [5]);
    assert!(next(&outbox).is_empty());
    settle(&outbox, &[0, 2]);
    assert_eq!(left(&server), [0; 0]);
    assert_eq!(testing::metric("events_processed_total"), Some(5.0));
}

#[test]
fn what_could_not_be_removed_is_removed_later_and_not_read_again_meanwhile() {
    let (server, outbox) = open(3);
    assert_eq!(next(&outbox), [1, 2]);
    server.away.set(true);
    settle(&outbox, &[0]);
    assert_eq!(left(&server), [1, 2, 3]);
    assert!(testing::take_logged().iter().any(|(_, line)| line.contains("still in the outbox")));
    assert_eq!(testing::block_on(outbox.next()).unwrap_err().code, "unavailable");
    server.away.set(false);
    assert_eq!(next(&outbox), [3]);
    assert_eq!(left(&server), [3]);
}

#[test]
fn nothing_is_read_while_another_has_the_table() {
    let (server, outbox) = open(1);
    testing::take_logged();
    server.locked.set(true);
    assert!(next(&outbox).is_empty() && next(&outbox).is_empty());
    let waits = testing::take_logged().iter().filter(|(_, line)| line.contains("another pgcdc")).count();
    assert_eq!(waits, 1, "it is said once");
    server.locked.set(false);
    assert_eq!(next(&outbox), [1]);
}

#[test]
fn no_more_is_read_than_may_be_under_way() {
    let (server, outbox) = open(100);
    for _ in 0..20 {
        assert_eq!(next(&outbox).len(), 2);
    }
    let mut context = TaskContext::from_waker(Waker::noop());
    let mut waiting = pin!(outbox.next());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    settle(&outbox, &[7]);
    assert_eq!(left(&server).len(), 98);
    assert!(waiting.as_mut().poll(&mut context).is_ready());
}
