//! Interface `postgres`: ordinary sessions, for LISTEN and for queries.

use std::sync::Arc;

use pgcdc_core::error::{Action, Kind};
use tokio::sync::Mutex;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::host::postgres::{
    Host, HostSubscription, HostSubscriptionWithStore, HostWithStore, Notification, Param, Rows,
};
use super::wal::refused;
use super::{WireError, body, fine};
use crate::component::state::State;
use crate::postgres::query::Failed;
use crate::postgres::{Params, listen};

/// What a guest's handle stands for.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Subscription(Arc<Mutex<listen::Listening>>);

type Here = Accessor<State, HasSelf<State>>;

fn params(accessor: &Here, endpoint: &str) -> Result<Arc<Params>, WireError> {
    let found = accessor.with(|mut access| access.get().grants.postgres(endpoint).cloned());
    found.ok_or_else(|| body::wire("denied", format!("no database `{endpoint}` is granted")))
}

impl Host for State {}

impl HostWithStore<State> for HasSelf<State> {
    async fn listen(
        accessor: &Here,
        endpoint: String,
        channels: Vec<String>,
    ) -> wasmtime::Result<Result<Resource<Subscription>, WireError>> {
        let params = match params(accessor, &endpoint) {
            Ok(params) => params,
            Err(error) => return Ok(Err(error)),
        };
        match listen::open(&params, &channels).await {
            Ok(listening) => accessor.with(|mut access| {
                let subscription = Subscription(Arc::new(Mutex::new(listening)));
                Ok(Ok(access.get().table.push(subscription)?))
            }),
            Err(error) => Ok(Err(refused(&error))),
        }
    }

    async fn query(
        accessor: &Here,
        endpoint: String,
        sql: String,
        given: Vec<Param>,
        bytes_max: u32,
    ) -> wasmtime::Result<Result<Rows, WireError>> {
        let params = match params(accessor, &endpoint) {
            Ok(params) => params,
            Err(error) => return Ok(Err(error)),
        };
        let texts = match accessor.with(|mut access| texts(access.get(), given))? {
            Ok(texts) => texts,
            Err(error) => return Ok(Err(error)),
        };
        let sessions = accessor.with(|mut access| access.get().sessions.clone());
        let running = tokio::spawn(async move {
            sessions.query(&endpoint, &params, &sql, &texts, bytes_max as usize).await
        });
        Ok(match running.await.map_err(wasmtime::Error::from)? {
            Ok(found) => Ok(Rows { columns: found.columns, rows: found.rows, affected: found.affected }),
            Err(error) => Err(failed(&error)),
        })
    }
}

/// Parameters as text; a body is one text.
fn texts(state: &mut State, given: Vec<Param>) -> wasmtime::Result<Result<Vec<Option<String>>, WireError>> {
    let mut texts = Vec::with_capacity(given.len());
    for param in given {
        texts.push(match param {
            Param::Null => None,
            Param::Text(text) => Some(text),
            Param::Body(what) => {
                let chunks = match body::resolve(state, what)? {
                    Ok(chunks) => chunks.concat(),
                    Err(error) => return Ok(Err(error)),
                };
                match String::from_utf8(chunks) {
                    Ok(text) => Some(text),
                    Err(_) => return Ok(Err(body::wire("invalid", "a parameter is not UTF-8"))),
                }
            }
        });
    }
    Ok(Ok(texts))
}

/// An error of a statement. What the server refused has its SQLSTATE as context; the messages of class 22 quote what
/// was written, so they are left out.
fn failed(failed: &Failed) -> WireError {
    let error = match failed {
        Failed::Session(error) => error,
        Failed::TooLarge(_) => return body::wire("too-large", failed),
        Failed::NotText(_) => return body::wire("unsupported", failed),
    };
    let mut wire = refused(error);
    if let Some(state) = error.sqlstate() {
        let kind = Kind::from_sqlstate(state);
        if kind.policy().action == Action::DeadLetter {
            wire.code = kind.code().into();
        }
        if state.starts_with("22") {
            wire.message = format!("the server cannot take a value: SQLSTATE {state}");
        }
        wire.context.push(("sqlstate".into(), state.to_owned()));
    }
    wire
}

impl HostSubscription for State {
    fn drop(&mut self, handle: Resource<Subscription>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostSubscriptionWithStore<State> for HasSelf<State> {
    async fn next(
        accessor: &Here,
        handle: Resource<Subscription>,
    ) -> wasmtime::Result<Result<Vec<Notification>, WireError>> {
        let listening = accessor.with(|mut access| fine(Arc::clone(&access.get().table.get(&handle)?.0)))?;
        let heard = listening.lock().await.next().await;
        Ok(match heard {
            Ok(heard) => Ok(heard
                .into_iter()
                .map(|n| Notification { channel: n.channel, payload: n.payload, pid: n.pid })
                .collect()),
            Err(error) => Err(refused(&error)),
        })
    }
}
