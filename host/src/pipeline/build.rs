//! The workshop: from a checked manifest to the parts that a pipeline is put together from.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgcdc_core::checkpoint::Checkpoint;
use tokio::sync::watch;
use wasmtime::component::Component;

use super::changes::Known;
use crate::ack::Acks;
use crate::admin::metrics::Metrics;
use crate::admin::status::{LaneStatus, SourceStatus};
use crate::backoff_settings;
use crate::bus::{self, Bounds, Fanout, Mode, share_bytes};
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
use crate::sink::{Changes, Lane, Policy};
use crate::source::{self, Runner, SourceLink};
use crate::store::Memory;
use crate::transform::{Chain, Stage};
use crate::wal::{self, SpillPlace};

use super::lock::{self, Holder};
use super::pressure;

mod databases;
mod letters;
mod migrate;

pub(crate) use databases::WalSource;
pub(crate) use letters::Desks;

/// The memory of a dead-letter queue, unless the operator says otherwise.
const DLQ_MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What is to run: a manifest that was checked, and what it was checked with.
#[derive(Clone)]
pub struct Plan {
    /// The manifest.
    pub checked: Checked,
    /// sha256 of the component files that it names, as they were when it was checked.
    pub digests: BTreeMap<PathBuf, String>,
    /// The host's settings.
    pub settings: Settings,
}

/// Everything that parts are made from.
pub struct Workshop {
    pub(super) plan: Plan,
    state_dir: PathBuf,
    runtime: Arc<Runtime>,
    cache: Arc<Cache>,
    pub(super) secrets: Secrets,
    console: Console,
    metrics: Arc<Metrics>,
    components: Arc<Mutex<HashMap<String, Component>>>,
    stages: Arc<AtomicU32>,
}

impl Workshop {
    /// Reads secrets, makes the state directory. Opens nothing else.
    pub fn new(plan: Plan, state_dir: PathBuf) -> Result<Workshop, String> {
        pressure::check(&plan.checked, &plan.settings)?;
        let metrics = Metrics::new().ok_or("two metrics have one name")?;
        let runtime = Runtime::new().map_err(|e| format!("wasmtime does not start: {e:#}"))?;
        let cache = Cache::open(&state_dir.join("components")).map_err(|e| e.to_string())?;
        let secrets = read_secrets(&plan.checked)?;
        Ok(Workshop {
            plan,
            state_dir,
            runtime: Arc::new(runtime),
            cache: Arc::new(cache),
            secrets,
            console: Console::default(),
            metrics: Arc::new(metrics),
            components: Arc::default(),
            stages: Arc::default(),
        })
    }

    /// The same for another plan. Reads secrets anew.
    pub(super) fn again(&self, plan: Plan) -> Result<Workshop, String> {
        let secrets = read_secrets(&plan.checked)?;
        Ok(Workshop {
            plan,
            state_dir: self.state_dir.clone(),
            runtime: Arc::clone(&self.runtime),
            cache: Arc::clone(&self.cache),
            secrets,
            console: self.console.clone(),
            metrics: Arc::clone(&self.metrics),
            components: Arc::clone(&self.components),
            stages: Arc::clone(&self.stages),
        })
    }

    /// The state directory for this process alone, for as long as the answer lives; without what an earlier one could not finish.
    pub fn lock(&self) -> Result<std::fs::File, String> {
        self.try_lock()?.map_err(|holder| holder.refusal())
    }

    /// The same, or who else has it.
    pub(crate) fn try_lock(&self) -> Result<Result<std::fs::File, Holder>, String> {
        let taken = lock::take(&self.state_dir)?;
        if taken.is_ok() {
            bus::forget(&self.overflow_folder())?;
            wal::forget_spill(&self.spill_folder())?;
        }
        Ok(taken)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.plan.settings
    }

    /// The process's metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Starts every component and lets it look at its config, without opening it for good: one line for each that is
    /// not content.
    pub async fn check(&self) -> Vec<(String, Result<(), String>)> {
        let mut found = Vec::new();
        for ready in self.all() {
            found.push((ready.name.clone(), self.check_one(ready).await));
        }
        found
    }

    /// As [`Workshop::check`], for the start of a pipeline: every complaint, one a line. With `skip_validation` nobody is asked.
    pub async fn content(&self) -> Result<(), String> {
        self.all_content(self.all().collect()).await
    }

