//! The log: lower-case facts with fields, on stderr, as text or JSON.

use tracing_subscriber::EnvFilter;

use crate::manifest::settings::{LogFormat, LogLevel};

/// Installs the process's logger; the first call counts.
pub fn install(level: LogLevel, format: LogFormat) {
    let filter = EnvFilter::new(format!("off,pgcdc={0},pgcdc_core={0}", level.as_str()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(installed);
}
