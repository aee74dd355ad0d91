//! What may be typed after `pgcdc slot`, and after `pgcdc doctor`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `pgcdc slot …`.
#[derive(Clone, Debug, Subcommand)]
pub enum Slot {
    /// Show the slots that pgcdc made, or that the manifest names
    List {
        /// Which database
        #[command(flatten)]
        of: Database,
        /// Every slot of the server
        #[arg(long)]
        all: bool,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show everything that the server says of one slot
    Status {
        /// The slot
        #[arg(long, value_name = "SLOT")]
        name: String,
        /// Which database
        #[command(flatten)]
        of: Database,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make a slot that pgcdc can read, from the present on
    Create {
        /// The slot
        #[arg(long, value_name = "SLOT")]
        name: String,
        /// Which database
        #[command(flatten)]
        of: Database,
        /// Standbys keep a copy of it, so that it survives a failover (server 17 or later)
        #[arg(long)]
        failover: bool,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Drop a slot that nobody reads, and let the server forget the WAL that it kept
    Drop {
        /// The slot
        #[arg(long, value_name = "SLOT")]
        name: String,
        /// Which database
        #[command(flatten)]
        of: Database,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
}

/// Which database is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Database {
    /// The database [env: PGCDC_DATABASE_URL]; if absent, the one of the manifest (--config or ./pgcdc.yaml)
    #[arg(long, value_name = "ENDPOINT")]
    pub db: Option<String>,
    /// The detector of the manifest, where it has several
    #[arg(long, value_name = "NAME", conflicts_with = "db")]
    pub detector: Option<String>,
}

/// `pgcdc doctor`.
#[derive(Clone, Debug, Default, Args)]
pub struct Doctor {
    /// The manifest; --config or ./pgcdc.yaml if absent
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Instead of a manifest: the database [env: PGCDC_DATABASE_URL]
    #[arg(long, value_name = "ENDPOINT", conflicts_with = "manifest")]
    pub db: Option<String>,
    /// With --db: the publication that is to be read
    #[arg(long, value_name = "NAME", requires = "db")]
    pub publication: Option<String>,
    /// With --db: the slot [default: pgcdc_<publication>]
    #[arg(long, value_name = "SLOT", requires = "db")]
    pub slot_name: Option<String>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}
