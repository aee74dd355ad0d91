//! Folds row events into tables, and says where these differ from the source's.
//!
//! Invariant: an id that was folded once is never folded again, so a repeated delivery changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::event::Event;
use super::exact::Exact;

/// What must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Committed at the source and never delivered.
    Lost(String),
    /// Delivered and never committed, or still there after it went away.
    Phantom(String),
    /// There, with another content than at the source.
    Stale(String),
    /// First delivered after something that happened later.
    Reordered(String),
    /// One change under two ids: nobody downstream can tell that it is a repetition.
    DuplicatedWithOtherId(String),
    /// Two changes under one id: somebody downstream will throw one away.
    IdReused(String),
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Fails the test, with the first few, if there are any.
#[track_caller]
pub fn assert_none(where_: &str, anomalies: &[Anomaly]) {
    let first: Vec<String> = anomalies.iter().take(10).map(ToString::to_string).collect();
    assert!(anomalies.is_empty(), "{where_}: {} anomalies, first:\n{}", anomalies.len(), first.join("\n"));
}

type Key = Vec<Exact>;

/// Tables as the events tell them.
#[derive(Debug, Default)]
pub struct Fold {
    keys: HashMap<String, Vec<String>>,
    tables: HashMap<String, BTreeMap<Key, Exact>>,
    ids: HashMap<String, Exact>,
    repeated: usize,
}

impl Fold {
    /// Knows these tables by their key columns; events of others are left alone.
    #[must_use]
    pub fn of(tables: &[(&str, &[&str])]) -> Self {
        let key = |columns: &[&str]| columns.iter().map(|c| (*c).to_owned()).collect();
        Self {
            keys: tables.iter().map(|(table, columns)| ((*table).to_owned(), key(columns))).collect(),
            ..Self::default()
        }
    }

    /// How many deliveries repeated an earlier one.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Takes one delivery; true if it is the first of its id.
    ///
    /// # Errors
    /// The id was there before, with another payload.
    pub fn apply(&mut self, event: &Event) -> Result<bool, Anomaly> {
        if let Some(earlier) = self.ids.get(&event.id) {
            if *earlier != event.payload {
                return Err(Anomaly::IdReused(format!("{}: {earlier} and {}", event.id, event.payload)));
            }
            self.repeated += 1;
            return Ok(false);
        }
        self.ids.insert(event.id.clone(), event.payload.clone());
        let Some(table) = event.table().filter(|table| self.keys.contains_key(*table)) else {
            return Ok(true);
        };
        let key = |row: &Exact| self.key(table, row);
        let (new, old) = (key(event.row()), key(event.old()));
        let rows = self.tables.entry(table.to_owned()).or_default();
        match event.operation.as_str() {
            "INSERT" | "SNAPSHOT" => drop(rows.insert(new, event.row().clone())),
            "UPDATE" => {
                if *event.old() != Exact::Null {
                    rows.remove(&old);
                }
                rows.insert(new, event.row().clone());
            }
            "DELETE" => drop(rows.remove(&new)),
            "TRUNCATE" => rows.clear(),
            _ => {}
        }
        Ok(true)
    }

    /// Where a table differs from what the source says.
    #[must_use]
    pub fn differences(&self, table: &str, source: &[Exact]) -> Vec<Anomaly> {
        let empty = BTreeMap::new();
        let folded = self.tables.get(table).unwrap_or(&empty);
        let source: BTreeMap<Key, &Exact> = source.iter().map(|row| (self.key(table, row), row)).collect();
        let mut found = Vec::new();
        for (key, row) in &source {
            match folded.get(key) {
                None => found.push(Anomaly::Lost(format!("{table}: {row}"))),
                Some(seen) if seen != *row => {
                    found.push(Anomaly::Stale(format!("{table}: {seen}, truly {row}")))
                }
                Some(_) => {}
            }
        }
        let phantoms = folded.iter().filter(|(key, _)| !source.contains_key(*key));
        found.extend(phantoms.map(|(_, row)| Anomaly::Phantom(format!("{table}: {row}"))));
        found
    }

    fn key(&self, table: &str, row: &Exact) -> Key {
        let columns = self.keys.get(table).into_iter().flatten();
        columns.map(|column| row.get(column).cloned().unwrap_or(Exact::Null)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, op: &str, row: &str, old: &str) -> Event {
        Event::parse(&format!(
            r#"{{"id":"{id}","channel":"pgcdc:t","operation":"{op}","payload":{{"op":"{op}","table":"t","row":{row},"old":{old}}}}}"#
        ))
    }

    fn folded(events: &[Event]) -> Fold {
        let mut fold = Fold::of(&[("t", &["k"])]);
        for event in events {
            fold.apply(event).unwrap();
        }
        fold
    }

    #[test]
    fn repeated_ids_change_nothing() {
        let first = event("1", "INSERT", r#"{"k":1,"v":1}"#, "null");
        let second = event("2", "UPDATE", r#"{"k":2,"v":2}"#, r#"{"k":1,"v":null}"#);
        let fold = folded(&[first.clone(), second.clone(), first, second]);
        assert_eq!(fold.repeated(), 2);
        assert_eq!(fold.differences("t", &[Exact::parse(r#"{"v":2,"k":2}"#).unwrap()]), []);
    }

    #[test]
    fn it_bites() {
        let mut fold = folded(&[
            event("1", "INSERT", r#"{"k":1,"v":1}"#, "null"),
            event("2", "INSERT", r#"{"k":2,"v":1}"#, "null"),
        ]);
        let source = [r#"{"k":1,"v":7}"#, r#"{"k":3,"v":1}"#].map(|row| Exact::parse(row).unwrap());
        let found = fold.differences("t", &source);
        assert!(
            matches!(found.as_slice(), [Anomaly::Stale(_), Anomaly::Lost(_), Anomaly::Phantom(_)]),
            "{found:?}"
        );
        let reused = fold.apply(&event("1", "INSERT", r#"{"k":9,"v":1}"#, "null"));
        assert!(matches!(reused, Err(Anomaly::IdReused(_))));
    }
}
