//! Judges a sink's deliveries against what the writers know: nothing lost, nothing made up, order kept,
//! repetitions only under their first id.

use std::collections::{HashMap, HashSet};

use super::event::Event;
use super::exact::Exact;
use super::fold::{Anomaly, Fold};
use super::writers::{Change, Kind, Transaction};

/// How much order a sink promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Everything in the order of commits.
    Total,
    /// The changes of one row.
    PerRow,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Must be empty.
    pub anomalies: Vec<Anomaly>,
    /// Deliveries that repeated an earlier one under its id: allowed.
    pub repeated: usize,
}

/// Judges all deliveries of one sink, in the order of their arrival, over all restarts.
///
/// `source` is what the table `ledger` holds at the end.
#[must_use]
pub fn audit(events: &[Event], done: &[Vec<Transaction>], source: &[Exact], order: Order) -> Report {
    let mut fold = Fold::of(&[("ledger", &["writer", "key"])]);
    let mut anomalies = Vec::new();
    let mut seen: HashMap<Change, &str> = HashMap::new();
    let mut line = Line::new(order);
    for event in events.iter().filter(|event| event.table() == Some("ledger")) {
        match fold.apply(event) {
            Err(anomaly) => anomalies.push(anomaly),
            Ok(false) => {}
            Ok(true) => match change(event) {
                None => anomalies.push(Anomaly::Phantom(format!("not a change of ours: {}", event.envelope))),
                Some(change) => {
                    if let Some(first) = seen.insert(change, &event.id) {
                        anomalies.push(Anomaly::DuplicatedWithOtherId(format!(
                            "{change:?}: {first}, {}",
                            event.id
                        )));
                    } else if let Some(later) = line.goes_back(change) {
                        anomalies.push(Anomaly::Reordered(format!("{change:?} after version {later}")));
                    }
                }
            },
        }
    }
    let committed = done.iter().flatten().filter(|transaction| transaction.committed);
    let expected: HashSet<Change> =
        committed.flat_map(|transaction| transaction.changes.iter().copied()).collect();
    anomalies
        .extend(expected.iter().filter(|c| !seen.contains_key(c)).map(|c| Anomaly::Lost(format!("{c:?}"))));
    let made_up = seen.keys().filter(|change| !expected.contains(change));
    anomalies.extend(made_up.map(|change| Anomaly::Phantom(format!("never committed: {change:?}"))));
    anomalies.extend(fold.differences("ledger", source));
    Report { anomalies, repeated: fold.repeated() }
}

/// Which change an event tells of.
#[must_use]
pub fn change(event: &Event) -> Option<Change> {
    let number = |column: &str| event.column(column).and_then(Exact::integer);
    let kind = match event.operation.as_str() {
        "INSERT" => Kind::Insert,
        "UPDATE" => Kind::Update,
        "DELETE" => Kind::Delete,
        _ => return None,
    };
    Some(Change { writer: number("writer")?, key: number("key")?, version: number("version")?, kind })
}

/// The newest version seen, of a row or of a writer.
struct Line {
    order: Order,
    newest: HashMap<(i64, i64), i64>,
}

impl Line {
    fn new(order: Order) -> Self {
        Self { order, newest: HashMap::new() }
    }

    /// The newer version that came before, if one did. A delete bears the version that it deletes, so it
    /// only counts for its row.
    fn goes_back(&mut self, change: Change) -> Option<i64> {
        let row = (change.writer, change.key);
        let last = self.newest.get(&row).copied().unwrap_or(0);
        let back = if change.kind == Kind::Delete { change.version != last } else { change.version <= last };
        if back {
            return Some(last);
        }
        self.newest.insert(row, change.version);
        if self.order == Order::Total && change.kind != Kind::Delete {
            let writer = (change.writer, -1);
            let last = self.newest.insert(writer, change.version).unwrap_or(0);
            return (change.version <= last).then_some(last);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u32, change: Change) -> Event {
        let op = match change.kind {
            Kind::Insert => "INSERT",
            Kind::Update => "UPDATE",
            Kind::Delete => "DELETE",
        };
        let Change { writer, key, version, .. } = change;
        Event::parse(&format!(
            r#"{{"id":"{id}","channel":"pgcdc:ledger","operation":"{op}","payload":{{"op":"{op}","table":"ledger",
            "row":{{"writer":{writer},"key":{key},"version":{version}}},"old":null}}}}"#
        ))
    }

    fn history() -> (Vec<Event>, Vec<Vec<Transaction>>, Vec<Exact>) {
        let change = |key, version, kind| Change { writer: 1, key, version, kind };
        let changes = vec![
            change(1, 1, Kind::Insert),
            change(2, 2, Kind::Insert),
            change(1, 3, Kind::Update),
            change(2, 2, Kind::Delete),
            change(2, 4, Kind::Insert),
        ];
        let events = changes.iter().zip(1..).map(|(change, id)| event(id, *change)).collect();
        let rows = [r#"{"writer":1,"key":1,"version":3}"#, r#"{"writer":1,"key":2,"version":4}"#];
        let rows = rows.iter().map(|row| Exact::parse(row).unwrap()).collect();
        let rolled_back = Transaction { changes: vec![change(7, 9, Kind::Insert)], committed: false };
        (events, vec![vec![Transaction { changes, committed: true }, rolled_back]], rows)
    }

    fn judge(events: &[Event], order: Order) -> Vec<String> {
        let (_, done, rows) = history();
        let names = |anomaly: Anomaly| anomaly.to_string().split('(').next().unwrap_or_default().to_owned();
        audit(events, &done, &rows, order).anomalies.into_iter().map(names).collect()
    }

    #[test]
    fn a_true_history_passes_and_so_does_a_replayed_tail() {
        let (mut events, _, _) = history();
        events.extend_from_within(2..);
        assert_eq!(judge(&events, Order::Total), [""; 0]);
    }

    #[test]
    fn what_a_broken_build_would_deliver_is_named() {
        let (events, _, _) = history();
        let mut lost = events.clone();
        lost.remove(1);
        assert_eq!(judge(&lost, Order::PerRow), ["Reordered", "Lost"]);
        let mut lost_in_the_end = events.clone();
        lost_in_the_end.pop();
        assert_eq!(judge(&lost_in_the_end, Order::Total), ["Lost", "Lost"]);
        let mut swapped = events.clone();
        swapped.swap(0, 1);
        assert_eq!(judge(&swapped, Order::Total), ["Reordered"]);
        assert_eq!(judge(&swapped, Order::PerRow), [""; 0]);
        let mut renamed = events.clone();
        renamed.push(event(99, Change { writer: 1, key: 2, version: 4, kind: Kind::Insert }));
        assert_eq!(judge(&renamed, Order::Total), ["DuplicatedWithOtherId"]);
        let mut reused = events.clone();
        reused.push(event(1, Change { writer: 1, key: 2, version: 4, kind: Kind::Insert }));
        assert_eq!(judge(&reused, Order::Total), ["IdReused"]);
        let mut rolled_back = events;
        rolled_back.push(event(6, Change { writer: 1, key: 7, version: 9, kind: Kind::Insert }));
        assert_eq!(judge(&rolled_back, Order::Total), ["Phantom", "Phantom"]);
    }
}
