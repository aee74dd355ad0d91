//! Dead letters: what was refused, kept by a component before it counts as got.
//!
//! A delivery failure is stored as the sink would have got it. A transform's failure is stored by id, position
//! and channel, raw only if the operator said so: the transform may be what hides a secret. A queue that fails blocks its lane and
//! says so; `none` counts the event as lost.

mod letters;
mod replay;

pub(crate) use letters::{Filter, Letters, Record};
pub(crate) use replay::{Desk, Refused as ReplayRefused};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pgcdc_core::assembler::{Reason, Refused};
use pgcdc_core::backoff::Backoff;
use pgcdc_layout::View;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::admin::metrics::Metrics;
use crate::admin::status::LaneStatus;
use crate::batch::Batch;
use crate::component::instance::{Blueprint, Failure, Instance};
use crate::component::v1::WireError;
use crate::component::v1::calls::Letter;

/// One event that is not going to be delivered.
pub(crate) struct Refusal {
    pub(crate) what: What,
    pub(crate) error: WireError,
    /// The transform that failed; none if it was the delivery.
    pub(crate) transform: Option<Arc<str>>,
}

/// The event of a refusal.
pub(crate) enum What {
    /// As the sink, or the transform, got it.
    Event { batch: Arc<Batch>, index: u32 },
    /// A change that could not even be put into a batch: it is named.
    Named(Refused),
}

/// The queue, or its absence.
#[derive(Clone)]
pub(crate) struct Dlq(Option<Arc<Open>>, Arc<Metrics>);

struct Open {
    blueprint: Blueprint,
    config: String,
    /// Whether failed transforms' inputs are stored as they are.
    raw: bool,
    instance: Mutex<Option<Instance>>,
    /// The lanes that a failing queue blocks, to say so in their status.
    lanes: std::sync::Mutex<HashMap<Arc<str>, Arc<LaneStatus>>>,
}

impl Open {
    async fn start(&self) -> Result<Instance, Failure> {
        let instance = Instance::start(&self.blueprint).await?;
        let context = serde_json::json!({ "kind": "dlq", "name": &*self.blueprint.name, "instance": 0 });
        instance.open(self.config.clone(), context.to_string()).await?;
        Ok(instance)
    }

    async fn put(&self, letters: Vec<Letter>) -> Result<(), Failure> {
        let mut held = self.instance.lock().await;
        let instance = match held.take() {
            Some(instance) => instance,
            None => self.start().await?,
        };
        let put = instance.put_letters(letters).await;
        if !matches!(put, Err(Failure::Dead(_))) {
            *held = Some(instance);
        }
        put
    }

    fn of(&self, sink: &Arc<str>, say: impl FnOnce(&LaneStatus)) {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = lanes.get(sink) {
            say(status);
        }
    }
}

impl Dlq {
    /// No queue: refused is lost, and counted.
    pub(crate) fn none(metrics: Arc<Metrics>) -> Dlq {
        Dlq(None, metrics)
    }

    pub(crate) async fn open(
        blueprint: Blueprint,
        config: String,
        raw: bool,
        metrics: Arc<Metrics>,
    ) -> Result<Dlq, Failure> {
        let open =
            Open { blueprint, config, raw, instance: Mutex::new(None), lanes: std::sync::Mutex::default() };
        let instance = open.start().await?;
        *open.instance.lock().await = Some(instance);
        Ok(Dlq(Some(Arc::new(open)), metrics))
    }

    /// From now on what blocks this lane's letters shows in its status.
    pub(crate) fn tell(&self, sink: &Arc<str>, status: &Arc<LaneStatus>) {
        if let Some(open) = &self.0 {
            let mut lanes = open.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.insert(Arc::clone(sink), Arc::clone(status));
        }
    }

