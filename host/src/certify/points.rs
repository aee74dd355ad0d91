//! Crash points that were survived, over all runs that name the same file.
//!
//! Invariants. The file is replaced whole, under a lock, and read anew for that: runs side by side add up, and one that
//! is killed loses its own points and no others. What is added was judged before.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What is wanted of a release.
pub(crate) const GOAL: u64 = 10_000;
/// Of the slowest recoveries, so many are told one by one.
const SLOWEST_MAX: usize = 10;

/// The sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Points {
    /// Runs so far.
    pub(crate) runs: u64,
    /// Crash points by what ended the process: `kill…`, `syscall::…`, or a place in it; then what happened there.
    pub(crate) crashes: BTreeMap<String, u64>,
    /// By name; a run without any adds nothing here.
    pub(crate) anomalies: BTreeMap<String, u64>,
    /// Changes that were committed at the source.
    pub(crate) changes: u64,
    pub(crate) repeated_inside: u64,
    pub(crate) repeated_outside: u64,
    /// Milliseconds to the first new delivery after a crash; sorted.
    pub(crate) recovery_ms: Vec<u64>,
    /// The slowest of them, and what they came after.
    pub(crate) slowest: Vec<(u64, String)>,
    /// What could not be done here, and why; how many runs went without.
    pub(crate) skipped: BTreeMap<String, u64>,
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

    /// Adds a run to the file, and returns the sum. Waits for others who do the same.
    pub(crate) fn add_to(path: &Path, run: &Points) -> Result<Points, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // A file of its own, since the other one is replaced. The lock goes with the process, whatever ends it.
        let lock = path.with_extension("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(lock).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut sum = Points::read(path)?;
        sum.add(run);
        let new = path.with_extension("new");
        let text = serde_json::to_vec_pretty(&sum).map_err(|e| e.to_string())?;
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).map_err(failed)?;
        Ok(sum)
    }

    /// All crash points.
    pub(crate) fn total(&self) -> u64 {
        self.crashes.values().sum()
    }

    /// One more crash, by its name.
    pub(crate) fn crashed(&mut self, what: &str) {
        *self.crashes.entry(what.to_owned()).or_default() += 1;
    }

    /// One more recovery, and what it came after.
    pub(crate) fn recovered(&mut self, took_ms: u64, after: String) {
        let at = self.recovery_ms.partition_point(|other| *other <= took_ms);
        self.recovery_ms.insert(at, took_ms);
        self.slowest.push((took_ms, after));
        self.keep_slowest();
    }

    fn keep_slowest(&mut self) {
        self.slowest.sort_by(|a, b| b.cmp(a));
        self.slowest.truncate(SLOWEST_MAX);
    }

    fn add(&mut self, run: &Points) {
        self.runs += run.runs;
        self.changes += run.changes;
        self.repeated_inside += run.repeated_inside;
        self.repeated_outside += run.repeated_outside;
        for (sum, more) in [
            (&mut self.crashes, &run.crashes),
            (&mut self.anomalies, &run.anomalies),
            (&mut self.skipped, &run.skipped),
        ] {
            more.iter().for_each(|(name, count)| *sum.entry(name.clone()).or_default() += count);
        }
        self.recovery_ms.extend(&run.recovery_ms);
        self.recovery_ms.sort_unstable();
        self.slowest.extend(run.slowest.iter().cloned());
        self.keep_slowest();
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
        let mut run = Points { runs: 1, changes: 7, ..Points::default() };
        (0..3).for_each(|_| run.crashed("kill"));
        run.recovered(30, "kill".into());
        run.recovered(10, "kill".into());
        for _ in 0..2 {
            Points::add_to(&path, &run).unwrap();
        }
        let points = Points::read(&path).unwrap();
        assert_eq!(
            (points.total(), points.runs, points.changes, points.recovery_ms.as_slice()),
            (6, 2, 14, &[10, 10, 30, 30][..])
        );
        assert_eq!((points.recovery_percentile(50), points.recovery_percentile(99)), (Some(30), Some(30)));
        assert_eq!(points.slowest.first(), Some(&(30, "kill".into())));
    }

    #[test]
    fn runs_side_by_side_lose_no_points() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.json");
        let adding = |name: &'static str| {
            let path = path.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let mut run = Points::default();
                    run.crashed(name);
                    Points::add_to(&path, &run).unwrap();
                }
            })
        };
        let both = [adding("kill"), adding("syscall::write kill")];
        both.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(Points::read(&path).unwrap().total(), 100);
    }

    #[test]
    fn a_damaged_file_is_named_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.json");
        std::fs::write(&path, "{").unwrap();
        assert!(Points::read(&path).unwrap_err().contains("points.json"));
        assert!(Points::add_to(&path, &Points::default()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"{");
    }
}
