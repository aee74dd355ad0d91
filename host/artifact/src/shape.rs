//! What a component imports and exports, by name, read from its top level without compiling.
//!
//! An import is a request and an export is a kind; the self-description may claim only what is here.

use wasmparser::{Parser, Payload};

use crate::Refused;
use crate::section::{check_kind, damaged};

/// Interfaces of the host without an effect outside: always there, and never asked for.
pub const INERT: [&str; 6] = ["types", "batches", "log", "metrics", "crypto", "kv"];

/// The names at a component's top level, such as `pgcdc:host/http@1.0.0-draft`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shape {
    /// In the order of the file.
    pub imports: Vec<String>,
    /// In the order of the file.
    pub exports: Vec<String>,
}

/// A kind of connector, as the interface that it exports says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Where changes come from.
    Source,
    /// What changes them on their way.
    Transform,
    /// Where they go.
    Sink,
    /// Where refused ones are kept.
    Dlq,
    /// Where positions are kept.
    CheckpointStore,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::Source, Kind::Transform, Kind::Sink, Kind::Dlq, Kind::CheckpointStore];

    /// As interfaces and self-descriptions spell it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Transform => "transform",
            Kind::Sink => "sink",
            Kind::Dlq => "dlq",
            Kind::CheckpointStore => "checkpoint-store",
        }
    }

    /// The reverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Shape {
    /// Reads a component's top level.
    pub fn read(wasm: &[u8]) -> Result<Shape, Refused> {
        check_kind(wasm)?;
        let mut shape = Shape::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(|e| damaged(&e))? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        shape.imports.push(import.map_err(|e| damaged(&e))?.name.name.to_string());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        shape.exports.push(export.map_err(|e| damaged(&e))?.name.name.to_string());
                    }
                }
                _ => {}
            }
        }
        Ok(shape)
    }

    /// The kinds that it is, by its exports in this host's version of the contract.
    pub fn kinds(&self) -> Vec<Kind> {
        let exports = |kind: &Kind| {
            self.exports.iter().any(|name| *name == format!("pgcdc:connector/{}@{}", kind.name(), crate::API))
        };
        Kind::ALL.into_iter().filter(exports).collect()
    }

    /// The host's interfaces that it imports, without package and version: `http`, `files`, …
    pub fn capabilities(&self) -> Vec<&str> {
        self.imports
            .iter()
            .filter_map(|name| name.strip_prefix("pgcdc:host/"))
            .map(|rest| rest.split_once('@').map_or(rest, |(interface, _)| interface))
            .collect()
    }

    /// Names of ours in a version that this host does not speak.
    pub fn foreign_versions(&self) -> Vec<&str> {
        let all = self.imports.iter().chain(&self.exports);
        all.filter(|name| name.starts_with("pgcdc:") && !name.ends_with(&format!("@{}", crate::API)))
            .map(String::as_str)
            .collect()
    }
}
