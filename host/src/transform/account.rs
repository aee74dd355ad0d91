//! Holding a transform to account: every input has rows, or was dropped, or failed; and rows keep their origin.

use std::sync::Arc;

use pgcdc_layout::stamp;

use super::{Derived, FailedEvent};
use crate::batch::Batch;
use crate::component::v1::calls::Applied;

/// What a transform answered, checked against what it got. The error says what the guest did wrong.
pub(super) fn settle(input: &Arc<Batch>, applied: Applied, by: &Arc<str>) -> Result<Derived, String> {
    let mut accounted = vec![false; input.events() as usize];
    let mut outputs = Vec::with_capacity(applied.batches.len());
    let mut last = 0;
    for output in applied.batches {
        let whole = Arc::ptr_eq(input, &output);
        for event in output.view().events() {
            let index = if whole { event.index() } else { event.input() };
            let slot = accounted.get_mut(index as usize);
            *slot.ok_or_else(|| format!("a row names input {index} of {}", input.events()))? = true;
            if index < last {
                return Err(format!("a row of input {index} comes behind one of input {last}"));
            }
            last = index;
        }
        outputs.push(output);
    }
    let mut once = |index: u32, what: &str| match accounted.get_mut(index as usize) {
        Some(seen) if !*seen => {
            *seen = true;
            Ok(())
        }
        Some(_) => Err(format!("input {index} is {what} and something else, too")),
        None => Err(format!("{what} names input {index} of {}", input.events())),
    };
    applied.dropped.iter().try_for_each(|index| once(*index, "dropped"))?;
    applied.failed.iter().try_for_each(|(index, _)| once(*index, "failed"))?;
    if let Some(forgotten) = accounted.iter().position(|seen| !seen) {
        return Err(format!("input {forgotten} is neither passed on, nor dropped, nor failed"));
    }
    let failed = applied.failed.into_iter().map(|(index, error)| FailedEvent {
        batch: Arc::clone(input),
        index,
        error,
        by: Arc::clone(by),
    });
    let failed = failed.collect();
    let stamped = outputs.iter().filter(|output| output.events() > 0).map(|output| stamp(input, output));
    Ok(Derived { batches: stamped.collect::<Result<Vec<_>, _>>()?, failed })
}

/// The output with identity and place of its inputs. A batch that is the input itself needs none.
fn stamp(input: &Arc<Batch>, output: &Arc<Batch>) -> Result<Arc<Batch>, String> {
    if Arc::ptr_eq(input, output) {
        return Ok(Arc::clone(output));
    }
    let mut bytes = output.rows(0, u32::MAX).map_err(|e| e.to_string())?.to_vec();
    stamp::stamp(&input.view(), &mut bytes, pgcdc_core::id::child_id).map_err(|e| e.to_string())?;
    Ok(Arc::new(Batch::trusted(bytes)))
}
