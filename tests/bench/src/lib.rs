//! The shipped connectors `drop_columns` and `stdout`, of the same source as the components, linked into the host.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use drop_columns::DropColumns;
use pgcdc::component::linked::{Connector, Lent, install};
use pgcdc_sdk::linked::{self, Lender};
use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Context, Error, Result, Sink, Transform, testing};
use stdout::Stdout;

/// Who is linked is found by what the manifest calls it: the first of the common transforms, and a sink.
pub const TRANSFORM: &str = "transforms.0";
/// See [`TRANSFORM`].
pub const SINK: &str = "out";
/// The config is not the manifest's.
pub const CONFIG: &str = r#"{"columns":["note"]}"#;

#[derive(Debug)]
struct Borrowed(Lent);

impl Lender for Borrowed {
    fn rows(&self) -> Bytes {
        self.0.rows().unwrap_or_default()
    }

    fn encode(&self, encoding: &str, start: u32, n: u32) -> Result<Vec<Bytes>> {
        self.0.encode(encoding, start, n).map_err(Error::invalid)
    }
}

/// One connector of the two, and how often it was called.
struct Native<T> {
    connector: T,
    calls: Arc<AtomicU64>,
}

impl<T> Native<T> {
    fn lend(&self, batch: Lent) -> pgcdc_sdk::Batch {
        self.calls.fetch_add(1, Ordering::Relaxed);
        linked::lend(Rc::new(Borrowed(batch)))
    }
}

impl Connector for Native<DropColumns> {
    fn apply(&self, batch: Lent) -> Result<Vec<Vec<u8>>, String> {
        let batch = self.lend(batch);
        let (applied, _) = linked::run(self.connector.apply(&batch));
        let applied = applied.map_err(|e| e.to_string())?;
        if !applied.dropped.is_empty() || !applied.failures.is_empty() {
            return Err("an event was dropped or failed, which this benchmark has no place for".into());
        }
        Ok(applied.batches.into_iter().map(linked::take).collect())
    }

    fn write(&self, _: Lent) -> Result<Vec<Bytes>, String> {
        Err("drop_columns is no sink".into())
    }
}

impl Connector for Native<Stdout> {
    fn apply(&self, _: Lent) -> Result<Vec<Vec<u8>>, String> {
        Err("stdout is no transform".into())
    }

    fn write(&self, batch: Lent) -> Result<Vec<Bytes>, String> {
        let batch = self.lend(batch);
        let (outcome, printed) = linked::run(self.connector.write(&batch, &WriteContext::default()));
        match outcome.map_err(|e| e.to_string())? {
            Outcome::Durable => Ok(printed.into_iter().flat_map(|(_, chunks)| chunks).collect()),
            other => Err(format!("stdout answered {other:?}")),
        }
    }
}

/// How often the linked connectors were called.
#[derive(Clone, Default)]
pub struct Calls {
    /// Of the transform.
    pub apply: Arc<AtomicU64>,
    /// Of the sink.
    pub write: Arc<AtomicU64>,
}

/// `drop_columns` of [`CONFIG`], as the host calls it when it is linked.
///
/// # Errors
///
/// None for that config.
pub fn drop_columns(calls: &Calls) -> Result<Arc<dyn Connector>> {
    let connector =
        testing::block_on(<DropColumns as Transform>::open(testing::config(CONFIG)?, &Context::default()))?;
    Ok(Arc::new(Native { connector, calls: Arc::clone(&calls.apply) }))
}

/// Puts both in the place of the components of those names, for the life of this process.
///
/// # Errors
///
/// None for that config.
pub fn link_both(calls: &Calls) -> Result<()> {
    let sink = testing::block_on(<Stdout as Sink>::open((), &Context::default()))?;
    let sink: Arc<dyn Connector> = Arc::new(Native { connector: sink, calls: Arc::clone(&calls.write) });
    install(HashMap::from([(TRANSFORM.to_owned(), drop_columns(calls)?), (SINK.to_owned(), sink)]));
    Ok(())
}
