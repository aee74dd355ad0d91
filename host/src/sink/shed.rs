//! What waits in a lane is given up when a lagging slot needs the lane out of its way: new batches do not come in any more, and
//! without this the old ones of a sink that is down would hold the slot for as long as it stays down.
//!
//! Only work that is not under way, and only of sources under pressure. What is under way is answered for by its sink.

use super::Lane;
use super::line::Line;
use crate::source::pressure;

/// Gives up what is to be given up now.
pub(super) fn waiting(line: &mut Line, lane: &Lane) {
    for work in line.take_waiting(|work| work.receipt.is_shed()) {
        pressure::shed(&lane.metrics, &lane.name, work.batch.events(), work.receipt);
    }
}