    /// Returns when the letters are kept, however long that takes.
    pub(crate) async fn put(&self, sink: &Arc<str>, refusals: Vec<Refusal>) {
        let count = refusals.len() as u64;
        let Some(open) = &self.0 else {
            self.1.lost(sink, count);
            tracing::error!(
                sink = &**sink,
                events = count,
                "events refused and lost: there is no dead-letter queue"
            );
            return;
        };
        let mut backoff =
            Backoff::new(crate::backoff_settings(Duration::from_secs(1), Duration::from_secs(60)));
        let mut failed = false;
        loop {
            let letters = refusals.iter().map(|refusal| refusal.letter(sink, open.raw)).collect();
            match open.put(letters).await {
                Ok(()) => {
                    if failed {
                        tracing::info!(sink = &**sink, "dead-letter queue works again: its lane goes on");
                        open.of(sink, LaneStatus::opened);
                    }
                    return self.1.dead_lettered(sink, count);
                }
                Err(failure) => {
                    failed = true;
                    self.1.dlq_failed();
                    let error = failure.to_string();
                    tracing::error!(sink = &**sink, error, "dead-letter queue fails: its lane waits");
                    open.of(sink, |status| {
                        let next_step =
                            "bring the dead-letter queue back: this sink waits until it has what was refused";
                        status.failed(&format!("dead-letter queue: {error}"), next_step);
                    });
                }
            }
            tokio::time::sleep(backoff.failed(Duration::ZERO, crate::random())).await;
        }
    }
}

impl Refusal {
    /// An event that a sink refused.
    pub(crate) fn delivery(batch: &Arc<Batch>, index: u32, error: WireError) -> Refusal {
        Refusal { what: What::Event { batch: Arc::clone(batch), index }, error, transform: None }
    }

    /// A change that the source could only name.
    pub(crate) fn named(refused: &Refused) -> Refusal {
        let error = WireError {
            code: match refused.reason {
                Reason::TooLarge { .. } => "too-large".into(),
                Reason::NotUtf8 { .. } => "unsupported".into(),
            },
            message: refused.reason.to_string(),
            context: Vec::new(),
            retry_after_ms: None,
        };
        Refusal { what: What::Named(refused.clone()), error, transform: None }
    }

    fn letter(&self, sink: &str, raw: bool) -> Letter {
        let whole = self.transform.is_none() || raw;
        let mut meta = match &self.what {
            What::Event { batch, index } => Meta::of_event(batch, *index, whole),
            What::Named(refused) => Meta::of_named(refused),
        };
        meta.adapter = sink;
        meta.transform = self.transform.as_deref();
        meta.error = format!("{}: {}", self.error.code, self.error.message);
        meta.timestamp = crate::now_rfc3339();
        let rows = match &self.what {
            What::Event { batch, index } if whole => {
                batch.rows(*index, 1).map(|bytes| bytes.to_vec()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let id = format!("{sink}/{}", meta.event_id);
        Letter { id, meta: serde_json::to_string(&meta).unwrap_or_default(), rows }
    }
}

/// What a letter says in JSON. The envelope is kept to the digit.
#[derive(Default, Serialize)]
struct Meta<'a> {
    event: Option<Box<RawValue>>,
    event_id: String,
    channel: &'a str,
    position: String,
    adapter: &'a str,
    transform: Option<&'a str>,
    error: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    named: Option<Named<'a>>,
}

/// A change that is not there, by its particulars.
#[derive(Serialize)]
struct Named<'a> {
    operation: &'a str,
    schema: &'a str,
    table: &'a str,
    key: BTreeMap<&'a str, &'a str>,
}

impl<'a> Meta<'a> {
    fn of_event(batch: &'a Batch, index: u32, whole: bool) -> Meta<'a> {
        let view = batch.view();
        let event = view.event(index);
        Meta {
            event: if whole { envelope(batch, index) } else { None },
            event_id: event.as_ref().map(|event| uuid(event.id())).unwrap_or_default(),
            channel: event.map(|event| event.channel()).unwrap_or_default(),
            position: position(&view, index),
            ..Meta::default()
        }
    }

    fn of_named(refused: &'a Refused) -> Meta<'a> {
        let key = refused.row_key.iter().map(|(column, text)| (column.as_str(), text.as_str())).collect();
        Meta {
            event_id: uuid(refused.id),
            channel: &refused.channel,
            position: refused.key.to_order_key().to_hex(),
            named: Some(Named {
                operation: refused.op.name(),
                schema: &refused.schema,
                table: &refused.table,
                key,
            }),
            ..Meta::default()
        }
    }
}

fn envelope(batch: &Batch, index: u32) -> Option<Box<RawValue>> {
    let line = batch.json_lines(index, 1).ok()?;
    let text = String::from_utf8(line.to_vec()).ok()?;
    RawValue::from_string(text.trim_end().to_string()).ok()
}

fn position(view: &View<'_>, index: u32) -> String {
    let mut key = Vec::new();
    view.order_key(index, &mut key);
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn uuid(id: [u8; 16]) -> String {
    let mut text = Vec::with_capacity(36);
    pgcdc_layout::json::write_uuid(&mut text, &id);
    String::from_utf8(text).unwrap_or_default()
}
