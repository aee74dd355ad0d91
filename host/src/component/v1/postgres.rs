//! Interface `postgres`: ordinary sessions, for LISTEN and for queries.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::host::postgres::{
    Host, HostSubscription, HostSubscriptionWithStore, HostWithStore, Notification, Param, Rows,
};
use super::wal::refused;
use super::{WireError, body, fine};
use crate::component::state::State;
use crate::postgres::{Params, Session, listen};

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
        let running = tokio::spawn(async move { query(&params, &sql, &texts, bytes_max).await });
        running.await.map_err(wasmtime::Error::from)
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

async fn query(
    params: &Params,
    sql: &str,
    texts: &[Option<String>],
    bytes_max: u32,
) -> Result<Rows, WireError> {
    let session = Session::open(params).await.map_err(|e| refused(&e))?;
    let client = session.client();
    let failed = |e| refused(&session.error("running a query", e));
    let types = vec![tokio_postgres::types::Type::TEXT; texts.len()];
    let statement = client.prepare_typed(sql, &types).await.map_err(failed)?;
    let values: Vec<&(dyn ToSql + Sync)> = texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
    let columns: Vec<String> = statement.columns().iter().map(|column| column.name().to_string()).collect();
    if columns.is_empty() {
        let affected = client.execute(&statement, &values).await.map_err(failed)?;
        return Ok(Rows { columns, rows: Vec::new(), affected });
    }
    let found = client.query(&statement, &values).await.map_err(failed)?;
    let mut bytes = 0usize;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let cells: Result<Vec<Option<String>>, _> = (0..columns.len()).map(|at| row.try_get(at)).collect();
        let cells = cells.map_err(|e| body::wire("unsupported", format!("{e}; cast the column to text")))?;
        bytes += cells.iter().flatten().map(String::len).sum::<usize>();
        if bytes > bytes_max as usize {
            return Err(body::wire("too-large", format!("the result has more than {bytes_max} bytes")));
        }
        rows.push(cells);
    }
    let affected = rows.len() as u64;
    Ok(Rows { columns, rows, affected })
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
