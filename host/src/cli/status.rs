//! `pgcdc status`: the document that a running pgcdc answers with, and how it is shown.
//!
//! The document only grows: readers ignore what they do not know. It holds no row values and no secrets.

use serde::{Deserialize, Serialize};

use super::table::{printable, table};

/// Everything that runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version that answers.
    pub version: String,
    /// Since its start; seconds.
    pub uptime_seconds: u64,
    /// Is everything as it should be?
    pub ready: bool,
    /// In the manifest's order.
    pub sources: Vec<SourceStatus>,
    /// In the manifest's order.
    pub sinks: Vec<SinkStatus>,
}

/// What a source or a sink is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not connected yet.
    #[default]
    Starting,
    /// Working.
    Running,
    /// Held back by something behind it.
    Paused,
    /// Waits for its turn: another process does the same.
    Standby,
    /// Failed, and will try again.
    Retrying,
    /// Failed, and waits for a person.
    Halted,
    /// Done.
    Stopped,
    /// A later pgcdc's word.
    #[serde(other)]
    Unknown,
}

impl State {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Paused => "paused",
            State::Standby => "standby",
            State::Retrying => "retrying",
            State::Halted => "halted",
            State::Stopped => "stopped",
            State::Unknown => "unknown",
        }
    }
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStatus {
    /// The operator's name.
    pub name: String,
    /// The component.
    #[serde(rename = "use")]
    pub uses: String,
    /// What it is doing.
    pub state: State,
    /// Up to where everything is stored; for PostgreSQL an LSN.
    pub position: Option<String>,
    /// Between the source's end and the position.
    pub lag_bytes: Option<u64>,
    /// Since the position was the source's end.
    pub lag_seconds: Option<f64>,
    /// WAL that the server keeps for its slot; bytes.
    pub retained_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost`: how the server stands to that WAL.
    pub wal_status: Option<String>,
    /// A stable name for the last thing that went wrong, where it has one: `slot_missing`, `publication_gap`, …
    pub reason: Option<String>,
    /// `green`, `yellow` or `red`, by its slot's lag; absent without backpressure.
    pub pressure: Option<String>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// What an operator should do about it.
    pub next_step: Option<String>,
}

/// One sink, per source where there are several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkStatus {
    /// The operator's name.
    pub name: String,
    /// The component.
    #[serde(rename = "use")]
    pub uses: String,
    /// The source whose position this is.
    pub source: Option<String>,
    /// What it is doing.
    pub state: State,
    /// Up to where everything is durable there.
    pub position: Option<String>,
    /// Behind the source's end; bytes.
    pub lag_bytes: Option<u64>,
    /// Behind the source's end; seconds.
    pub lag_seconds: Option<f64>,
    /// Batches handed over and not answered for.
    pub in_flight: u64,
    /// Events dead-lettered since the start.
    pub dead_lettered: u64,
    /// On the disk, because the sink is behind.
    pub overflow_bytes: u64,
    /// Why the disk takes no more, and the source waits.
    pub overflow_stuck: Option<String>,
    /// What stands between the lane and the sink: breaker, restarts of the component, and whether it is passed by.
    pub guard: serde_json::Value,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// What an operator should do about it.
    pub next_step: Option<String>,
}

/// The document as tables.
pub fn render(status: &Status) -> String {
    let ready = if status.ready { "ready" } else { "not ready" };
    let mut out = format!(
        "pgcdc {}, up {}, {ready}\n\n",
        printable(&status.version),
        seconds(status.uptime_seconds as f64)
    );
    let sources = status.sources.iter().map(|source| {
        [
            source.name.clone(),
            source.uses.clone(),
            source.state.as_str().to_owned(),
            source.position.clone().unwrap_or_default(),
            source.lag_bytes.map(bytes).unwrap_or_default(),
            source.lag_seconds.map(seconds).unwrap_or_default(),
            source.pressure.clone().unwrap_or_default(),
        ]
    });
    let header = ["SOURCE", "USE", "STATE", "POSITION", "LAG", "BEHIND", "PRESSURE"];
    out.push_str(&table(header, sources));
    out.push('\n');
    let sinks = status.sinks.iter().map(|sink| {
        [
            sink.name.clone(),
            sink.uses.clone(),
            sink.state.as_str().to_owned(),
            sink.source.clone().unwrap_or_default(),
            sink.position.clone().unwrap_or_default(),
            sink.lag_bytes.map(bytes).unwrap_or_default(),
            sink.lag_seconds.map(seconds).unwrap_or_default(),
            sink.in_flight.to_string(),
            sink.dead_lettered.to_string(),
        ]
    });
    let header = ["SINK", "USE", "STATE", "SOURCE", "POSITION", "LAG", "BEHIND", "IN FLIGHT", "DEAD"];
    out.push_str(&table(header, sinks));
    for (name, guard) in status.sinks.iter().filter_map(|sink| Some((&sink.name, of_note(&sink.guard)?))) {
        out.push_str(&format!("\n{}: {}\n", printable(name), printable(&guard)));
    }
    for source in &status.sources {
        if let Some(status @ ("extended" | "unreserved" | "lost")) = source.wal_status.as_deref() {
            let kept = source.retained_bytes.map(bytes).unwrap_or_default();
            out.push_str(&format!(
                "\n{}: slot's wal_status is {status}; it keeps {kept}\n",
                printable(&source.name)
            ));
        }
    }
    let troubles = status
        .sources
        .iter()
        .map(|source| (&source.name, &source.last_error, &source.next_step, &source.reason))
        .chain(status.sinks.iter().map(|sink| (&sink.name, &sink.last_error, &sink.next_step, &None)));
    for sink in status.sinks.iter().filter(|sink| sink.overflow_bytes > 0) {
        out.push_str(&format!(
            "\n{}: {} in its overflow\n",
            printable(&sink.name),
            bytes(sink.overflow_bytes)
        ));
    }
    for (name, why) in
        status.sinks.iter().filter_map(|sink| Some((&sink.name, sink.overflow_stuck.as_ref()?)))
    {
        out.push_str(&format!("\n{}: the source waits for it: {}\n", printable(name), printable(why)));
    }
    for (name, error, next, reason) in troubles {
        if let Some(error) = error {
            let reason = reason.as_ref().map(|reason| format!("{reason}: ")).unwrap_or_default();
            out.push_str(&format!("\n{}: {}{}\n", printable(name), printable(&reason), printable(error)));
        }
        if let Some(next) = next {
            out.push_str(&format!("  next: {}\n", printable(next)));
        }
    }
    out
}

/// What is out of the ordinary between a lane and its sink.
fn of_note(guard: &serde_json::Value) -> Option<String> {
    let text = |key: &str, usual: &str| guard[key].as_str().filter(|text| *text != usual);
    let mut notes = Vec::new();
    notes.extend(text("component", "running").map(|state| format!("component {state}")));
    notes.extend(guard["restarts"].as_u64().filter(|n| *n > 0).map(|n| format!("restarts {n}")));
    notes.extend(text("breaker", "closed").map(|state| format!("circuit breaker {state}")));
    notes.extend((guard["passed_by"] == true).then(|| "passed by, because of its dead letters".to_owned()));
    (!notes.is_empty()).then(|| notes.join(", "))
}

/// `512 B`, `1.5 MiB`.
pub(super) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{scaled:.1} {unit}")
}

/// `0.3s`, `12s`, `3m`, `5h`, `2d`: the two leading digits are what matters.
pub(super) fn seconds(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.1}s"),
        value if value < 120.0 => format!("{value:.0}s"),
        value if value < 7_200.0 => format!("{:.0}m", value / 60.0),
        value if value < 172_800.0 => format!("{:.0}h", value / 3_600.0),
        value => format!("{:.0}d", value / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_as_people_see_it() {
        let json = r#"{"version":"0.1.0","uptime_seconds":4000,"ready":false,"new_key":1,
            "sources":[{"name":"shop","use":"wal","state":"running","wal_status":"extended","retained_bytes":2097152,"position":"0/16B3748","lag_bytes":1572864,"lag_seconds":0.25,"pressure":"yellow"}],
            "sinks":[{"name":"audit","use":"webhook","state":"retrying","position":"0/16B3000","lag_bytes":12,"lag_seconds":90,"in_flight":3,
              "guard":{"component":"quarantined","restarts":7,"breaker":"open","passed_by":true},
              "last_error":"503 from https://h\u001b[31m","next_step":"nothing: it is tried again in 8s"},
              {"name":"x","use":"stdout","state":"from the future"}]}"#;
        let status: Status = serde_json::from_str(json).unwrap();
        let golden = "\
pgcdc 0.1.0, up 67m, not ready

SOURCE  USE  STATE    POSITION   LAG      BEHIND  PRESSURE
shop    wal  running  0/16B3748  1.5 MiB  0.2s    yellow

SINK   USE      STATE     SOURCE  POSITION   LAG   BEHIND  IN FLIGHT  DEAD
audit  webhook  retrying  -       0/16B3000  12 B  90s     3          0
x      stdout   unknown   -       -          -     -       0          0

audit: component quarantined, restarts 7, circuit breaker open, passed by, because of its dead letters

shop: slot's wal_status is extended; it keeps 2.0 MiB

audit: 503 from https://h [31m
  next: nothing: it is tried again in 8s
";
        assert_eq!(render(&status), golden);
    }
}
