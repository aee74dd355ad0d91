//! `pgcdc snapshot`: the rows that tables hold now, to any sink, and an end: 0 when every sink has everything, 1 otherwise.
//!
//! The manifest of a running pgcdc may be named (`--config`): its sinks, transforms, dead letters and secrets serve, and
//! its database, unless another is typed. Its state is left alone, so that both run side by side.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::args::{Global, Host, Listen};
use super::flags::{self as table, Flag, Given};
use super::main::{lookup, plan, read};
use super::{life, listen};
use crate::admin::metrics::Metrics;
use crate::component::grants::private_folder;
use crate::manifest::description::{Description, Kind};
use crate::manifest::model::Manifest;
use crate::manifest::print;
use crate::manifest::settings::Settings;
use crate::pipeline::Ended;

const SOURCE: &str = "snapshot";
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// `pgcdc snapshot`, but for the connectors' flags.
#[derive(Clone, Debug, Default, Args)]
pub struct Snapshot {
    /// Where rows go; repeat it or separate with commas [default: stdout, or all sinks of --config]
    #[arg(long, short, value_name = "SINK", value_delimiter = ',')]
    pub adapter: Vec<String>,
    /// Leave these columns out of every event
    #[arg(id = "drop-columns", long = "drop-columns", value_name = "COLUMN", value_delimiter = ',')]
    pub drop_columns: Vec<String>,
    /// Pass these operations only
    #[arg(
        id = "filter-operations",
        long = "filter-operations",
        value_name = "OPERATION",
        value_delimiter = ','
    )]
    pub filter_operations: Vec<String>,
    /// Where refused rows are kept; `none` loses them [default: stderr]
    #[arg(long, value_name = "DLQ")]
    pub dlq: Option<String>,
    /// Attempts after the first, for every sink
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// Print the manifest that these flags stand for, and stop
    #[arg(long)]
    pub print_manifest: bool,
    /// Settings of the host
    #[command(flatten)]
    pub host: Host,
}

/// The connectors' flags that mean something here: those of other sources, and of checkpoint stores, do not.
pub(super) fn flags(shipped: &[Description]) -> Vec<Flag> {
    let serves = |kind: Kind, name: &str| match kind {
        Kind::Source => name == SOURCE,
        kind => kind != Kind::CheckpointStore,
    };
    let mut flags = table::table(shipped);
    for flag in &mut flags {
        flag.targets.retain(|target| serves(target.kind, &target.connector));
    }
    flags.retain(|flag| !flag.targets.is_empty());
    flags
}

pub(super) fn command(
    snapshot: Snapshot,
    global: &Global,
    given: &[Given],
    shipped: &'static [Description],
) -> Result<ExitCode, String> {
    let manifest = manifest(&snapshot, global, given, shipped)?;
    if snapshot.print_manifest {
        print!("{}", print::yaml(&manifest, shipped));
        return Ok(ExitCode::SUCCESS);
    }
    let mut flags = snapshot.host.overrides(global);
    // A folder of its own: a pgcdc that runs has locked the state.
    let state = match flags.state_dir {
        Some(_) => None,
        None => {
            let settings = Settings::merge(&manifest.settings, &lookup, &flags)?;
            let folder = settings.state_dir_or_default(&lookup)?;
            let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
            private_folder(&folder).map_err(failed)?;
            Some(tempfile::Builder::new().prefix("snapshot-").tempdir_in(&folder).map_err(failed)?)
        }
    };
    flags.state_dir = flags.state_dir.or_else(|| state.as_ref().map(|state| state.path().to_owned()));
    let began = Instant::now();
    let ended = life::live(Box::new(move || plan(&manifest, &flags)), |metrics| {
        if std::io::stderr().is_terminal() {
            tokio::spawn(show(metrics, began));
        }
    });
    let (ended, metrics) = ended?;
    let (rows, _) = metrics.snapshot.progress();
    if std::io::stderr().is_terminal() {
        eprintln!("\r\x1b[K{rows} rows in {:.1} s", began.elapsed().as_secs_f64());
    }
    if ended == Ended::Told {
        return Err(format!("stopped after {rows} rows, and not everything was delivered: run it again"));
    }
    match metrics.undelivered() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(format!(
            "{rows} rows were read, and {count} deliveries were refused: the dead letters say which and why"
        )),
    }
}

/// The flags as a manifest; or the one that is named, with this in the place of its sources.
fn manifest(
    snapshot: &Snapshot,
    global: &Global,
    given: &[Given],
    shipped: &[Description],
) -> Result<Manifest, String> {
    let listen = Listen {
        detector: SOURCE.to_owned(),
        adapter: if global.config.is_some() { Vec::new() } else { snapshot.adapter.clone() },
        drop_columns: snapshot.drop_columns.clone(),
        filter_operations: snapshot.filter_operations.clone(),
        dlq: snapshot.dlq.clone(),
        retries: snapshot.retries,
        host: snapshot.host.clone(),
        ..Listen::default()
    };
    let typed = listen::manifest(&listen, global, given, shipped, &lookup)?;
    if global.config.is_none() {
        return Ok(typed);
    }
    let mut manifest = read(&None, global)?;
    for name in &snapshot.adapter {
        if !manifest.sinks.iter().any(|sink| sink.connector.name.value == *name) {
            return Err(format!("--adapter: the manifest has no sink `{name}`"));
        }
    }
    if !snapshot.adapter.is_empty() {
        manifest.sinks.retain(|sink| snapshot.adapter.contains(&sink.connector.name.value));
    }
    let db = manifest.detectors.iter().find_map(|detector| detector.config.get("db")).cloned();
    manifest.detectors = typed.detectors;
    if let (Some(detector), Some(db)) = (manifest.detectors.first_mut(), db)
        && detector.config.get("db").is_none()
    {
        detector.config.set("db", db);
    }
    manifest.transforms.extend(typed.transforms);
    manifest.checkpoint = None;
    manifest.settings.metrics_addr = None;
    if let Some(dlq) = typed.dlq {
        manifest.dlq = Some(dlq);
    }
    Ok(manifest)
}

/// One line that is written again and again: rows, rate, and how long it may still take.
async fn show(metrics: Arc<Metrics>, began: Instant) {
    let mut line = std::io::stderr();
    loop {
        tokio::time::sleep(SHOW_EVERY).await;
        let (rows, expected) = metrics.snapshot.progress();
        let _ = write!(line, "\r\x1b[K{}", progress(rows, expected, began.elapsed()));
        let _ = line.flush();
    }
}

fn progress(rows: u64, expected: u64, elapsed: Duration) -> String {
    let rate = rows as f64 / elapsed.as_secs_f64().max(0.001);
    let left = match expected.checked_sub(rows) {
        Some(left @ 1..) if rate >= 1.0 => format!(", about {:.0} s left", left as f64 / rate),
        _ => String::new(),
    };
    format!("{rows} rows, {rate:.0} rows/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_known() {
        let second = Duration::from_secs(1);
        assert_eq!(progress(500, 2_000, second), "500 rows, 500 rows/s, about 3 s left");
        assert_eq!(progress(500, 0, second), "500 rows, 500 rows/s");
        assert_eq!(progress(0, 9, second), "0 rows, 0 rows/s");
    }
}
