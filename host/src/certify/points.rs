//! Crash points that were survived, over all runs that name the same file.
//!
//! Invariant: the file is replaced whole, so that a run that is killed loses its own points and no others.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What is wanted of a release.
pub(crate) const GOAL: u64 = 10_000;

/// The sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Points {
    /// Runs so far.
    pub(crate) runs: u64,
    /// Crash points by what ended the process: `kill`, or a place in it and what happened there.
    pub(crate) crashes: BTreeMap<String, u64>,
    /// By name; a run without any adds nothing here.
    pub(crate) anomalies: BTreeMap<String, u64>,
    pub(crate) repeated_inside: u64,
    pub(crate) repeated_outside: u64,
    /// Milliseconds to the first new delivery after a crash; sorted.
    pub(crate) recovery_ms: Vec<u64>,
}

impl Points {
    /// Reads a file; one that is not there is empty.
    pub(crate) fn read(path: &Path) -> Result<Points, String> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| format!("{}: {e}; remove it to begin anew", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Points::default()),
            Err(e) => Err(format!("{}: {e}", path.display())),
        }
    }

    /// Replaces the file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let new = path.with_extension("new");
        let text = serde_json::to_vec_pretty(self).map_err(|e| e.to_string())?;
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).map_err(failed)
    }

    /// All crash points.
    pub(crate) fn total(&self) -> u64 {
        self.crashes.values().sum()
    }

    /// Adds a run.
    pub(crate) fn add(&mut self, run: &Points) {
        self.runs += run.runs;
        self.repeated_inside += run.repeated_inside;
        self.repeated_outside += run.repeated_outside;
        for (sum, more) in [(&mut self.crashes, &run.crashes), (&mut self.anomalies, &run.anomalies)] {
            more.iter().for_each(|(name, count)| *sum.entry(name.clone()).or_default() += count);
        }
        self.recovery_ms.extend(&run.recovery_ms);
        self.recovery_ms.sort_unstable();
    }

    /// What so many percent of the recoveries did not exceed.
    pub(crate) fn recovery_percentile(&self, percent: usize) -> Option<u64> {
        let last = self.recovery_ms.len().checked_sub(1)?;
        self.recovery_ms.get((self.recovery_ms.len() * percent / 100).min(last)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_and_outlive_their_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certify/points.json");
        let run = Points {
            runs: 1,
            crashes: BTreeMap::from([("kill".into(), 3)]),
            recovery_ms: vec![30, 10],
            ..Points::default()
        };
        for _ in 0..2 {
            let mut points = Points::read(&path).unwrap();
            points.add(&run);
            points.write(&path).unwrap();
        }
        let points = Points::read(&path).unwrap();
        assert_eq!(
            (points.total(), points.runs, points.recovery_ms.as_slice()),
            (6, 2, &[10, 10, 30, 30][..])
        );
        assert_eq!((points.recovery_percentile(50), points.recovery_percentile(99)), (Some(30), Some(30)));
    }

    #[test]
    fn a_damaged_file_is_named_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.json");
        std::fs::write(&path, "{").unwrap();
        assert!(Points::read(&path).unwrap_err().contains("points.json"));
    }
}
