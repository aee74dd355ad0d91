//! A door for benchmarks of the boundary (tests/bench): one component alone, to which nothing is granted.
//!
//! Every call takes the way that it takes in operation: mailbox, the instance's task, limits, the guest.

use std::path::Path;
use std::sync::Arc;

use super::cache::Cache;
use super::engine::Runtime;
use super::grants::Grants;
use super::instance::{Blueprint, Instance};
use super::limits::Limits;
use super::linked::Lent;
use super::registry;
use super::services::Services;
use crate::admin::metrics::Metrics;
use crate::console::Console;
use crate::manifest::Kind;

/// A component, ready to be started any number of times.
pub struct Bench {
    blueprint: Blueprint,
}

/// A started component.
pub struct Guest(Instance);

impl Bench {
    /// A component's file, compiled into `cache`: by this very program, which therefore hands `__compile` to
    /// [`crate::cli::main::main`].
    pub fn file(wasm: &Path, cache: &Path) -> Result<Bench, String> {
        let runtime = runtime()?;
        let cache = Cache::open(cache).map_err(|e| e.to_string())?;
        let component = registry::open(wasm)?.load(&runtime, &cache)?;
        Bench::new(runtime, component)
    }

    /// A shipped transform.
    pub fn transform(name: &str) -> Result<Bench, String> {
        let runtime = runtime()?;
        let component = registry::load_shipped(&runtime, Kind::Transform, name)?;
        Bench::new(runtime, component)
    }

    fn new(runtime: Arc<Runtime>, component: wasmtime::component::Component) -> Result<Bench, String> {
        let metrics = Arc::new(Metrics::new().ok_or("two metrics have one name")?);
        let blueprint = Blueprint {
            runtime,
            component,
            name: "bench".into(),
            grants: Arc::new(Grants::default()),
            services: Arc::new(Services { metrics, console: Console::default(), memory: None }),
            limits: Limits::default(),
            source: None,
        };
        Ok(Bench { blueprint })
    }

    /// An instance in a Store and a task of its own.
    pub async fn start(&self) -> Result<Guest, String> {
        Instance::start(&self.blueprint).await.map(Guest).map_err(|e| e.to_string())
    }
}

impl Guest {
    /// As a pipeline does it, before anything else.
    pub async fn open(&self, kind: &str, config: &str) -> Result<(), String> {
        let context = serde_json::json!({ "kind": kind, "name": "bench", "instance": 0 });
        self.0.open(config.to_string(), context.to_string()).await.map(drop).map_err(|e| e.to_string())
    }

    /// A sink's call.
    pub async fn write(&self, batch: &Lent, sequence: u64) -> Result<(), String> {
        self.0.write(Arc::clone(&batch.0), sequence, 1).await.map(drop).map_err(|e| e.to_string())
    }

    /// A transform's call; returns how many events came out.
    pub async fn apply(&self, batch: &Lent) -> Result<u32, String> {
        let applied = self.0.apply(Arc::clone(&batch.0)).await.map_err(|e| e.to_string())?;
        Ok(applied.batches.iter().map(|batch| batch.events()).sum())
    }
}

fn runtime() -> Result<Arc<Runtime>, String> {
    Runtime::new().map(Arc::new).map_err(|e| format!("wasmtime does not start: {e:#}"))
}
