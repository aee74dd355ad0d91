//! One transform: its instance, made anew when it dies, and what it has made of batches that several lanes share.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Derived, FailedEvent, account};
use crate::batch::Batch;
use crate::component::instance::{Blueprint, Failure, Instance};
use crate::component::v1::WireError;

/// A transform that runs.
pub(crate) struct Stage {
    /// Distinct for what is configured differently.
    number: u32,
    name: Arc<str>,
    blueprint: Blueprint,
    config: String,
    instance: Mutex<Option<Arc<Instance>>>,
}

impl Stage {
    /// Starts and opens the component.
    pub(crate) async fn open(
        number: u32,
        blueprint: Blueprint,
        config: String,
    ) -> Result<Arc<Stage>, Failure> {
        let name = Arc::clone(&blueprint.name);
        let stage = Stage { number, name, blueprint, config, instance: Mutex::new(None) };
        stage.living().await?;
        Ok(Arc::new(stage))
    }

    /// The instance, or a new one in the place of a dead one.
    async fn living(&self) -> Result<Arc<Instance>, Failure> {
        let mut held = self.instance.lock().await;
        if let Some(instance) = &*held {
            return Ok(Arc::clone(instance));
        }
        let instance = Instance::start(&self.blueprint).await?;
        let context = serde_json::json!({ "kind": "transform", "name": &*self.name, "instance": 0 });
        instance.open(self.config.clone(), context.to_string()).await?;
        let instance = Arc::new(instance);
        *held = Some(Arc::clone(&instance));
        Ok(instance)
    }

    async fn bury(&self, dead: &Arc<Instance>) {
        let mut held = self.instance.lock().await;
        if held.as_ref().is_some_and(|instance| Arc::ptr_eq(instance, dead)) {
            *held = None;
        }
    }

    /// Replaces the batch by what this transform makes of it. Lanes that hold the same batch share the work.
    pub(super) async fn advance(&self, derived: &mut Derived) {
        for batch in std::mem::take(&mut derived.batches) {
            let memo = batch.memo(self.number);
            let made =
                memo.get_or_init(|| async { Arc::new(self.apply(Arc::clone(&batch), false).await) }).await;
            derived.batches.extend(made.batches.iter().cloned());
            derived.failed.extend(made.failed.iter().cloned());
        }
    }

    /// `suspect`: this batch has been in flight when an instance died.
    fn apply(&self, batch: Arc<Batch>, suspect: bool) -> Pin<Box<dyn Future<Output = Derived> + Send + '_>> {
        Box::pin(async move {
            let instance = match self.living().await {
                Ok(instance) => instance,
                Err(failure) => return self.all_failed(&batch, &self.as_error(failure)),
            };
            let failure = match instance.apply(Arc::clone(&batch)).await {
                Ok(applied) => match account::settle(&batch, applied, &self.name) {
                    Ok(derived) => return derived,
                    Err(fault) => Failure::Dead(fault.into()),
                },
                Err(Failure::Refused(error)) => return self.all_failed(&batch, &error),
                Err(dead) => dead,
            };
            tracing::warn!(transform = &*self.name, error = %failure, "transform ended and will be made anew");
            self.bury(&instance).await;
            match (suspect, batch.events()) {
                (false, _) => self.apply(batch, true).await,
                (true, 1) => self.all_failed(&batch, &self.as_error(failure)),
                (true, events) => self.bisect(&batch, events).await,
            }
        })
    }

    async fn bisect(&self, batch: &Arc<Batch>, events: u32) -> Derived {
        let mut derived = Derived::default();
        for indexes in [0..events / 2, events / 2..events] {
            let indexes: Vec<u32> = indexes.collect();
            let Ok(part) = batch.select(&indexes) else { continue };
            let made = self.apply(Arc::new(part), true).await;
            derived.batches.extend(made.batches);
            derived.failed.extend(made.failed);
        }
        derived
    }

    fn as_error(&self, failure: Failure) -> WireError {
        match failure {
            Failure::Refused(error) => error,
            Failure::Dead(reason) => WireError {
                code: "invalid".into(),
                message: format!("transform {} ended: {reason}", self.name),
                context: Vec::new(),
                retry_after_ms: None,
            },
        }
    }

    fn all_failed(&self, batch: &Arc<Batch>, error: &WireError) -> Derived {
        let failed = (0..batch.events()).map(|index| FailedEvent {
            batch: Arc::clone(batch),
            index,
            error: error.clone(),
            by: Arc::clone(&self.name),
        });
        Derived { batches: Vec::new(), failed: failed.collect() }
    }
}
