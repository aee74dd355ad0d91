//! Tests of the room as a whole: what an operator writes, and what pgcdc answers.

mod bad_configs;
mod bad_files;
mod good;
mod no_secret_shows;
mod properties;
pub(crate) mod shipped;

use std::ffi::OsString;
use std::path::PathBuf;

use super::check::check;
use super::parse::{self, Format, Parsed};
use super::ready::Checked;
use super::{Description, Manifest, Report};

/// Variables that tests may use.
pub(crate) fn env(name: &str) -> Option<OsString> {
    match name {
        "DATABASE_URL" => Some("postgres://app:canary-db@db.example/shop".into()),
        "HOOK_KEY" => Some("canary-env".into()),
        "PORT" => Some("16".into()),
        _ => None,
    }
}

pub(crate) fn parsed_as(name: &str, text: &[u8]) -> Result<Parsed, Report> {
    parse::bytes(name, text, Format::of(name.as_ref()), PathBuf::from("/etc/pgcdc"), &env)
}

pub(crate) fn manifest(text: &str) -> Manifest {
    parsed_as("pgcdc.yaml", text.as_bytes()).unwrap_or_else(|report| panic!("{report}")).manifest
}

/// Parses and checks against [`shipped`].
pub(crate) fn checked(text: &str) -> Result<Checked, Report> {
    let parsed = parsed_as("pgcdc.yaml", text.as_bytes())?;
    check(&parsed.manifest, &shipped::all(), &|_, _| Description::from_json(shipped::MINE.as_bytes()))
}

/// What an operator would read.
fn complaint(text: &str) -> String {
    checked(text).map(|checked| checked.warnings.join("\n")).unwrap_or_else(|report| report.to_string())
}

/// A manifest around one sink's lines, which are indented by four spaces.
fn with_sink(lines: &str) -> String {
    format!(
        "version: 1\ndetectors:\n  shop: {{ use: wal, config: {{ db: \"${{DATABASE_URL}}\" }} }}\nsinks:\n  audit:\n{lines}"
    )
}
