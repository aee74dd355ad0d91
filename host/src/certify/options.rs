//! The flags of `pgcdc certify`.

use std::path::PathBuf;

/// `pgcdc certify`.
#[derive(Clone, clap::Args)]
pub struct Options {
    /// The database: objects of certify's own are made there, and removed again
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub db: String,
    /// How often pgcdc is killed
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub kills: u32,
    /// What is done, and when, is drawn from it [default: another one every time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// The executable that is put to the test [default: this one]
    #[arg(long, value_name = "FILE")]
    pub pgcdc: Option<PathBuf>,
    /// What the schema, the publication and the slot are called
    #[arg(long, value_name = "NAME", default_value = "pgcdc_certify")]
    pub name: String,
    /// Writers at work at once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub writers: u32,
    /// Of an executable that can be told to fail: only at places whose names begin so
    #[arg(long, value_name = "PREFIX", default_value = "", hide = true)]
    pub places: String,
    /// End it at system calls, too: at the n-th write, sync, rename or send; needs strace
    #[arg(long)]
    pub syscalls: bool,
    /// Of an executable that can be told to fail: this alone, in every life, as `PLACE PASSAGES ACTION`
    #[arg(long, value_name = "FAULT", hide = true)]
    pub fault: Option<String>,
    /// Now and then the server is killed by this command, and somebody starts it again
    #[arg(long, value_name = "COMMAND", hide = true)]
    pub server_kill: Option<String>,
    /// Cumulate over runs, in this file
    #[arg(long, value_name = "FILE")]
    pub points: Option<PathBuf>,
    /// Keep the folder with the state, the output and the log
    #[arg(long)]
    pub keep: bool,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

impl std::fmt::Debug for Options {
    /// Without the database's address: there may be a password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("kills", &self.kills)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
