//! Manifests for scenarios: the usual parts written once, so that a test shows only what it is about.

use std::fmt::Write;

use super::database::Database;

/// A manifest in the making.
#[derive(Clone, Debug)]
pub struct Manifest {
    detector: String,
    transforms: Vec<String>,
    sinks: Vec<(String, String)>,
    rest: String,
}

impl Manifest {
    /// The WAL of a database, all tables, from a slot that lives as long as its session.
    #[must_use]
    pub fn wal(db: &Database) -> Self {
        Self::wal_of(&db.url(), "all_tables: true")
    }

    /// The same from a slot that stays, named like the database.
    #[must_use]
    pub fn persistent(db: &Database) -> Self {
        Self::wal_of(&db.url(), &format!("all_tables: true, persistent_slot: true, slot_name: {}", db.name()))
    }

    /// The WAL of whatever is at `url`; `config` is what goes between the braces after `db`.
    #[must_use]
    pub fn wal_of(url: &str, config: &str) -> Self {
        let detector = format!("{{ use: wal, config: {{ db: \"{url}\", {config} }} }}");
        Self { detector, transforms: Vec::new(), sinks: Vec::new(), rest: String::new() }
    }

    /// Any other detector, as a YAML flow value.
    #[must_use]
    pub fn of(detector: &str) -> Self {
        let detector = detector.to_owned();
        Self { detector, transforms: Vec::new(), sinks: Vec::new(), rest: String::new() }
    }

    /// A transform for every sink, as a YAML flow value.
    #[must_use]
    pub fn transform(mut self, flow: &str) -> Self {
        self.transforms.push(flow.to_owned());
        self
    }

    /// A sink, its body as a YAML flow value.
    #[must_use]
    pub fn sink(mut self, name: &str, flow: &str) -> Self {
        self.sinks.push((name.to_owned(), flow.to_owned()));
        self
    }

    /// The sink `out`: standard output.
    #[must_use]
    pub fn stdout(self) -> Self {
        self.sink("out", "{ use: stdout }")
    }

    /// Any other line at the top level.
    #[must_use]
    pub fn line(mut self, yaml: &str) -> Self {
        self.rest += yaml;
        self.rest.push('\n');
        self
    }

    /// The YAML.
    #[must_use]
    pub fn text(&self) -> String {
        let mut yaml = format!("version: 1\nstate_dir: ./state\ndetectors:\n  source: {}\n", self.detector);
        if !self.transforms.is_empty() {
            yaml += "transforms:\n";
            for flow in &self.transforms {
                let _ = writeln!(yaml, "  - {flow}");
            }
        }
        yaml += "sinks:\n";
        for (name, flow) in &self.sinks {
            let _ = writeln!(yaml, "  {name}: {flow}");
        }
        yaml + &self.rest
    }
}
