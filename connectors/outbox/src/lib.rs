//! The source `outbox`: rows of a table that applications write in the transactions of their own changes.
//!
//! ```text
//! read (locks what it reads, one statement) ─► batch ─► every lane ─► settled ─► deleted by id, another statement
//! ```
//!
//! Invariants. A row leaves the table, or gets its time, only after every lane has it; a crash before that brings it again,
//! with the same id. No lock on a row outlives the statement that reads it. A table, or each part of it, has one
//! reader: whoever holds its advisory lock, which ends with the session. Rows are handed over in the table's order, and while
//! there are more than one statement brings they are read at once.

mod events;
mod ledger;
mod options;
mod parts;
mod table;

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use events::{Outbox as Shape, Row};
use ledger::Ledger;
pub use options::{Columns, Options};
use parts::Parts;
use pgcdc_sdk::postgres::{self, Param};
use pgcdc_sdk::{Batch, Context, Facts, Result, Source, log, metrics};
use table::{ANSWER_BYTES_MAX, Table};

/// So many statements' worth of rows may be under way at once.
const READS_UNDER_WAY_MAX: usize = 20;
/// Rows that one statement takes away.
const DONE_ROWS_MAX: usize = 1000;

/// One table.
#[derive(Debug)]
pub struct Outbox {
    options: Options,
    table: Table,
    ledger: RefCell<Ledger>,
    parts: RefCell<Parts>,
    /// The call that waits until there is room.
    waiting: RefCell<Option<Waker>>,
}

impl Source for Outbox {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let table = Table::find(&options).await?;
        if table.order != options.columns.seq {
            let order = &table.order;
            log::info(
                "outbox has no column that counts its rows: those of one transaction have no order of their own",
                &[("table", &options.table), ("order", order)],
            );
        }
        let parts = Parts::new(options.partitions, options.partitions_max);
        let (ledger, waiting) = (RefCell::default(), RefCell::default());
        Ok(Self { table, parts: RefCell::new(parts), options, ledger, waiting })
    }

    async fn check(options: Options) -> Result<()> {
        Table::find(&options).await.map(drop)
    }

    fn facts(&self) -> Facts {
        Facts::new().ask_again_after(self.options.poll_interval)
    }

    async fn next(&self) -> Result<Vec<Batch>> {
        self.remove_delivered().await;
        self.room().await;
        let rows = self.read().await?;
        metrics::count("polled_total", 1.0);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        metrics::count("events_processed_total", rows.len() as f64);
        let detected_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let shape = Shape {
            image: &self.table.image,
            channel_prefix: &self.options.channel_prefix,
            detected_us: i64::try_from(detected_us).unwrap_or_default(),
        };
        let (mut batches, mut rows) = (Vec::new(), rows.as_slice());
        for (bytes, taken) in shape.batches(rows)? {
            batches.push(Batch::build(&bytes)?);
            let (these, rest) = rows.split_at(taken);
            self.ledger.borrow_mut().hand_over(these.iter().map(|row| row.id.clone()).collect());
            rows = rest;
        }
        Ok(batches)
    }

    async fn settled(&self, batches: &[u64]) -> Result<()> {
        self.ledger.borrow_mut().settle(batches);
        self.remove_delivered().await;
        Ok(())
    }
}

impl Outbox {
    /// The next rows that are nobody's yet, in order. None while another pgcdc has the table.
    async fn read(&self) -> Result<Vec<Row>> {
        let wanted = self.parts.borrow().wanted();
        let taken = json_list(self.ledger.borrow().ids());
        let params = vec![
            Param::from(json_list(wanted.iter().map(|part| part.to_string()))),
            Param::from(taken),
            Param::from(self.options.batch_size.to_string()),
        ];
        let found = postgres::query(&self.options.db, &self.table.read, params, ANSWER_BYTES_MAX).await?;
        let (mut held, mut rows) = (Vec::new(), Vec::new());
        for cells in &found.rows {
            match cells.as_slice() {
                [None, Some(part), Some(is_held), ..] => {
                    if let (Ok(part), "true") = (part.parse(), is_held.as_str()) {
                        held.push(part);
                    }
                }
                [_, cells @ ..] => rows.push(Row::read(cells)?),
                [] => {}
            }
        }
        self.tell(self.parts.borrow_mut().asked(held));
        Ok(rows)
    }

    /// What the operator should know of who reads the table.
    fn tell(&self, change: parts::Change) {
        let table = &self.options.table;
        match change {
            parts::Change::None => {}
            parts::Change::Waits => {
                log::info("another pgcdc reads the outbox: waiting for it to end", &[("table", table)]);
            }
            parts::Change::Has(parts) => {
                log::info(
                    "reads the outbox",
                    &[("table", table), ("parts", &parts), ("of", &self.options.partitions)],
                );
            }
        }
    }

    /// Takes rows away that every lane has. What cannot be done now is tried again with the next call.
    async fn remove_delivered(&self) {
        loop {
            let ids = self.ledger.borrow_mut().take_delivered(DONE_ROWS_MAX);
            if ids.is_empty() {
                return;
            }
            let params = vec![Param::from(json_list(ids.iter()))];
            if let Err(error) =
                postgres::query(&self.options.db, &self.table.done, params, ANSWER_BYTES_MAX).await
            {
                log::warn(
                    "delivered rows are still in the outbox: again, later",
                    &[("table", &self.options.table), ("rows", &ids.len()), ("error", &error)],
                );
                self.ledger.borrow_mut().put_back(ids);
                return;
            }
            self.ledger.borrow_mut().forget(&ids);
            let waiting = self.waiting.take();
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        }
    }

    /// Waits until so few rows are under way that more may be read.
    async fn room(&self) {
        let rows_max = self.options.batch_size as usize * READS_UNDER_WAY_MAX;
        poll_fn(|context| {
            if self.ledger.borrow().len() < rows_max {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A JSON array of texts.
fn json_list(texts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let texts: Vec<String> = texts.map(|text| pgcdc_sdk::object::quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(","))
}

pgcdc_sdk::connector! {
    source: Outbox,
    name: "outbox",
    delivery: "At least once, in order for each key: a row leaves the table after every sink has it; it may come again with the same id.",
    capabilities: { postgres: "reads one table of the database that the operator names, and removes what was delivered" },
    example: "detectors:\n  shop: { use: outbox, config: { db: \"${DATABASE_URL}\", table: pgcdc_outbox } }",
}
