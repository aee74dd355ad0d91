//! What is held, and against what: one line a figure that this run has measured.
//!
//! Ratios are medians of the ratios of a round's pairs, so that a slow minute of the machine counts on both sides.

use crate::hung;
use crate::large;
use crate::policy;
use crate::report::Report;
use crate::snapshot;

const RECVLOGICAL: &str = "pg_recvlogical";
const STDOUT: &str = "stdout";

enum Bar {
    AtLeast(f64),
    AtMost(f64),
}
use Bar::{AtLeast, AtMost};

/// Prints what was measured beside its bar.
pub(crate) fn print(report: &Report) {
    let rate = |who, base| report.ratio((who, "rows_per_second"), (base, "rows_per_second"));
    let cpu = |who, base| report.ratio((who, "cpu_s_per_million"), (base, "cpu_s_per_million"));
    let median = |who, what| report.median(who, what);
    let ahead = |what| Some(median(STDOUT, what)? - median(RECVLOGICAL, what)?);
    let lines = [
        ("stdout / pg_recvlogical, rows/s", rate(STDOUT, RECVLOGICAL), AtLeast(0.95)),
        ("stdout / pg_recvlogical, CPU", cpu(STDOUT, RECVLOGICAL), AtMost(0.5)),
        ("file / stdout, rows/s", rate("file", STDOUT), AtLeast(0.9)),
        ("webhook-batch / stdout, rows/s", rate("webhook-batch", STDOUT), AtLeast(0.9)),
        ("components / linked, CPU", cpu("drop_columns", "drop_columns-linked"), AtMost(1.15)),
        ("policy on / off, rows/s", rate(policy::ON, policy::OFF), AtLeast(0.95)),
        ("snapshot / copy, rows/s", rate(snapshot::SNAPSHOT, snapshot::COPY), AtLeast(0.7)),
        (
            "beside a hung sink / alone, p99",
            report.ratio((hung::BESIDE, "latency_p99_ms"), (hung::ALONE, "latency_p99_ms")),
            AtMost(2.0),
        ),
        ("in pieces / whole, rows/s from COMMIT", rate(large::IN_PIECES, large::WHOLE), AtLeast(1.0)),
        ("one transaction in pieces, peak MiB", median(large::IN_PIECES, "peak_mib"), AtMost(128.0)),
        ("stdout, peak MiB", median(STDOUT, "peak_mib"), AtMost(64.0)),
        ("webhook-single, peak MiB", median("webhook-single", "peak_mib"), AtMost(64.0)),
        ("stdout, first event ms", median(STDOUT, "first_event_ms"), AtMost(50.0)),
        ("stdout - pg_recvlogical, p50 ms", ahead("latency_p50_ms"), AtMost(0.5)),
        ("stdout - pg_recvlogical, p99 ms", ahead("latency_p99_ms"), AtMost(1.0)),
        ("stdout, CPU-s/M at 1,000 tx/s", median(STDOUT, "latency_cpu_s_per_million"), AtMost(60.0)),
        ("idle, % of a core", median("three connectors, idle", "idle_cpu_percent"), AtMost(0.2)),
        ("idle, RSS MiB", median("three connectors, idle", "rss_mib"), AtMost(24.0)),
        ("all columns read in a guest, µs", median("all columns read, an event", "us"), AtMost(0.25)),
        ("an instance, µs", median("an instance", "us"), AtMost(20.0)),
    ];
    let measured = lines.into_iter().filter_map(|(what, value, bar)| Some((what, value?, bar)));
    for (at, (what, value, bar)) in measured.enumerate() {
        if at == 0 {
            println!("\n{:<36}{:>10}{:>12}", "", "measured", "bar");
        }
        let (word, limit, held) = match bar {
            AtLeast(limit) => ("≥", limit, value >= limit),
            AtMost(limit) => ("≤", limit, value <= limit),
        };
        println!(
            "{what:<36}{value:>10.2}{:>12}{}",
            format!("{word} {limit}"),
            if held { "" } else { "  missed" }
        );
    }
}
