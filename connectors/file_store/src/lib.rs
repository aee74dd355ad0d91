//! The checkpoint store `file`: all values in one of two files of a local folder, written in turn.
//!
//! Invariants. A file is written only while the other one is complete and on the device, so that a crash at any
//! moment leaves one complete file; the one with the higher generation counts. A store returns when the device
//! has it. What cannot be read is never taken for "nothing stored": if something was here and no file is
//! whole any more, opening fails with `gone`.

mod generation;
mod values;

use std::cell::{Cell, RefCell};

use generation::Found;
use pgcdc_sdk::checkpoint_store::{Entry, Put};
use pgcdc_sdk::files::File;
use pgcdc_sdk::{CheckpointStore, Config, Context, Endpoint, Error, Result, log};
use values::Values;

/// No store is larger.
const FILE_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Where to keep checkpoints.
#[derive(Debug, Config)]
pub struct Options {
    /// The folder.
    #[config(endpoint = "folder")]
    path: Endpoint,
    /// What the two files are called, before their `.0` and `.1`.
    #[config(default = "checkpoint", min = 1, max = 100)]
    name: String,
}

/// The values, and the two files.
#[derive(Debug)]
pub struct FileStore {
    files: [File; 2],
    values: RefCell<Values>,
    generation: Cell<u64>,
    /// A store is under way, or one has failed and it is not known how far it came.
    busy: Cell<bool>,
}

impl CheckpointStore for FileStore {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        let open = async |suffix| File::open_in(&options.path, &format!("{}.{suffix}", options.name)).await;
        let files = [open(0).await?, open(1).await?];
        let read = async |file: &File| file.read(FILE_BYTES_MAX).await;
        let contents = [read(&files[0]).await?, read(&files[1]).await?];
        let found = contents.each_ref().map(|content| generation::read(content));
        for (suffix, found) in found.iter().enumerate() {
            if let Found::Torn | Found::Damaged(_) = found {
                let file = format!("{}.{suffix}", options.name);
                log::warn(
                    "a checkpoint file is not whole",
                    &[("file", &file), ("state", &format!("{found:?}"))],
                );
            }
        }
        let (generation, values) = match generation::newest(&found)? {
            Some((generation, body)) => (generation, Values::read(body)?),
            None => (0, Values::default()),
        };
        // A process that was killed may have written this and not synced it. It is about to be relied on.
        for file in &files {
            file.sync().await?;
        }
        Ok(Self {
            files,
            values: RefCell::new(values),
            generation: Cell::new(generation),
            busy: Cell::new(false),
        })
    }

    async fn load(&self, prefix: &str) -> Result<Vec<Entry>> {
        Ok(self.values.borrow().with_prefix(prefix))
    }

    async fn store(&self, puts: Vec<Put>) -> Result<()> {
        if self.busy.replace(true) {
            return Err(Error::unavailable(
                "an earlier write to the checkpoint files has not ended well; open again",
            ));
        }
        let stored = self.write(puts).await;
        // After a refusal nothing was written; after a failed write the files are as a crash would leave them.
        self.busy.set(matches!(&stored, Err(error) if !values::is_refusal(error)));
        stored
    }
}

impl FileStore {
    async fn write(&self, puts: Vec<Put>) -> Result<()> {
        let next = self.values.borrow().with(puts)?;
        let generation = self.generation.get() + 1;
        let content = generation::write(generation, &next.write());
        if content.len() > FILE_BYTES_MAX as usize {
            return Err(Error::too_large(format!("checkpoints are over {FILE_BYTES_MAX} bytes")));
        }
        let file = &self.files[usize::from(!generation.is_multiple_of(2))];
        file.replace(content).await?;
        file.sync().await?;
        self.values.replace(next);
        self.generation.set(generation);
        Ok(())
    }
}

pgcdc_sdk::connector! {
    checkpoint_store: FileStore,
    name: "file",
    description: "Keeps checkpoints in two files of a local folder",
    delivery: "A checkpoint is on the device before it counts; a crash at any moment leaves the last one.",
    capabilities: {
        files: "writes two files in the folder that the operator names",
        log: "warns of a damaged file",
    },
}
