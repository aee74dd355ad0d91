//! A script of notifications, and a function for queries.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::bytes_of;
use crate::postgres::{Notification, Param, Rows};
use crate::{Error, Result};

pub(crate) type Server = Rc<dyn Fn(&str, &[Option<String>]) -> Result<Rows>>;

thread_local! {
    static SCRIPT: RefCell<VecDeque<Result<Vec<Notification>>>> = const { RefCell::new(VecDeque::new()) };
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// A session that listens.
#[derive(Debug)]
pub(crate) struct Subscription {
    channels: Vec<String>,
}

pub(crate) fn script(answers: impl IntoIterator<Item = Result<Vec<Notification>>>) {
    SCRIPT.with_borrow_mut(|script| script.extend(answers));
}

pub(crate) fn serve(server: Server) {
    SERVER.replace(Some(server));
}

pub(crate) async fn listen(_: String, channels: Vec<String>) -> Result<Subscription> {
    Ok(Subscription { channels })
}

impl Subscription {
    pub(crate) async fn next(&self) -> Result<Vec<Notification>> {
        let next = SCRIPT.with_borrow_mut(VecDeque::pop_front);
        let heard = next.unwrap_or_else(|| Err(Error::unavailable("the script is over")))?;
        Ok(heard.into_iter().filter(|notification| self.channels.contains(&notification.channel)).collect())
    }
}

pub(crate) async fn query(_: String, sql: String, params: Vec<Param<'_>>, _: u32) -> Result<Rows> {
    let server = SERVER.with_borrow(Clone::clone);
    let server = server.ok_or_else(|| Error::unavailable("no test server: see testing::serve_postgres"))?;
    let params = params.iter().map(text).collect::<Result<Vec<_>>>()?;
    server(&sql, &params)
}

fn text(param: &Param<'_>) -> Result<Option<String>> {
    match param {
        Param::Null => Ok(None),
        Param::Text(text) => Ok(Some(text.clone())),
        Param::Body(parts) => Ok(Some(String::from_utf8(bytes_of(parts)?)?)),
    }
}
