//! Which database a command looks at: `--db`, its variable, or the detectors of a manifest that read WAL.

use std::path::PathBuf;

use super::args::Global;
use super::main::{read, workshop};
use crate::manifest::settings::Overrides;
use crate::postgres::Params;
use crate::wal::Options;

const VARIABLE: &str = "PGCDC_DATABASE_URL";

/// A database, and what is known of the source that reads it.
pub(super) struct Target {
    /// The detector's name in the manifest.
    pub(super) name: Option<String>,
    pub(super) params: Params,
    pub(super) options: Option<Options>,
}

/// `--db` wins; a manifest that was named or lies here wins over the variable.
pub(super) fn targets(
    db: Option<&str>,
    manifest: &Option<PathBuf>,
    global: &Global,
) -> Result<Vec<Target>, String> {
    let file = manifest.is_some() || global.config.is_some() || std::path::Path::new("pgcdc.yaml").exists();
    let variable = || if file { None } else { std::env::var(VARIABLE).ok() };
    if let Some(text) = db.map(str::to_owned).or_else(variable) {
        let params = Params::parse(&text).map_err(|error| error.to_string())?;
        return Ok(vec![Target { name: None, params, options: None }]);
    }
    if !file {
        return Err(format!("which database? Give --db, set {VARIABLE}, or name a manifest with --config"));
    }
    let mut flags = Overrides::default();
    flags.log.level = global.log_level;
    flags.log.format = global.log_format;
    let sources = workshop(&read(manifest, global)?, &flags)?.0.wal_sources()?;
    if sources.is_empty() {
        return Err("the manifest has no detector that reads the WAL of a PostgreSQL: give --db".to_owned());
    }
    let target = |source: crate::pipeline::WalSource| Target {
        name: Some(source.name),
        params: (*source.params).clone(),
        options: source.options,
    };
    Ok(sources.into_iter().map(target).collect())
}
