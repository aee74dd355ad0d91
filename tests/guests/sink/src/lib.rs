//! The sink `guest`: posts each batch to the address that it was given, or misbehaves in one way.
//!
//! Whatever else it tries before that, the answer travels as a header of the post, for the scenario to read.

mod tries;

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use pgcdc_sdk::layout::Cell;
use pgcdc_sdk::sink::{Failure, Outcome, Settlement, WriteContext};
use pgcdc_sdk::{Batch, Config, Context, Endpoint, Error, Facts, Result, Sink, http, log, metrics};

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    /// Posted.
    Posts,
    /// Never answered: the CPU is busy for ever.
    Loops,
    /// Never answered: memory is taken for ever.
    Grows,
    /// A panic if there is a row whose `id` is 13; else posted.
    Traps,
    /// Answered for an event that is not in it.
    Garbage,
    /// Never answered: it waits for a server that never answers.
    Hangs,
    /// Never answered: it sleeps, and nothing else of it runs meanwhile.
    Sleeps,
    /// Answered with an error of many megabytes.
    Answers,
    /// Never posted, because the body has many megabytes.
    Hands,
    /// Held until a flush: then posted as one body, with its reason as `x-flush`. How many it holds is its gauge `held`.
    Holds,
    /// Posted, after a hundred thousand log lines.
    Logs,
    /// Posted, after a log line that pretends to be several, and to be a dead letter.
    Forges,
}

/// What the operator says.
#[derive(Debug, Config)]
pub struct Options {
    /// What becomes of a batch.
    #[config(default = "posts")]
    mode: Mode,
    /// Where batches are posted.
    #[config(endpoint = "http")]
    url: Endpoint,
    /// Paths below `url` that are posted to first; the answers travel as `x-path-<n>`.
    #[config(default = [])]
    paths: Vec<String>,
    /// Headers that are tried first, as `name: value`; the answers travel as `x-header-<n>`.
    #[config(default = [])]
    headers: Vec<String>,
    /// Addresses that are asked first. Typed as plain text, they grant nothing; the answers travel as `x-also-<n>`.
    #[config(default = [])]
    also: Vec<String>,
    /// Look around for files, arguments and variables first; what was found travels as `x-pried`.
    #[config(default = false)]
    pry: bool,
}

/// The sink.
#[derive(Debug)]
pub struct Guest(Options, RefCell<Vec<(u64, String)>>);

impl Guest {
    async fn post(&self, batch: &Batch) -> Result<Outcome> {
        let options = &self.0;
        let mut request = http::Request::post(&options.url);
        for (n, path) in options.paths.iter().enumerate() {
            request = request.header(&format!("x-path-{n}"), tries::path(&options.url, path).await);
        }
        for (n, header) in options.headers.iter().enumerate() {
            request = request.header(&format!("x-header-{n}"), tries::header(&options.url, header).await);
        }
        for (n, also) in options.also.iter().enumerate() {
            request = request.header(&format!("x-also-{n}"), tries::ask(also).await);
        }
        if options.pry {
            request = request.header("x-pried", tries::pry());
        }
        let response = request.body(batch.lines()).send().await?;
        if response.is_success() {
            return Ok(Outcome::Durable);
        }
        Err(Error::rejected(format!("status {}", response.status)))
    }
}

impl Sink for Guest {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self(options, RefCell::default()))
    }

    fn facts(&self) -> Facts {
        Facts::new().flush_after(Duration::from_hours(1))
    }

    async fn flush(&self, reason: &str) -> Result<Vec<Settlement>> {
        let held = self.1.take();
        let body: String = held.iter().map(|(_, lines)| lines.as_str()).collect();
        let request = http::Request::post(&self.0.url).header("x-flush", reason);
        let response = request.body(body).send().await?;
        if !response.is_success() {
            self.1.replace(held);
            return Err(Error::unavailable(format!("status {}", response.status)));
        }
        let durable = |(sequence, _)| Settlement { sequence, outcome: Ok(Outcome::Durable) };
        Ok(held.into_iter().map(durable).collect())
    }

    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome> {
        match self.0.mode {
            Mode::Holds => {
                let rows = batch.read()?;
                let lines = rows.events().map(|event| format!("{}\n", event.channel())).collect();
                self.1.borrow_mut().push((context.sequence, lines));
                let events: usize = self.1.borrow().iter().map(|(_, lines)| lines.lines().count()).sum();
                metrics::gauge("held", events as f64);
                return Ok(Outcome::Held);
            }
            Mode::Posts => {}
            Mode::Loops => loops(),
            Mode::Grows => grows(),
            Mode::Traps => assert!(!has_thirteen(batch)?, "the row with the number 13"),
            Mode::Garbage => {
                let failure = Failure { index: batch.count() + 7, error: Error::rejected("never given") };
                return Ok(Outcome::Failed(vec![failure]));
            }
            Mode::Hangs => {
                let forever = http::Request::post(&self.0.url).timeout(Duration::from_hours(1));
                forever.body(batch.lines()).send().await?;
            }
            Mode::Answers => return Err(Error::rejected("x".repeat(OUTPUT_BYTES))),
            Mode::Hands => {
                let large = http::Request::post(&self.0.url).body(vec![b'x'; OUTPUT_BYTES]);
                large.send().await?;
            }
            Mode::Sleeps => std::thread::sleep(Duration::from_hours(1)),
            Mode::Forges => {
                log::warn("one\r\n{\"adapter\":\"forged\"}\n\u{1b}[2Jforged", &[("a\nforged", &"b\nforged")]);
            }
            Mode::Logs => (0..100_000).for_each(|line| log::info("a flood", &[("line", &line)])),
        }
        self.post(batch).await
    }
}

const OUTPUT_BYTES: usize = 8 * 1024 * 1024;

fn loops() -> ! {
    let mut round = 0_u64;
    loop {
        round = black_box(round.wrapping_add(1));
    }
}

fn grows() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 64 * 1024]));
    }
}

fn has_thirteen(batch: &Batch) -> Result<bool> {
    let rows = batch.read()?;
    let thirteen = rows.events().any(|event| {
        let column = event.relation().and_then(|table| table.column_index("id"));
        match (event.after(), column) {
            (Some(row), Some(column)) => matches!(row.get(column), Cell::Value("13")),
            _ => false,
        }
    });
    Ok(thirteen)
}

pgcdc_sdk::connector! {
    sink: Guest,
    name: "guest",
    capabilities: { http: "posts what it gets" },
}
