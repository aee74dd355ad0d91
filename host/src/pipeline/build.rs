//! The workshop: from a checked manifest to the parts that a pipeline is put together from.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgcdc_core::checkpoint::Checkpoint;
use tokio::sync::watch;
use wasmtime::component::Component;

use crate::ack::Acks;
use crate::admin::metrics::Metrics;
use crate::admin::status::{LaneStatus, SourceStatus};
use crate::backoff_settings;
use crate::bus::{Fanout, Mode};
use crate::component::cache::Cache;
use crate::component::engine::Runtime;
use crate::component::grants::{Grants, Secret, Secrets};
use crate::component::instance::{Blueprint, Instance};
use crate::component::limits::Limits;
use crate::component::registry;
use crate::component::services::Services;
use crate::console::Console;
use crate::dlq::Dlq;
use crate::manifest::Kind;
use crate::manifest::model::{OnFull, Use};
use crate::manifest::ready::{Checked, Ready, ReadySink, SecretSource};
use crate::manifest::settings::{BusMode, Settings};
use crate::sink::{Lane, Policy};
use crate::source::{self, Runner, SourceLink};
use crate::store::Memory;
use crate::transform::{Chain, Stage};

mod letters;
mod migrate;

pub(crate) use letters::Desks;

/// The memory of a dead-letter queue, unless the operator says otherwise.
const DLQ_MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Everything that parts are made from.
pub struct Workshop {
    checked: Checked,
    settings: Settings,
    state_dir: PathBuf,
    runtime: Arc<Runtime>,
    cache: Cache,
    secrets: Secrets,
    console: Console,
    metrics: Arc<Metrics>,
    components: Mutex<HashMap<String, Component>>,
    stages: AtomicU32,
}

impl Workshop {
    /// Reads secrets, makes the state directory. Opens nothing else.
    pub fn new(checked: Checked, settings: Settings, state_dir: PathBuf) -> Result<Workshop, String> {
        let metrics = Metrics::new().ok_or("two metrics have one name")?;
        let runtime = Runtime::new().map_err(|e| format!("wasmtime does not start: {e:#}"))?;
        let cache = Cache::open(&state_dir.join("components")).map_err(|e| e.to_string())?;
        let secrets = read_secrets(&checked)?;
        Ok(Workshop {
            checked,
            settings,
            state_dir,
            runtime: Arc::new(runtime),
            cache,
            secrets,
            console: Console::default(),
            metrics: Arc::new(metrics),
            components: Mutex::default(),
            stages: AtomicU32::new(0),
        })
    }

    /// The state directory for this process alone, for as long as the answer lives.
    pub fn lock(&self) -> Result<std::fs::File, String> {
        let path = self.state_dir.join("lock");
        let file = std::fs::File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        file.try_lock().map_err(|_| {
            let folder = self.state_dir.display();
            format!("another pgcdc uses the state directory {folder}: stop it, or give this one its own --state-dir")
        })?;
        Ok(file)
    }

    /// The process's metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Starts every component and lets it look at its config, without opening it for good: one line for each that is
    /// not content.
    pub async fn check(&self) -> Vec<(String, Result<(), String>)> {
        let mut found = Vec::new();
        let sinks = self.checked.sinks.iter();
        let all = sinks
            .flat_map(|sink| std::iter::once(&sink.connector).chain(&sink.transforms))
            .chain(&self.checked.detectors)
            .chain(&self.checked.transforms)
            .chain(self.checked.dlq.iter().map(|dlq| &dlq.connector));
        for ready in all {
            found.push((ready.name.clone(), self.check_one(ready).await));
        }
        found
    }

    async fn check_one(&self, ready: &Ready) -> Result<(), String> {
        let blueprint = self.blueprint(ready, None, None)?;
        let instance = Instance::start(&blueprint).await.map_err(|e| e.to_string())?;
        instance.check(ready.config.to_string()).await.map_err(|e| e.to_string())
    }

