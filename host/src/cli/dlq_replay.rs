//! `pgcdc dlq replay`: letters to the sinks that refused them, oldest first, each marked as soon as it is delivered.
//!
//! A sink that does not work at all ends its own part: the rest of its letters is counted as failed, untried. The exit
//! code is 0 only if every letter was delivered.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use super::main::block_on;
use super::table::{printable, table};
use crate::component::v1::calls::Letter;
use crate::dlq::{Desk, Filter, Letters, Record, ReplayRefused};
use crate::pipeline::{Desks, Workshop};

/// What became of one sink's letters.
#[derive(Default)]
struct Count {
    replayed: u64,
    failed: u64,
}

pub(super) fn command(
    workshop: &Workshop,
    filter: Filter,
    limit: usize,
    dry_run: bool,
) -> Result<ExitCode, String> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let counts = block_on(async {
        let letters = workshop.letters().await?;
        let mut replay = Replay::new(workshop, &letters, dry_run).await?;
        let walked = replay.walk(&filter, limit).await;
        for (_, desk) in replay.desks.drain() {
            if let Some(desk) = desk {
                desk.close().await;
            }
        }
        walked.map(|()| replay.counts)
    })?;
    let (replayed, failed) =
        counts.values().fold((0, 0), |sum, one| (sum.0 + one.replayed, sum.1 + one.failed));
    let first = if dry_run { "WOULD BE REPLAYED" } else { "REPLAYED" };
    let rows =
        counts.iter().map(|(sink, one)| [sink.clone(), one.replayed.to_string(), one.failed.to_string()]);
    let total = [("total".to_owned(), replayed.to_string(), failed.to_string())];
    let total = total.map(|(name, replayed, failed)| [name, replayed, failed]);
    print!("{}", table(["ADAPTER", first, "FAILED"], rows.chain(total)));
    if failed == 0 { Ok(ExitCode::SUCCESS) } else { Err(format!("{failed} letters were not replayed")) }
}

struct Replay<'w> {
    letters: &'w Letters,
    /// None when nothing is to be sent.
    source: Option<Desks<'w>>,
    /// Sinks that are open; none for one that does not work.
    desks: HashMap<String, Option<Desk>>,
    counts: BTreeMap<String, Count>,
}

impl<'w> Replay<'w> {
    async fn new(workshop: &'w Workshop, letters: &'w Letters, dry_run: bool) -> Result<Replay<'w>, String> {
        let source = if dry_run { None } else { Some(workshop.desks().await?) };
        Ok(Replay { letters, source, desks: HashMap::new(), counts: BTreeMap::new() })
    }

    async fn walk(&mut self, filter: &Filter, limit: usize) -> Result<(), String> {
        let (mut after, mut left) = (None, limit);
        while left > 0 {
            let page = self.letters.page(filter, after.take(), left).await;
            let page = page.map_err(|e| format!("dlq: {e}"))?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            left = left.saturating_sub(page.len());
            for letter in &page {
                self.one(letter).await?;
            }
            if filter.id.is_some() {
                break;
            }
        }
        Ok(())
    }

    async fn one(&mut self, letter: &Letter) -> Result<(), String> {
        let record = Record::of(letter)?;
        let refused = match &mut self.source {
            None => {
                println!("{}  {}  {}", record.created_at, printable(&letter.id), printable(&record.channel));
                None
            }
            Some(source) => {
                if !self.desks.contains_key(&record.adapter) {
                    let desk = match source.open(&record.adapter).await {
                        Ok(desk) => Some(desk),
                        Err(error) => {
                            eprintln!("{}", printable(&error));
                            None
                        }
                    };
                    self.desks.insert(record.adapter.clone(), desk);
                }
                match self.desks.get_mut(&record.adapter) {
                    Some(Some(desk)) => desk.deliver(letter, &record).await.err(),
                    _ => Some(ReplayRefused { message: "not tried".into(), sink_is_out: true }),
                }
            }
        };
        let count = self.counts.entry(record.adapter.clone()).or_default();
        let Some(refused) = refused else {
            count.replayed += 1;
            if self.source.is_some() {
                let marked = self.letters.mark_replayed(&letter.id).await;
                marked.map_err(|e| format!("{} was delivered and could not be marked: {e}", letter.id))?;
            }
            return Ok(());
        };
        count.failed += 1;
        if refused.message != "not tried" {
            eprintln!("{}: {}", printable(&letter.id), printable(&refused.message));
        }
        if refused.sink_is_out
            && let Some(Some(desk)) = self.desks.insert(record.adapter.clone(), None)
        {
            eprintln!(
                "{}: the sink does not work now; its other letters are not tried",
                printable(&record.adapter)
            );
            desk.close().await;
        }
        Ok(())
    }
}
