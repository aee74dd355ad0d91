//! What a run has shown, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::anomaly::{Anomaly, Name};
use super::checker::SinkCount;
use super::points::{GOAL, Points};

/// Anomalies that are shown one by one.
const SHOWN_MAX: usize = 20;
/// Slow recoveries that are shown one by one.
const SLOW_MAX: usize = 3;

/// Everything about one run.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) took: Duration,
    pub(crate) transactions: u64,
    pub(crate) committed: u64,
    /// Their answer never came; the source was asked.
    pub(crate) unknown: u64,
    pub(crate) stops: u64,
    pub(crate) sinks: Vec<SinkCount>,
    pub(crate) anomalies: Vec<Anomaly>,
    /// This run's.
    pub(crate) points: Points,
    /// With all runs before.
    pub(crate) sum: Option<Points>,
}

impl Report {
    fn count(&self, name: Name) -> usize {
        self.anomalies.iter().filter(|anomaly| anomaly.name == name).count()
    }

    /// For people.
    pub(crate) fn text(&self, kept: Option<&Path>) -> String {
        let mut text = String::new();
        let _ = self.write(&mut text, kept);
        text
    }

    fn write(&self, text: &mut String, kept: Option<&Path>) -> std::fmt::Result {
        writeln!(text, "seed      {}", self.seed)?;
        writeln!(
            text,
            "source    {} transactions, {} committed, {} settled by asking; {} changes",
            self.transactions, self.committed, self.unknown, self.points.changes
        )?;
        writeln!(
            text,
            "crashes   {} in {:.1} s, and {} clean stops",
            self.points.total(),
            self.took.as_secs_f64(),
            self.stops
        )?;
        for sink in &self.sinks {
            writeln!(
                text,
                "{:<9} {} deliveries of {} changes; repeated inside the window {}, outside {}",
                sink.name, sink.deliveries, sink.changes, sink.repeated_inside, sink.repeated_outside
            )?;
        }
        writeln!(text, "recovery  {}", recovery(&self.points))?;
        for (took_ms, after) in self.points.slowest.iter().take(SLOW_MAX) {
            writeln!(text, "          {took_ms} ms after {after}")?;
        }
        for skipped in self.points.skipped.keys() {
            writeln!(text, "skipped   {skipped}")?;
        }
        if self.anomalies.is_empty() {
            writeln!(text, "anomalies none")?;
        } else {
            let names = Name::ALL.into_iter().map(|name| (name.as_str(), self.count(name)));
            let names: Vec<String> = names
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            writeln!(text, "anomalies {}", names.join(", "))?;
            for anomaly in self.anomalies.iter().take(SHOWN_MAX) {
                writeln!(text, "  {anomaly}")?;
            }
        }
        if let Some(sum) = &self.sum {
            table(text, sum)?;
        }
        if let Some(kept) = kept {
            writeln!(text, "kept      {}", kept.display())?;
        }
        Ok(())
    }

    /// For machines.
    pub(crate) fn json(&self, kept: Option<&Path>) -> String {
        let sinks = self.sinks.iter().map(|sink| {
            json!({
                "name": sink.name,
                "deliveries": sink.deliveries,
                "changes": sink.changes,
                "repeated_inside_window": sink.repeated_inside,
                "repeated_outside_window": sink.repeated_outside,
            })
        });
        let counts: serde_json::Map<String, serde_json::Value> =
            Name::ALL.into_iter().map(|name| (name.as_str().to_owned(), self.count(name).into())).collect();
        let document = json!({
            "seed": self.seed,
            "took_ms": self.took.as_millis() as u64,
            "transactions": {
                "all": self.transactions, "committed": self.committed, "settled_by_asking": self.unknown,
            },
            "changes": self.points.changes,
            "crashes": self.points.crashes,
            "crash_points": self.points.total(),
            "clean_stops": self.stops,
            "sinks": sinks.collect::<Vec<_>>(),
            "recovery_ms": {
                "count": self.points.recovery_ms.len(),
                "p50": self.points.recovery_percentile(50),
                "p99": self.points.recovery_percentile(99),
                "max": self.points.recovery_ms.last(),
                "slowest": slowest(&self.points),
            },
            "skipped": self.points.skipped.keys().collect::<Vec<_>>(),
            "anomalies": counts,
            "first": self.anomalies.iter().take(SHOWN_MAX).map(ToString::to_string).collect::<Vec<_>>(),
            "so_far": self.sum.as_ref().map(|sum| json!({
                "crash_points": sum.total(), "goal": GOAL, "runs": sum.runs, "changes": sum.changes,
                "crashes": sum.crashes, "anomalies": sum.anomalies, "skipped": sum.skipped,
                "repeated_inside_window": sum.repeated_inside, "repeated_outside_window": sum.repeated_outside,
                "p50": sum.recovery_percentile(50), "p99": sum.recovery_percentile(99), "slowest": slowest(sum),
            })),
            "kept": kept,
        });
        format!("{document:#}\n")
    }
}