    fn all(&self) -> impl Iterator<Item = &Ready> {
        let checked = &self.plan.checked;
        let sinks = checked.sinks.iter();
        sinks
            .flat_map(|sink| std::iter::once(&sink.connector).chain(&sink.transforms))
            .chain(&checked.detectors)
            .chain(&checked.transforms)
            .chain(checked.dlq.iter().map(|dlq| &dlq.connector))
    }

    /// All of these are content with their config, or one line for each that is not. With `skip_validation` nobody is asked.
    pub(super) async fn all_content(&self, readies: Vec<&Ready>) -> Result<(), String> {
        let mut bad = Vec::new();
        for ready in readies {
            if self.plan.settings.skip_validation {
                break;
            }
            if let Err(error) = self.check_one(ready).await {
                bad.push(format!("{}: {error}", ready.name));
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(bad.join("\n")) }
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known { plan: &self.plan, secrets: &self.secrets }
    }

    async fn check_one(&self, ready: &Ready) -> Result<(), String> {
        let blueprint = self.blueprint(ready, None, None)?;
        let instance = Instance::start(&blueprint).await.map_err(|e| e.to_string())?;
        instance.check(ready.config.to_string()).await.map_err(|e| e.to_string())
    }

    fn component(&self, ready: &Ready, grants: &Grants) -> Result<Component, String> {
        let key = format!("{:?}/{:?}", ready.kind, ready.uses);
        let known = self.components.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let component = match (&ready.uses, known) {
            (Use::Shipped(_), Some(component)) => component,
            (Use::Shipped(name), None) => registry::load_shipped(&self.runtime, ready.kind, name)?,
            // Compiling takes its time; the other tasks of this thread go elsewhere meanwhile.
            (Use::File(path), _) => tokio::task::block_in_place(|| {
                let opened = registry::open(path)?;
                opened.check_pin(ready.sha256.as_ref())?;
                opened.check_grants(grants)?;
                if self.plan.digests.get(path).is_some_and(|checked| *checked != opened.digest) {
                    return Err(format!("{} is being written; try again when it is whole", path.display()));
                }
                opened.load(&self.runtime, &self.cache)
            })?,
            (other, _) => {
                return Err(format!("{} cannot be had: this pgcdc has no registry client", other.typed()));
            }
        };
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
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
            output_bytes_max: ready
                .limits
                .output_bytes
                .map_or(defaults.output_bytes_max, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            log_lines_per_s: ready.limits.log_lines_per_second.unwrap_or(defaults.log_lines_per_s),
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
        let (blueprint, config) = match &self.plan.checked.checkpoint {
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
        let Some(ready) = &self.plan.checked.dlq else { return Ok(Dlq::none(self.metrics())) };
        let named = |e: String| format!("dlq: {e}");
        let blueprint = self.blueprint(&ready.connector, Some(memory), None).map_err(named)?;
        let config = ready.connector.config.to_string();
        Dlq::open(blueprint, config, ready.raw, self.metrics()).await.map_err(|e| format!("dlq: {e}"))
    }

    /// What is stored of every source of the manifest: name and bytes.
    pub async fn stored(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let memory = self.memory().await?;
        let mut found = Vec::new();
        for detector in &self.plan.checked.detectors {
            let bytes = memory.get(&source::key(&detector.name)).await.map_err(|e| e.to_string())?;
            found.extend(bytes.map(|bytes| (detector.name.clone(), bytes)));
        }
        Ok(found)
    }

    /// Puts the files of the default store aside, for when none of them is whole any more. Returns their new names.
    pub fn set_aside(&self) -> Result<Vec<PathBuf>, String> {
        if self.plan.checked.checkpoint.is_some() {
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

    /// Transforms, started and opened; those that are there already are taken as they are.
    pub(super) async fn stages(
        &self,
        transforms: &[Ready],
        memory: &Memory,
        known: impl Fn(&Ready) -> Option<Arc<Stage>>,
    ) -> Result<Vec<Arc<Stage>>, String> {
        let mut stages = Vec::with_capacity(transforms.len());
        for ready in transforms {
            if let Some(stage) = known(ready) {
                stages.push(stage);
                continue;
            }
            let number = self.stages.fetch_add(1, Ordering::Relaxed);
            let named = |e: String| format!("transform {}: {e}", ready.name);
            let blueprint = self.blueprint(ready, Some(memory), None).map_err(named)?;
            let stage = Stage::open(number, blueprint, ready.config.to_string()).await;
            stages.push(stage.map_err(|e| named(e.to_string()))?);
        }
        Ok(stages)
    }

    pub(super) async fn common_transforms(&self, memory: &Memory) -> Result<Vec<Arc<Stage>>, String> {
        self.stages(&self.plan.checked.transforms, memory, |_| None).await
    }

    pub(super) fn sinks(&self) -> &[ReadySink] {
        &self.plan.checked.sinks
    }

    pub(super) fn detectors(&self) -> &[Ready] {
        &self.plan.checked.detectors
    }

    /// How much a lane may hold. Few batches: while lanes are busy the WAL gathers in larger ones, which cost each of them less.
    pub(super) fn bounds(&self, sink: &ReadySink) -> Bounds {
        let bus = &self.plan.settings.bus;
        let lanes = self.plan.checked.sinks.len();
        let fails = sink.policy.on_full == Some(OnFull::Fail);
        // With one lane there is nobody to be held up, but a lane that fails is not to fail of a backlog.
        let overflows = sink.policy.on_full != Some(OnFull::Shed) && (lanes > 1 || fails);
        let disk_bytes_max = sink.policy.overflow_bytes.unwrap_or(bus.overflow_bytes);
        Bounds {
            batches_max: (bus.buffer_events as usize / 64).max(1),
            memory_bytes_max: share_bytes(bus.buffer_bytes, lanes),
            disk_bytes_max: if overflows { disk_bytes_max } else { 0 },
            folder: self.overflow_folder(),
            fails,
        }
    }

    fn overflow_folder(&self) -> PathBuf {
        self.state_dir.join("overflow")
    }

    pub(super) async fn lane(
        &self,
        sink: &ReadySink,
        memory: &Memory,
        dlq: &Dlq,
        common: &[Arc<Stage>],
        changes: Changes,
    ) -> Result<Lane, String> {
        let chain = Chain {
            common: common.to_vec(),
            routes: routes(sink),
            own: self.stages(&sink.transforms, memory, |_| None).await?,
        };
        let name: Arc<str> = sink.connector.name.as_str().into();
        let status = Arc::new(LaneStatus::default());
        dlq.tell(&name, &status);
        Ok(Lane {
            name,
            blueprint: self.sink(sink, memory)?,
            config: sink.connector.config.to_string(),
            chain,
            policy: self.policy(sink),
            dlq: dlq.clone(),
            metrics: self.metrics(),
            status,
            changes,
        })
    }

    /// What a sink's instances are made from.
    pub(super) fn sink(&self, sink: &ReadySink, memory: &Memory) -> Result<Blueprint, String> {
        let named = |e: String| format!("sinks.{}: {e}", sink.connector.name);
        self.blueprint(&sink.connector, Some(memory), None).map_err(named)
    }

    /// What is done around a sink.
    pub(super) fn policy(&self, sink: &ReadySink) -> Policy {
        Policy::of(&sink.policy, self.plan.checked.dlq.as_ref().and_then(|dlq| dlq.window))
    }

    /// What is stored of a source.
    pub(super) async fn link(&self, detector: &Ready, memory: &Memory) -> Result<Arc<SourceLink>, String> {
        let stored = match memory.get(&source::key(&detector.name)).await.map_err(|e| e.to_string())? {
            Some(bytes) => Some(Checkpoint::decode(&bytes).map_err(|e| format!("{}: {e}", detector.name))?),
            None => None,
        };
        let (name, status) = (detector.name.as_str().into(), Arc::new(SourceStatus::default()));
        let spill = self.spill(detector);
        Ok(SourceLink::new(name, status, stored, memory.clone(), self.pressure(detector), spill))
    }

    /// Where a source keeps transactions in progress, and who is told.
    fn spill(&self, detector: &Ready) -> SpillPlace {
        let (metrics, name) = (self.metrics(), detector.name.clone());
        SpillPlace::new(self.spill_folder(), move |news| metrics.spill.tell(&name, &news))
    }

    fn spill_folder(&self) -> PathBuf {
        self.state_dir.join("spill")
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
            Some(OnFull::Shed) => return Mode::Fast,
            Some(OnFull::Block | OnFull::Fail) => return Mode::Reliable,
            None => {}
        }
        match self.plan.settings.bus.mode {
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
        living: watch::Sender<Option<source::Living>>,
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

/// The channels of a sink; none is all.
pub(super) fn routes(sink: &ReadySink) -> Option<Arc<[String]>> {
    sink.routes.as_ref().map(|routes| routes.as_slice().into())
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
