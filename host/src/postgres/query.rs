//! A session for a component's queries: opened when it is needed, kept between statements, opened anew once it is lost.
//!
//! Invariants. One statement at a time. An answer means that what was written is on the server's device: a role's
//! weaker `synchronous_commit` does not hold here. A statement has an end on the server, also when nobody waits for it any
//! more. After anything but the server's own refusal the session is dropped: what became of the statement is unknown.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::sync::Mutex;
use tokio_postgres::Statement;
use tokio_postgres::types::Type;

use super::{Error, Params, Session};

/// Longer than the server lets a statement run, so that its own word comes first.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Statements that are kept prepared.
const PREPARED_MAX: usize = 32;
/// What holds in a session for queries, unless the operator asked for more.
const SETTINGS: &str = "select \
    set_config('synchronous_commit', case when current_setting('synchronous_commit') in ('on', 'remote_apply') \
        then current_setting('synchronous_commit') else 'on' end, false), \
    set_config('statement_timeout', case when current_setting('statement_timeout') = '0' \
        then '30s' else current_setting('statement_timeout') end, false)";

/// Rows as text.
pub(crate) struct Found {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// How many rows the statement touched.
    pub(crate) affected: u64,
}

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Session(#[from] Error),
    #[error("the result has more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}; cast the column to text")]
    NotText(String),
}

/// The sessions of one component, by the name of the endpoint.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<std::sync::Mutex<HashMap<String, Slot>>>);

/// Where one endpoint's session is kept while nobody uses it.
type Slot = Arc<Mutex<Option<Open>>>;

struct Open {
    session: Session,
    prepared: HashMap<String, Statement>,
}

impl Sessions {
    /// Runs one statement. The answer is awaited to its end even if the caller is gone: spawn this.
    pub(crate) async fn query(
        &self,
        endpoint: &str,
        params: &Params,
        sql: &str,
        values: &[Option<String>],
        bytes_max: usize,
    ) -> Result<Found, Failed> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(slots.entry(endpoint.to_owned()).or_default())
        };
        let mut slot = slot.lock().await;
        let mut open = match slot.take().filter(|open| !open.session.client().is_closed()) {
            Some(open) => open,
            None => Open::new(params).await?,
        };
        let ran = match tokio::time::timeout(ANSWER_MAX, open.run(sql, values, bytes_max)).await {
            Ok(ran) => ran,
            Err(_) => Err(Failed::Session(Error::Timeout {
                place: open.session.place().to_owned(),
                doing: "running a query",
                after_ms: u64::try_from(ANSWER_MAX.as_millis()).unwrap_or(u64::MAX),
            })),
        };
        let keep = match &ran {
            Ok(_) | Err(Failed::TooLarge(_) | Failed::NotText(_)) => true,
            // 0A000: a table has changed under a prepared statement.
            Err(Failed::Session(error)) => error.sqlstate().is_some_and(|state| state != "0A000"),
        };
        if keep {
            *slot = Some(open);
        }
        ran
    }
}

impl Open {
    async fn new(params: &Params) -> Result<Open, Error> {
        let session = Session::open(params).await?;
        session.rows(SETTINGS, "setting up a session").await?;
        Ok(Open { session, prepared: HashMap::new() })
    }

    async fn run(&mut self, sql: &str, values: &[Option<String>], bytes_max: usize) -> Result<Found, Failed> {
        let failed = |session: &Session, error| Failed::Session(session.error("running a query", error));
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let types = vec![Type::TEXT; values.len()];
                let prepared = self.session.client().prepare_typed(sql, &types).await;
                let statement = prepared.map_err(|error| failed(&self.session, error))?;
                if self.prepared.len() >= PREPARED_MAX {
                    self.prepared.clear();
                }
                self.prepared.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let columns: Vec<String> =
            statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let stream = self.session.client().query_raw(&statement, values).await;
        let mut stream = pin!(stream.map_err(|error| failed(&self.session, error))?);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = stream.try_next().await.map_err(|error| failed(&self.session, error))? {
            let cells: Result<Vec<Option<String>>, _> =
                (0..columns.len()).map(|at| row.try_get(at)).collect();
            let cells = cells.map_err(|error| Failed::NotText(error.to_string()))?;
            bytes += cells.iter().flatten().map(String::len).sum::<usize>();
            if bytes > bytes_max {
                return Err(Failed::TooLarge(bytes_max));
            }
            rows.push(cells);
        }
        let affected = stream.rows_affected().unwrap_or(rows.len() as u64);
        Ok(Found { columns, rows, affected })
    }
}
