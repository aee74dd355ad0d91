//! Batches that a sink holds: asked for at an age, at a size, and before an end; each is settled by name.

use std::sync::Arc;

use super::Runner;
use super::write::out_of_time;
use crate::component::instance::Failure;
use crate::sink::gate::{Came, Said};
use crate::sink::line::Work;
use crate::sink::verdict::judge;

impl Runner {
    pub(super) async fn flush(&mut self, reason: &'static str) {
        self.gate.flushing();
        self.show();
        let flush = self.instance.flush(reason);
        let answer = match self.lane.policy.timeout {
            None => flush.await,
            Some(limit) => match tokio::time::timeout(limit, flush).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.stale = true;
                    Err(Failure::Refused(out_of_time(limit)))
                }
            },
        };
        let settlements = match answer {
            Ok(settlements) => settlements,
            Err(Failure::Dead(reason)) => return self.died_flushing(&reason),
            Err(Failure::Refused(error)) => {
                self.report(&error);
                self.came(Came { durable: 0, dead: 0, said: Said::Fails }, &error.message);
                self.line.recover();
                return;
            }
        };
        let mut again = Vec::new();
        for settlement in settlements {
            let Some(work) = self.held.remove(settlement.sequence) else {
                self.died("a settlement names a batch that is not held");
                break;
            };
            let (batch, tries) = (Arc::clone(&work.batch), work.tries.clone());
            match judge(settlement.outcome, batch.events(), tries, self.lane.policy.retries) {
                Ok(Some(verdict)) => match self.settle(&batch, verdict).await {
                    None => self.finish(work),
                    Some(left) => again.push(Work { batch: left.batch, tries: left.tries, ..work }),
                },
                Ok(None) | Err(_) => {
                    again.push(work);
                    self.died("a settlement is not as it should be");
                    break;
                }
            }
        }
        if !again.is_empty() {
            self.line.recover();
            again.into_iter().rev().for_each(|work| self.line.push_front(work));
        }
        self.held.flushed();
        if reason == "drain" && !self.held.is_empty() {
            self.died("a flush for drain left batches held");
        }
    }
}
