//! Medians of what was measured: one table for people, one JSON file for comparisons.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pgcdc_tests::support::repository::target_folder;
use serde_json::{Value, json};

use crate::contender::Measure;
use crate::idle::mebibytes;
use crate::options::Options;

const COLUMNS: [(&str, &str); 10] = [
    ("rows_per_second", "rows/s"),
    ("cpu_s_per_million", "CPU-s/M"),
    ("peak_mib", "peak MiB"),
    ("first_event_ms", "first ms"),
    ("latency_p50_ms", "p50 ms"),
    ("latency_p99_ms", "p99 ms"),
    ("latency_cpu_s_per_million", "CPU-s/M tx"),
    ("idle_cpu_percent", "idle %"),
    ("rss_mib", "RSS MiB"),
    ("us", "µs"),
];
const SYNCS: usize = 50;

/// Every sample by who and what.
pub(crate) struct Report {
    rows: u64,
    rounds: u32,
    order: Vec<String>,
    samples: BTreeMap<(String, String), Vec<f64>>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            rows: options.rows,
            rounds: options.rounds,
            order: Vec::new(),
            samples: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, who: &str, what: &str, value: f64) {
        if !self.order.iter().any(|known| known == who) {
            self.order.push(who.to_owned());
        }
        self.samples.entry((who.to_owned(), what.to_owned())).or_default().push(value);
    }

    pub(crate) fn add(&mut self, who: &str, measure: &Measure) {
        self.push(who, "rows_per_second", measure.rows_per_second());
        self.push(who, "cpu_s_per_million", measure.cpu_seconds_per_million());
        if let Some(bytes) = measure.peak_bytes {
            self.push(who, "peak_mib", mebibytes(bytes));
        }
    }

    /// Something that whoever reads the table has to know.
    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn samples(&self, (who, what): (&str, &str)) -> Option<&[f64]> {
        self.samples.get(&(who.to_owned(), what.to_owned())).map(Vec::as_slice)
    }

    pub(crate) fn median(&self, who: &str, what: &str) -> Option<f64> {
        middle(self.samples((who, what))?.to_vec())
    }

    /// The median of the ratios of each round.
    pub(crate) fn ratio(&self, of: (&str, &str), to: (&str, &str)) -> Option<f64> {
        let pairs = self.samples(of)?.iter().zip(self.samples(to)?);
        middle(pairs.map(|(of, to)| of / to).collect())
    }

    pub(crate) fn print(&self) {
        let seen = |what: &str| self.order.iter().any(|who| self.median(who, what).is_some());
        let columns: Vec<_> = COLUMNS.into_iter().filter(|(what, _)| seen(what)).collect();
        println!("{} rows, medians of {}; an fsync takes {:.2} ms here", self.rows, self.rounds, sync_ms());
        print!("{:<28}", "");
        columns.iter().for_each(|(_, title)| print!("{title:>12}"));
        println!("{:>12}", "of the first");
        let base = self.order.first().and_then(|who| self.median(who, "rows_per_second"));
        for who in &self.order {
            print!("{who:<28}");
            for (what, _) in &columns {
                match self.median(who, what) {
                    Some(value) if value >= 1000.0 => print!("{value:>12.0}"),
                    Some(value) => print!("{value:>12.2}"),
                    None => print!("{:>12}", "-"),
                }
            }
            let ratio = self.median(who, "rows_per_second").zip(base).map(|(own, base)| own / base);
            println!("{:>12}", ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")));
        }
        self.notes.iter().for_each(|note| println!("{note}"));
    }

    /// Writes `bench/<seconds since 1970>.json` under the target folder.
    pub(crate) fn save(&self) -> Result<PathBuf, String> {
        let folder = target_folder().ok_or("this program is in no target folder")?.join("bench");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let path = folder.join(format!("{now}.json"));
        let mut results = serde_json::Map::new();
        for ((who, what), samples) in &self.samples {
            let entry = results.entry(who.clone()).or_insert_with(|| json!({}));
            if let Value::Object(entry) = entry {
                entry.insert(what.clone(), json!({ "median": self.median(who, what), "samples": samples }));
            }
        }
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let whole = json!({ "rows": self.rows, "rounds": self.rounds, "cores": cores, "notes": self.notes, "results": results });
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&path, format!("{whole:#}\n")))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }
}

fn middle(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// The median time that this device takes to sync 4 KiB: the measure of every promise about files.
fn sync_ms() -> f64 {
    let time = || -> std::io::Result<Vec<f64>> {
        let mut file = tempfile::tempfile()?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let begun = Instant::now();
            std::io::Write::write_all(&mut file, &[0; 4096])?;
            file.sync_data()?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    };
    time().ok().and_then(|times| times.get(times.len() / 2).copied()).unwrap_or(f64::NAN)
}
