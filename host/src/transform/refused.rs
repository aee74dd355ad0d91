//! Events that their source itself says cannot be delivered as they are: `refused` in their particulars (wit/v1/batch.md).
//! They take part in nothing; every lane dead-letters them by id, position and key.

use std::sync::Arc;

use pgcdc_layout::Event;
use pgcdc_layout::json::check;
use serde::Deserialize;

use super::{Derived, FailedEvent};
use crate::batch::Batch;
use crate::component::v1::WireError;

#[derive(Deserialize)]
struct Refused {
    code: String,
    message: String,
}

/// The batch without those, and those.
pub(super) fn split(batch: Arc<Batch>) -> Derived {
    let view = batch.view();
    let failed: Vec<FailedEvent> = view
        .events()
        .filter(|event| !event.particulars().is_empty())
        .filter_map(|event| {
            let (batch, error) = (Arc::clone(&batch), reason(&event)?);
            Some(FailedEvent { batch, index: event.index(), error, by: "source".into() })
        })
        .collect();
    if failed.is_empty() {
        return Derived { batches: vec![batch], failed };
    }
    let is_refused = |index: &u32| failed.binary_search_by_key(index, |failed| failed.index).is_ok();
    let kept: Vec<u32> = (0..batch.events()).filter(|index| !is_refused(index)).collect();
    // Indexes that were just counted are in the batch.
    let rest = if kept.is_empty() { None } else { batch.select(&kept).ok().map(Arc::new) };
    Derived { batches: rest.into_iter().collect(), failed }
}

fn reason(event: &Event<'_>) -> Option<WireError> {
    let refused = check::member(event.particulars().as_bytes(), "refused")?;
    let refused = serde_json::from_slice(refused).unwrap_or_else(|_| Refused {
        code: "rejected".to_owned(),
        message: "the source cannot deliver it, and does not say why".to_owned(),
    });
    let Refused { code, message } = refused;
    Some(WireError { code, message, context: Vec::new(), retry_after_ms: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_layout::{BatchWriter, EventDef, Op, RelationDef};

    fn batch(particulars: &[&str]) -> Arc<Batch> {
        let mut writer = BatchWriter::new();
        let relation = writer.add_relation(&RelationDef::channel("ch")).unwrap();
        for &particulars in particulars {
            writer.add_event(&EventDef { particulars, ..EventDef::new(Op::Notify, relation) }).unwrap();
        }
        Arc::new(Batch::trusted(writer.finish()))
    }

    #[test]
    fn what_a_source_refuses_is_taken_out_with_its_reason() {
        let whole = batch(&["", r#"{"snapshot_id":"x"}"#]);
        assert!(Arc::ptr_eq(&split(Arc::clone(&whole)).batches[0], &whole));
        let mixed = batch(&["", r#"{"refused":{"code":"too-large","message":"m"}}"#, "", r#"{"refused":1}"#]);
        let derived = split(mixed);
        assert_eq!(derived.batches.iter().map(|batch| batch.events()).sum::<u32>(), 2);
        let why: Vec<_> = derived.failed.iter().map(|f| (f.index, f.error.code.as_str())).collect();
        assert_eq!(why, [(1, "too-large"), (3, "rejected")]);
        let all = split(batch(&[r#"{"refused":{}}"#]));
        assert_eq!((all.batches.len(), all.failed.len()), (0, 1));
    }
}