    fn component(&self, ready: &Ready, grants: &Grants) -> Result<Component, String> {
        let key = format!("{:?}/{:?}", ready.kind, ready.uses);
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let component = match (&ready.uses, components.get(&key)) {
            (Use::Shipped(_), Some(component)) => component.clone(),
            (Use::Shipped(name), None) => registry::load_shipped(&self.runtime, ready.kind, name)?,
            (Use::File(path), _) => {
                let opened = registry::open(path)?;
                opened.check_pin(ready.sha256.as_ref())?;
                opened.check_grants(grants)?;
                opened.load(&self.runtime, &self.cache)?
            }
            (other, _) => {
                return Err(format!("{} cannot be had: this pgcdc has no registry client", other.typed()));
            }
        };
        components.insert(key, component.clone());
        Ok(component)
    }

    fn blueprint(
        &self,
        ready: &Ready,
        memory: Option<&Memory>,
        source: Option<Arc<SourceLink>>,
    ) -> Result<Blueprint, String> {
        let grants = Grants::resolve(&ready.grants, &self.secrets)?;
        self.blueprint_with(ready, grants, memory, source)
    }

    fn blueprint_with(
        &self,
        ready: &Ready,
        grants: Grants,
        memory: Option<&Memory>,
        source: Option<Arc<SourceLink>>,
    ) -> Result<Blueprint, String> {
        if ready.limits.output_bytes.is_some() || ready.limits.log_lines_per_second.is_some() {
            return Err("limits: output and log_rate are not in this version; remove them".into());
        }
        let component = self.component(ready, &grants)?;
        let services =
            Services { metrics: self.metrics(), console: self.console.clone(), memory: memory.cloned() };
        let defaults = Limits::default();
        // A letter is the event several times over, and one that does not fit would hold its lane for ever.
        let memory_bytes_max = match ready.kind {
            Kind::Dlq => DLQ_MEMORY_BYTES_MAX,
            _ => defaults.memory_bytes_max,
        };
        let limits = Limits {
            memory_bytes_max: ready.limits.memory_bytes.map_or(memory_bytes_max, |bytes| bytes as usize),
            cpu_max: ready.limits.cpu.unwrap_or(defaults.cpu_max),
            call_max: ready.limits.wall.unwrap_or(defaults.call_max),
        };
        Ok(Blueprint {
            runtime: Arc::clone(&self.runtime),
            component,
            name: ready.name.as_str().into(),
            grants: Arc::new(grants),
            services: Arc::new(services),
            limits,
            source,
        })
    }

    /// The checkpoint store that the manifest names, or a file store under the state directory.
    pub(super) async fn memory(&self) -> Result<Memory, String> {
        let (blueprint, config) = match &self.checked.checkpoint {
            Some(ready) => {
                let named = |e: String| format!("checkpoint: {e}");
                (self.blueprint(ready, None, None).map_err(named)?, ready.config.to_string())
            }
            None => {
                let ready = default_store()?;
                let grants = Grants::default().with_folder("path", &self.state_dir);
                (self.blueprint_with(&ready, grants, None, None)?, ready.config.to_string())
            }
        };
        Memory::open(blueprint, config).await.map_err(|e| e.to_string())
    }

    pub(super) async fn dlq(&self, memory: &Memory) -> Result<Dlq, String> {
        let Some(ready) = &self.checked.dlq else { return Ok(Dlq::none(self.metrics())) };
        let named = |e: String| format!("dlq: {e}");
        let blueprint = self.blueprint(&ready.connector, Some(memory), None).map_err(named)?;
        let config = ready.connector.config.to_string();
        Dlq::open(blueprint, config, ready.raw, self.metrics()).await.map_err(|e| format!("dlq: {e}"))
    }

    /// What is stored of every source of the manifest: name and bytes.
    pub async fn stored(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let memory = self.memory().await?;
        let mut found = Vec::new();
        for detector in &self.checked.detectors {
            let bytes = memory.get(&source::key(&detector.name)).await.map_err(|e| e.to_string())?;
            found.extend(bytes.map(|bytes| (detector.name.clone(), bytes)));
        }
        Ok(found)
    }