fn slowest(points: &Points) -> Vec<serde_json::Value> {
    points.slowest.iter().map(|(took_ms, after)| json!({ "ms": took_ms, "after": after })).collect()
}

/// The sum of all runs: crash points by kind, and what came of them.
fn table(text: &mut String, sum: &Points) -> std::fmt::Result {
    writeln!(
        text,
        "\nso far    {} of {GOAL} crash points in {} runs, {} changes",
        sum.total(),
        sum.runs,
        sum.changes
    )?;
    // By place or kind, what happened there and how often.
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, count) in &sum.crashes {
        let (kind, action) = match name.split_once(' ') {
            Some((place, action)) if place.contains("::") => (place, format!("{action} {count}")),
            _ => (name.as_str(), count.to_string()),
        };
        kinds.entry(kind).or_default().push(action);
    }
    for (kind, actions) in kinds {
        writeln!(text, "  {kind:<24}{}", actions.join("; "))?;
    }
    let of = |name: Name| sum.anomalies.get(name.as_str()).unwrap_or(&0);
    writeln!(
        text,
        "  lost {}, phantom {}, reordered {}; other anomalies {}",
        of(Name::Lost),
        of(Name::Phantom),
        of(Name::Reordered),
        sum.anomalies.values().sum::<u64>() - of(Name::Lost) - of(Name::Phantom) - of(Name::Reordered)
    )?;
    writeln!(text, "  repeated inside the window {}, outside {}", sum.repeated_inside, sum.repeated_outside)?;
    writeln!(text, "  recovery {}", recovery(sum))?;
    for (took_ms, after) in &sum.slowest {
        writeln!(text, "    {took_ms} ms after {after}")?;
    }
    for (skipped, runs) in &sum.skipped {
        writeln!(text, "  skipped in {runs} runs: {skipped}")?;
    }
    Ok(())
}

fn recovery(points: &Points) -> String {
    match (points.recovery_percentile(50), points.recovery_percentile(99), points.recovery_ms.last()) {
        (Some(p50), Some(p99), Some(most)) => {
            format!("p50 {p50} ms, p99 {p99} ms, most {most} ms, of {}", points.recovery_ms.len())
        }
        _ => "none was measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_points_by_kind() {
        let mut sum = Points { runs: 2, ..Points::default() };
        for name in [
            "kill",
            "kill",
            "kill while it stops",
            "store::write::before error, then kill",
            "syscall::write kill",
        ] {
            sum.crashed(name);
        }
        sum.crashed("store::write::before exit");
        sum.recovered(7, "kill".into());
        sum.skipped.insert("system calls: no strace".into(), 1);
        let mut text = String::new();
        table(&mut text, &sum).unwrap();
        for line in [
            "so far    6 of 10000 crash points in 2 runs, 0 changes",
            "  kill                    2",
            "  kill while it stops     1",
            "  store::write::before    error, then kill 1; exit 1",
            "  syscall::write          kill 1",
            "  lost 0, phantom 0, reordered 0; other anomalies 0",
            "    7 ms after kill",
            "  skipped in 1 runs: system calls: no strace",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
