//! The sink `file`: one JSON envelope a line, appended to a file and synced before it counts.
//!
//! The lines are the host's own; none of them passes through this component. While one batch is on its way to the
//! device the next is appended, and syncs that overlap are one. A file never grows over `max_size` unless a
//! single event is larger, and no event is ever split between two files. After a failure every batch under way
//! fails, so that nothing is ever written ahead of what came before it.

mod plan;
mod progress;

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::join_all;
use pgcdc_sdk::files::File;
use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, ByteSize, Config, Context, Encoding, Endpoint, Facts, Result, Sink, metrics};
use plan::Step;
use progress::{Entry, Progress};

/// One batch on its way to the device, one being appended, one waiting.
const CONCURRENCY: u32 = 3;

/// Where to, and when to begin a new file.
#[derive(Debug, Config)]
pub struct Options {
    /// The file.
    #[config(endpoint = "file", flag = "file-path")]
    path: Endpoint,
    /// Begin a new file rather than let this one grow larger; 0 never does.
    #[config(default = "100MiB", flag = "file-max-size")]
    max_size: ByteSize,
    /// How many old files to keep, as `.1`, `.2` and so on.
    #[config(default = 5, min = 0, max = 10000, flag = "file-max-files")]
    max_files: u32,
}

/// The open file.
#[derive(Debug)]
pub struct FileSink {
    path: Endpoint,
    /// Opened anew after a failure: the host's handle on a file that failed is of no more use.
    file: RefCell<Rc<File>>,
    max_bytes: u64,
    max_files: u32,
    progress: Progress,
}

impl Sink for FileSink {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let (file, size) = whole(&options.path).await?;
        let progress = Progress::new(size);
        let max_bytes = match options.max_size.bytes() {
            0 => u64::MAX,
            bytes => bytes,
        };
        Ok(Self {
            path: options.path,
            file: RefCell::new(file),
            max_bytes,
            max_files: options.max_files,
            progress,
        })
    }

    fn facts(&self) -> Facts {
        Facts::new().concurrency(CONCURRENCY)
    }

    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
        let entry = self.progress.enter()?;
        let written = self.append(batch, &entry).await;
        entry.leave(written)?;
        Ok(Outcome::Durable)
    }
}

impl FileSink {
    async fn append(&self, batch: &Batch, entry: &Entry<'_>) -> Result<()> {
        if entry.recovers() {
            let (file, size) = whole(&self.path).await?;
            self.file.replace(file);
            self.progress.recovered(size);
        }
        let size_of = |from, to| batch.slice(Encoding::JsonLines, from..to).size();
        let planned = plan::steps(self.progress.size_bytes(), self.max_bytes, batch.count(), size_of)?;
        self.progress.plan(planned.size_bytes);
        // The host does what concerns one file in the order of the calls, and `join_all` makes them in order before
        // anything else runs: no other batch gets in between.
        for done in join_all(planned.steps.into_iter().map(|step| self.run(batch, step))).await {
            done?;
        }
        self.file().sync().await
    }

    async fn run(&self, batch: &Batch, step: Step) -> Result<()> {
        match step {
            Step::Append(events) => {
                self.file().append(batch.slice(Encoding::JsonLines, events)).await?;
            }
            Step::Rotate => {
                self.file().rotate(self.max_files).await?;
                metrics::count("rotations_total", 1.0);
            }
        }
        Ok(())
    }

    fn file(&self) -> Rc<File> {
        Rc::clone(&self.file.borrow())
    }
}

/// The open file, without what a crash or a failed write left of a last line, and its size.
async fn whole(path: &Endpoint) -> Result<(Rc<File>, u64)> {
    let file = File::open(path).await?;
    let size = file.mend(b'\n').await?;
    Ok((Rc::new(file), size))
}

pgcdc_sdk::connector! {
    sink: FileSink,
    name: "file",
    delivery: "At least once, in order; an event counts as delivered when the device has it.",
    capabilities: {
        files: "appends events to the file that the operator names",
        metrics: "counts rotations",
    },
}