    /// Puts the files of the default store aside, for when none of them is whole any more. Returns their new names.
    pub fn set_aside(&self) -> Result<Vec<PathBuf>, String> {
        if self.checked.checkpoint.is_some() {
            return Err("the manifest names a checkpoint store of its own: repair or empty that one".into());
        }
        let mut aside = Vec::new();
        for generation in ["checkpoint.0", "checkpoint.1"] {
            let (from, to) =
                (self.state_dir.join(generation), self.state_dir.join(format!("{generation}.damaged")));
            if from.exists() {
                std::fs::rename(&from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
                aside.push(to);
            }
        }
        Ok(aside)
    }

    /// Removes what is stored of these sources.
    pub async fn forget(&self, sources: &[String]) -> Result<(), String> {
        let memory = self.memory().await?;
        for name in sources {
            memory.set(&source::key(name), None).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn stages(&self, transforms: &[Ready], memory: &Memory) -> Result<Vec<Arc<Stage>>, String> {
        let mut stages = Vec::with_capacity(transforms.len());
        for ready in transforms {
            let number = self.stages.fetch_add(1, Ordering::Relaxed);
            let named = |e: String| format!("transform {}: {e}", ready.name);
            let blueprint = self.blueprint(ready, Some(memory), None).map_err(named)?;
            let stage = Stage::open(number, blueprint, ready.config.to_string()).await;
            stages.push(stage.map_err(|e| named(e.to_string()))?);
        }
        Ok(stages)
    }

    pub(super) async fn common_transforms(&self, memory: &Memory) -> Result<Vec<Arc<Stage>>, String> {
        self.stages(&self.checked.transforms, memory).await
    }

    pub(super) fn sinks(&self) -> &[ReadySink] {
        &self.checked.sinks
    }

    pub(super) fn detectors(&self) -> &[Ready] {
        &self.checked.detectors
    }

    /// Batches that a lane's queue has room for. Few: while lanes are busy the WAL gathers in larger batches, which cost
    /// each of them less.
    pub(super) fn batches_max(&self) -> usize {
        (self.settings.bus.buffer_events as usize / 64).max(1)
    }

    /// Bytes that one lane may hold: its share of `bus.buffer_bytes`, a quarter at most.
    pub(super) fn lane_bytes_max(&self) -> u32 {
        const LANE_BYTES_MIN: u64 = 64 * 1024;
        let share = self.settings.bus.buffer_bytes / (self.checked.sinks.len() as u64).max(4);
        u32::try_from(share.max(LANE_BYTES_MIN)).unwrap_or(u32::MAX / 2).min(u32::MAX / 8)
    }

    pub(super) async fn lane(
        &self,
        sink: &ReadySink,
        memory: &Memory,
        dlq: &Dlq,
        common: &[Arc<Stage>],
    ) -> Result<Lane, String> {
        let name: Arc<str> = sink.connector.name.as_str().into();
        let named = |e: String| format!("sinks.{}: {e}", sink.connector.name);
        if sink.policy.rate_limit_per_second.is_some() || sink.policy.breaker.is_some() {
            return Err(named("policy: rate_limit and breaker are not in this version; remove them".into()));
        }
        let mut blueprint = self.blueprint(&sink.connector, Some(memory), None).map_err(named)?;
        if let Some(timeout) = sink.policy.timeout {
            blueprint.limits.call_max = timeout;
        }
        let chain = Chain {
            common: common.to_vec(),
            routes: sink.routes.as_ref().map(|routes| routes.as_slice().into()),
            own: self.stages(&sink.transforms, memory).await?,
        };
        let base = sink.policy.backoff.base.unwrap_or(Duration::from_secs(1));
        let cap = sink.policy.backoff.cap.unwrap_or(Duration::from_secs(32));
        let status = Arc::new(LaneStatus::default());
        dlq.tell(&name, &status);
        Ok(Lane {
            name,
            blueprint,
            config: sink.connector.config.to_string(),
            chain,
            policy: Policy { retries: sink.policy.retries, backoff: backoff_settings(base, cap) },
            dlq: dlq.clone(),
            metrics: self.metrics(),
            status,
        })
    }

    /// What is stored of a source.
    pub(super) async fn link(&self, detector: &Ready, memory: &Memory) -> Result<Arc<SourceLink>, String> {
        let stored = match memory.get(&source::key(&detector.name)).await.map_err(|e| e.to_string())? {
            Some(bytes) => Some(Checkpoint::decode(&bytes).map_err(|e| format!("{}: {e}", detector.name))?),
            None => None,
        };
        Ok(SourceLink::new(detector.name.as_str().into(), Arc::new(SourceStatus::default()), stored))
    }

    pub(super) fn source(
        &self,
        detector: &Ready,
        link: &Arc<SourceLink>,
        memory: &Memory,
    ) -> Result<Blueprint, String> {
        let named = |e: String| format!("detectors.{}: {e}", detector.name);
        self.blueprint(detector, Some(memory), Some(Arc::clone(link))).map_err(named)
    }

    /// As the operator says; else `fast` only for sources that cannot be held back.
    pub(super) fn mode(&self, detector: &Ready, sink: &ReadySink) -> Mode {
        match sink.policy.on_full {
            Some(OnFull::Drop) => return Mode::Fast,
            Some(OnFull::Block) => return Mode::Reliable,
            None => {}
        }
        match self.settings.bus.mode {
            Some(BusMode::Fast) => Mode::Fast,
            Some(BusMode::Reliable) => Mode::Reliable,
            None if detector.description.name == "listen_notify" => Mode::Fast,
            None => Mode::Reliable,
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "they are the runner's fields, made in the pipeline's one screen"
    )]
    pub(super) fn runner(
        &self,
        detector: &Ready,
        blueprint: Blueprint,
        link: Arc<SourceLink>,
        fanout: Fanout,
        acks: Arc<Acks>,
        stop: watch::Receiver<bool>,
        living: watch::Sender<Option<Arc<Instance>>>,
    ) -> Runner {
        Runner {
            blueprint,
            config: detector.config.to_string(),
            link,
            fanout,
            acks,
            metrics: self.metrics(),
            backoff: backoff_settings(Duration::from_secs(1), Duration::from_secs(60)),
            stop,
            living,
        }
    }
}

/// The file store, as if a manifest had named it.
fn default_store() -> Result<Ready, String> {
    let shipped = registry::shipped().iter();
    let description = shipped
        .filter(|description| description.kinds.contains(&Kind::CheckpointStore))
        .find(|description| description.name == "file")
        .ok_or("the checkpoint store `file` is not built into this pgcdc; run `make build`")?;
    Ok(Ready {
        kind: Kind::CheckpointStore,
        name: "checkpoint".into(),
        uses: Use::Shipped(description.name.clone()),
        sha256: None,
        description: description.clone(),
        config: serde_json::json!({ "path": "path", "name": "checkpoint" }),
        grants: Default::default(),
        limits: Default::default(),
    })
}

fn read_secrets(checked: &Checked) -> Result<Secrets, String> {
    let read = |name: &String, from: &SecretSource| match from {
        SecretSource::Env(variable) => std::env::var(variable)
            .map_err(|_| format!("secret `{name}`: the variable {variable} is not set")),
        SecretSource::File(path) => std::fs::read_to_string(path)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_string())
            .map_err(|e| format!("secret `{name}`: {}: {e}", path.display())),
        SecretSource::Literal(secret) => Ok(secrecy::ExposeSecret::expose_secret(secret).to_string()),
    };
    checked.secrets.iter().map(|(name, from)| Ok((name.clone(), Secret::new(read(name, from)?)))).collect()
}
