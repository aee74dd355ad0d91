//! Dead letters: what was refused, kept by a component before it counts as got.
//!
//! A delivery failure is stored as the sink would have got it. A transform's failure is stored by id, position
//! and channel, raw only if the operator said so: the transform may be what hides a secret. A queue that fails blocks its lane and
//! says so; `none` counts the event as lost.

use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::backoff::Backoff;
use pgcdc_layout::View;
use tokio::sync::Mutex;

use crate::admin::metrics::Metrics;
use crate::batch::Batch;
use crate::component::instance::{Blueprint, Failure, Instance};
use crate::component::v1::WireError;
use crate::component::v1::calls::Letter;

/// One event that is not going to be delivered.
pub(crate) struct Refusal {
    pub(crate) batch: Arc<Batch>,
    pub(crate) index: u32,
    pub(crate) error: WireError,
    /// The transform that failed; none if it was the delivery.
    pub(crate) transform: Option<Arc<str>>,
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
        let open = Open { blueprint, config, raw, instance: Mutex::new(None) };
        let instance = open.start().await?;
        *open.instance.lock().await = Some(instance);
        Ok(Dlq(Some(Arc::new(open)), metrics))
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
        loop {
            let letters = refusals.iter().map(|refusal| refusal.letter(sink, open.raw)).collect();
            match open.put(letters).await {
                Ok(()) => return self.1.dead_lettered(sink, count),
                Err(failure) => {
                    self.1.dlq_failed();
                    let error = failure.to_string();
                    tracing::error!(sink = &**sink, error, "dead-letter queue fails: its lane waits");
                }
            }
            tokio::time::sleep(backoff.failed(Duration::ZERO, crate::random())).await;
        }
    }
}

impl Refusal {
    fn letter(&self, sink: &str, raw: bool) -> Letter {
        let view = self.batch.view();
        let event = view.event(self.index);
        let id = event.as_ref().map(|event| uuid(event.id())).unwrap_or_default();
        let whole = self.transform.is_none() || raw;
        let stored = if whole { self.envelope() } else { None };
        let error = format!("{}: {}", self.error.code, self.error.message);
        let meta = serde_json::json!({
            "event": stored,
            "event_id": id,
            "channel": event.as_ref().map(|event| event.channel()),
            "position": position(&view, self.index),
            "adapter": sink,
            "transform": self.transform.as_deref(),
            "error": error,
            "timestamp": crate::now_rfc3339(),
        });
        let rows = if whole {
            self.batch.rows(self.index, 1).map(|b| b.to_vec()).unwrap_or_default()
        } else {
            Vec::new()
        };
        Letter { id: format!("{sink}/{id}"), meta: meta.to_string(), rows }
    }

    /// The event as the sink would have got it.
    fn envelope(&self) -> Option<Box<serde_json::value::RawValue>> {
        let line = self.batch.json_lines(self.index, 1).ok()?;
        let text = String::from_utf8(line.to_vec()).ok()?;
        serde_json::value::RawValue::from_string(text.trim_end().to_string()).ok()
    }
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
