//! Waiting for another pgcdc to leave the state directory, when the operator said so.

use std::fs::File;
use std::time::Duration;

use crate::pipeline::Workshop;

/// A lock of another process has no event of its own.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The state directory for this process alone. With `standby`, waits for it.
pub(super) async fn lock(workshop: &Workshop, standby: bool) -> Result<File, String> {
    let holder = match workshop.try_lock()? {
        Ok(file) => return Ok(file),
        Err(holder) if !standby => return Err(holder.refusal()),
        Err(holder) => holder,
    };
    tracing::info!(
        pid = holder.pid,
        "standby: another pgcdc uses the state directory; waiting for it to end"
    );
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        if let Ok(file) = workshop.try_lock()? {
            tracing::info!("standby: the state directory is ours now");
            return Ok(file);
        }
    }
}
