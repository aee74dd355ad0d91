//! A transaction that came in pieces, at its commit: read back and fed like one that came whole.
//!
//! Nothing is read from the socket meanwhile, so the server waits; status updates go on by their own clock. A batch closes
//! when it is full; the last one as always.

use pgcdc_core::assembler::Fed;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::streamed::Replay;

use super::{Loop, broken, feed, now_us};
use crate::postgres::Error;
use crate::wal::spill::Failed;

impl Loop {
    /// Feeds all of it.
    pub(super) async fn replay(&mut self, mut replay: Box<Replay>) -> Result<(), Error> {
        let Some(spill) = &mut self.reader.spill else { return Ok(()) };
        let mut blocks = spill.release(replay.xid());
        self.now_us = now_us();
        self.give(Lsn::ZERO, &replay.begin(), None).await?;
        while let Some(block) = blocks.next().await.map_err(|failed| self.damaged(&failed))? {
            self.now_us = now_us();
            let mut rest = block.as_slice();
            while let Some(kept) = replay.next(&mut rest).map_err(|_| self.damaged(&Failed::Records))? {
                self.give(kept.wal_start, kept.data, Some(kept.bytes)).await?;
            }
        }
        let commit = replay.commit().map_err(|_| self.damaged(&Failed::Records))?;
        self.give(Lsn::ZERO, &commit, None).await?;
        for relation in self.reader.streamed.settle(*replay) {
            let place = &self.reader.place;
            self.reader.assembler.remember(&relation).map_err(|error| broken(place, &error))?;
        }
        if let Some(spill) = &mut self.reader.spill {
            spill.released(blocks);
        }
        self.hear();
        Ok(())
    }

    /// Feeds one message of which these bytes are at hand, until it is taken.
    async fn give(&mut self, at: Lsn, data: &[u8], bytes: Option<u64>) -> Result<(), Error> {
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(data.len());
        loop {
            let reader = &mut self.reader;
            let fed = feed(&mut reader.assembler, at, data, bytes, self.now_us);
            match fed.map_err(|error| broken(&reader.place, &error))? {
                (Fed::NeedTypes(oids), _) => self.learn(&oids).await?,
                (_, Some(batch)) => return self.push(batch).await,
                (_, None) if reader.assembler.is_full() => return self.push_open().await,
                (_, None) => return Ok(()),
            }
        }
    }

    fn damaged(&self, failed: &Failed) -> Error {
        match &self.reader.spill {
            Some(spill) => spill.damaged(failed),
            None => Error::protocol(&self.reader.place, failed.to_string()),
        }
    }
}
