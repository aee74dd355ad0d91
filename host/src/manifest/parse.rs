//! A file, or the bytes of one, to a [`Manifest`] or to everything that is wrong with it.
//!
//! YAML unless the name ends in `.toml`. Foreign bytes never panic and never take more than a bounded
//! amount of memory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::interpolate::Lookup;
use super::model::Manifest;
use super::problem::{Problems, Report};
use super::source::{Source, Span};
use super::tree::Node;
use super::{read, toml, yaml};

/// A manifest larger than this is a mistake.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.yaml`, `.yml` and everything else.
    Yaml,
    /// `.toml`.
    Toml,
}

impl Format {
    /// By the file's name.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("toml") => Format::Toml,
            _ => Format::Yaml,
        }
    }
}

/// A manifest, and what is odd about it without being wrong.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The manifest.
    pub manifest: Manifest,
    /// Warnings, with their places.
    pub warnings: Vec<String>,
}

/// Reads the manifest in a file. `lookup` answers for `${…}`.
pub fn file(path: &Path, lookup: Lookup<'_>) -> Result<Parsed, Report> {
    let name = path.display().to_string();
    let about = |message: String, help: Option<&str>| Report::about(&name, message, help.map(str::to_owned));
    let open = |path| {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            about("there is no such file".to_owned(), Some("name the manifest: `pgcdc run pgcdc.yaml`"))
        }
        std::io::ErrorKind::IsADirectory => about("this is a folder, not a manifest".to_owned(), None),
        _ => about(format!("cannot be read: {error}"), None),
    })?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    self::bytes(&name, &bytes, Format::of(path), folder, lookup)
}

/// Reads the manifest in `bytes`. `name` is for messages; `folder` is what paths in it are relative to.
pub fn bytes(
    name: &str,
    bytes: &[u8],
    format: Format,
    folder: PathBuf,
    lookup: Lookup<'_>,
) -> Result<Parsed, Report> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(Report::about(name, "the file is over 1 MiB; that is no manifest", None));
    }
    let source = Source::new(name, text(name, bytes)?);
    let text = source.slice(Span { start: 0, end: bytes.len() });
    let mut problems = Problems::new(source.clone());
    let root = match format {
        Format::Yaml => yaml::read(text, lookup, &mut problems),
        Format::Toml => toml::read(text, lookup, &mut problems),
    };
    let Some(root) = root else {
        if !problems.any_error() {
            problems.error_nowhere("the file is empty", Some("begin with `version: 1`".to_owned()));
        }
        return Err(problems.report(None));
    };
    let shape = root.clone();
    let manifest = read::manifest(root, folder, &mut problems);
    finish(manifest, problems, &shape)
}

fn finish(manifest: Option<Manifest>, problems: Problems, root: &Node) -> Result<Parsed, Report> {
    let sound = !problems.any_error();
    let report = problems.report(Some(root));
    match manifest {
        Some(manifest) if sound => {
            Ok(Parsed { manifest, warnings: report.warnings().map(str::to_owned).collect() })
        }
        _ => Err(report),
    }
}

/// UTF-8, or where it is not.
fn text<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, Report> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good =
            bytes.get(..error.valid_up_to()).and_then(|good| std::str::from_utf8(good).ok()).unwrap_or("");
        let mut problems = Problems::new(Source::new(name, good));
        let at = Span { start: good.len(), end: good.len() };
        let help = "save the file as UTF-8".to_owned();
        problems.error_with(at, "the file is not valid UTF-8 from here on", Some(help));
        problems.report(None)
    })
}
