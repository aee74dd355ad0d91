//! The queue from outside: what is in it, and what a person does about it. Every answer is the component's own.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::batch::Batch;
use crate::component::instance::{Blueprint, Failure, Instance};
use crate::component::v1::calls::Letter;

/// Letters that are asked for at once.
const PAGE: u32 = 200;

/// Which letters are meant; what is not named is not asked. The JSON of wit/v1/dlq.wit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sink: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rows: bool,
}

/// A letter as people read it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) event_id: String,
    pub(crate) adapter: String,
    pub(crate) channel: String,
    pub(crate) position: String,
    pub(crate) transform: Option<String>,
    pub(crate) error: String,
    pub(crate) payload: Option<Box<RawValue>>,
    /// What is known of a change that could not be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) named: Option<Box<RawValue>>,
    pub(crate) created_at: String,
    pub(crate) replayed_at: Option<String>,
}

/// What a letter's meta says.
#[derive(Deserialize)]
struct Meta {
    event: Option<Box<RawValue>>,
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    adapter: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    position: String,
    transform: Option<String>,
    #[serde(default)]
    error: String,
    named: Option<Box<RawValue>>,
    #[serde(default)]
    timestamp: String,
    created_at: Option<String>,
    replayed_at: Option<String>,
}

impl Record {
    /// The error is about the component, which wrote the letter.
    pub(crate) fn of(letter: &Letter) -> Result<Record, String> {
        let meta: Meta = serde_json::from_str(&letter.meta).map_err(|e| {
            format!("the dead-letter queue's letter {} is not as it should be: {e}", letter.id)
        })?;
        let payload = meta.event.filter(|event| event.get() != "null").or_else(|| envelope(&letter.rows));
        Ok(Record {
            id: letter.id.clone(),
            event_id: meta.event_id,
            adapter: meta.adapter,
            channel: meta.channel,
            position: meta.position,
            transform: meta.transform,
            error: meta.error,
            payload,
            named: meta.named,
            created_at: meta.created_at.unwrap_or(meta.timestamp),
            replayed_at: meta.replayed_at,
        })
    }
}

/// The envelope of a letter's rows, where the queue could not keep one.
fn envelope(rows: &[u8]) -> Option<Box<RawValue>> {
    let batch = Batch::from_guest(rows.to_vec()).ok()?;
    let line = batch.json_lines(0, 1).ok()?;
    RawValue::from_string(String::from_utf8_lossy(&line).trim_end().to_owned()).ok()
}

/// The open queue.
pub(crate) struct Letters(Instance);

impl Letters {
    pub(crate) async fn open(blueprint: &Blueprint, config: String) -> Result<Letters, Failure> {
        let instance = Instance::start(blueprint).await?;
        let context = serde_json::json!({ "kind": "dlq", "name": &*blueprint.name, "instance": 0 });
        instance.open(config, context.to_string()).await?;
        Ok(Letters(instance))
    }

    /// At most `max` letters, and whether there are more.
    pub(crate) async fn list(&self, filter: Filter, max: usize) -> Result<(Vec<Letter>, bool), Failure> {
        let mut found: Vec<Letter> = Vec::new();
        let mut after = filter.after.clone();
        while found.len() <= max {
            let more = self.page(&filter, after.take(), (max - found.len()).saturating_add(1)).await?;
            let Some(last) = more.last() else { return Ok((found, false)) };
            after = Some(last.id.clone());
            found.extend(more);
            if filter.id.is_some() {
                break;
            }
        }
        let more = found.len() > max;
        found.truncate(max);
        Ok((found, more))
    }

    /// The next letters after one, or the first; none means that there are no more.
    pub(crate) async fn page(
        &self,
        filter: &Filter,
        after: Option<String>,
        at_most: usize,
    ) -> Result<Vec<Letter>, Failure> {
        let limit = u32::try_from(at_most).unwrap_or(PAGE).min(PAGE);
        let filter = Filter { limit: Some(limit), after, ..filter.clone() };
        self.0.list_letters(json(&filter)).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Option<Letter>, Failure> {
        self.0.get_letter(id.to_owned()).await
    }

    pub(crate) async fn mark_replayed(&self, id: &str) -> Result<u64, Failure> {
        self.0.mark_letters(vec![id.to_owned()], "replayed".to_owned()).await
    }

    pub(crate) async fn purge(&self, filter: &Filter) -> Result<u64, Failure> {
        self.0.purge_letters(json(filter)).await
    }
}

fn json(filter: &Filter) -> String {
    serde_json::to_string(filter).unwrap_or_default()
}
