//! A tree to a [`Manifest`]: the top of the file, and what every section has in common.

use std::path::PathBuf;

use pgcdc_core::nack;

use super::backpressure;
use super::fields::{self, Fields};
use super::model::{Connector, Dlq, GrantLine, Limits, Manifest, NamedSecret, Place, SecretFrom, Use};
use super::problem::{Problems, shown_key};
use super::read_sink;
use super::settings::{BusMode, BusOverrides, LogFormat, LogLevel, LogOverrides, Overrides};
use super::source::{At, Span};
use super::tree::{Entry, Node, Value};

const TOP: &[&str] = &[
    "version",
    "detectors",
    "transforms",
    "sinks",
    "dlq",
    "checkpoint",
    "secrets",
    "bus",
    "log",
    "metrics_addr",
    "shutdown_timeout",
    "state_dir",
    "skip_validation",
    "standby",
    "backpressure",
    "skip_migrations",
];

/// Every key that a connector may have beside what its section adds.
pub(super) const CONNECTOR: &[&str] = &["use", "sha256", "config", "grants", "limits"];

/// Reads the whole tree. `None` if there is no manifest in it; `problems` then says why.
pub(super) fn manifest(root: Node, folder: PathBuf, problems: &mut Problems) -> Option<Manifest> {
    let top = Fields::new(&root, "the manifest", TOP, problems)?;
    version(&top, problems);
    let detectors =
        named(&top, "detectors", problems, |node, name, problems| connector(node, name, CONNECTOR, problems));
    let transforms = transforms(&top, "transforms", problems);
    let sinks = named(&top, "sinks", problems, read_sink::sink);
    for (section, empty) in [("detectors", detectors.is_empty()), ("sinks", sinks.is_empty())] {
        if empty && !problems.any_error() {
            let span = top.get(section).map_or(Span::default(), |node| node.span);
            problems.error(span, format!("`{section}` names nothing: a manifest needs at least one"));
        }
    }
    let dlq = top.get("dlq").and_then(|node| dlq(node, problems));
    let checkpoint = top.get("checkpoint").and_then(|node| {
        connector(node, At { value: "checkpoint".to_owned(), span: node.span }, CONNECTOR, problems)
    });
    let secrets = named(&top, "secrets", problems, secret);
    let settings = settings(&top, problems);
    let place = Place { source: problems.source().clone(), root: root.clone(), folder, from_flags: false };
    Some(Manifest { detectors, transforms, sinks, dlq, checkpoint, secrets, settings, place })
}

fn version(top: &Fields<'_>, problems: &mut Problems) {
    match top.get("version") {
        None => problems.error_with(
            Span::default(),
            "`version` is missing",
            Some("begin the manifest with `version: 1`".to_owned()),
        ),
        Some(node) => {
            problems.show(node.span);
            if !matches!(node.value, Value::Integer(1)) {
                problems.error(node.span, "this pgcdc reads manifests of version 1");
            }
        }
    }
}

/// A section whose keys are the operator's names.
fn named<T>(
    top: &Fields<'_>,
    section: &str,
    problems: &mut Problems,
    reader: impl Fn(&Node, At<String>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let Some(node) = top.get(section) else { return Vec::new() };
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("{section} must be a map from your names to connectors, found {}", node.kind());
        problems.error(node.span, message);
        return Vec::new();
    }
    let read = |entry: &Entry| {
        if !is_name(&entry.key) {
            let message =
                format!("a name under {section} is 1 to 63 letters, digits, `_` and `-`, first a letter");
            problems.error(entry.key_span, message);
            return None;
        }
        reader(&entry.value, At { value: entry.key.clone(), span: entry.key_span }, problems)
    };
    node.entries().iter().filter_map(read).collect()
}

/// Is this fit for a metric's label, a file's name and a log line?
pub fn is_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 63;
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A list of transforms.
pub(super) fn transforms(parent: &Fields<'_>, path: &str, problems: &mut Problems) -> Vec<Connector> {
    let Some(items) = parent.read("transforms", problems, fields::list) else { return Vec::new() };
    let read = |(index, item): (usize, &Node)| {
        connector(item, At { value: format!("{path}.{index}"), span: item.span }, CONNECTOR, problems)
    };
    items.iter().enumerate().filter_map(read).collect()
}

/// What every connector has; `known` holds [`CONNECTOR`] and what the section adds.
pub(super) fn connector(
    node: &Node,
    name: At<String>,
    known: &[&str],
    problems: &mut Problems,
) -> Option<Connector> {
    let fields = Fields::new(node, &name.value, known, problems)?;
    let Some(uses) = fields.get("use") else {
        let help = "`use` takes a shipped connector (`pgcdc list`), ./a-file.wasm, or a registry reference";
        problems.error_with(name.span, format!("`{}` has no `use`", name.value), Some(help.to_owned()));
        return None;
    };
    let uses = component(&fields::name(uses, "use", problems)?, problems)?;
    let config = match fields.get("config") {
        None => Node::empty_map(fields.span()),
        Some(node) => node.clone(),
    };
    if !matches!(config.value, Value::Map(_)) {
        problems.error(config.span, format!("config must be a map, found {}", config.kind()));
        return None;
    }
    Some(Connector {
        name,
        uses,
        sha256: fields.read("sha256", problems, digest),
        config,
        grants: fields.read("grants", problems, grants).unwrap_or_default(),
        limits: fields.read("limits", problems, limits).unwrap_or_default(),
    })
}

fn component(typed: &At<String>, problems: &mut Problems) -> Option<At<Use>> {
    let text = typed.value.as_str();
    let looks_like_path = text.starts_with(['.', '/']) || text.ends_with(".wasm");
    let value = if let Some(reference) = text.strip_prefix("oci://") {
        if !reference.contains("@sha256:") {
            let help = "add @sha256:… so that what runs is what was meant";
            problems.error_with(typed.span, "a registry reference needs a digest", Some(help.to_owned()));
            return None;
        }
        Use::Oci(text.to_owned())
    } else if looks_like_path {
        Use::File(PathBuf::from(text))
    } else {
        Use::Shipped(text.to_owned())
    };
    Some(At { value, span: typed.span })
}

fn digest(node: &Node, what: &str, problems: &mut Problems) -> Option<At<[u8; 32]>> {
    let text = fields::text(node, what, problems)?;
    let mut value = [0_u8; 32];
    let hex = text.value.as_bytes();
    let read = hex.len() == 64
        && value.iter_mut().zip(hex.chunks_exact(2)).all(|(byte, pair)| {
            let read = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            read.map(|read| *byte = read).is_some()
        })
        && hex.iter().all(u8::is_ascii_hexdigit);
    if !read {
        problems.error(node.span, "sha256 must be 64 hexadecimal digits");
        return None;
    }
    Some(At { value, span: node.span })
}

fn grants(node: &Node, what: &str, problems: &mut Problems) -> Option<Vec<GrantLine>> {
    if !matches!(node.value, Value::Map(_)) {
        let message =
            format!("{what} must be a map from interfaces to lists, such as `http: [ https://host:443 ]`");
        problems.error(node.span, message);
        return None;
    }
    let line = |entry: &Entry| {
        let interface = At { value: entry.key.clone(), span: entry.key_span };
        let what =
            fields::private_texts(&entry.value, &format!("grants.{}", shown_key(&entry.key)), problems)?;
        Some(GrantLine { interface, what })
    };
    Some(node.entries().iter().filter_map(line).collect())
}

fn limits(node: &Node, what: &str, problems: &mut Problems) -> Option<Limits> {
    let fields = Fields::new(node, what, &["memory", "cpu", "wall", "output", "log_rate"], problems)?;
    Some(Limits {
        memory_bytes: fields.read("memory", problems, fields::size),
        cpu: fields.read("cpu", problems, fields::duration),
        wall: fields.read("wall", problems, fields::duration),
        output_bytes: fields.read("output", problems, fields::size),
        log_lines_per_second: fields.read("log_rate", problems, fields::count(0)),
    })
}

fn dlq(node: &Node, problems: &mut Problems) -> Option<Dlq> {
    let known = [CONNECTOR, &["raw", "window_size", "window_threshold"]].concat();
    let name = At { value: "dlq".to_owned(), span: node.span };
    let connector = connector(node, name, &known, problems)?;
    let raw = node.get("raw").and_then(|node| fields::truth(node, "raw", problems)).unwrap_or(false);
    let count = |key, problems: &mut Problems| {
        node.get(key)
            .filter(|node| !matches!(node.value, Value::Null))
            .and_then(|node| fields::count(0)(node, key, problems))
    };
    let (size, threshold) = (count("window_size", problems), count("window_threshold", problems));
    if let (None | Some(0), Some(_), Some(at)) = (size, threshold, node.get("window_threshold")) {
        problems.error(at.span, "window_threshold means nothing without window_size");
    }
    Some(Dlq { connector, raw, window: window(size, threshold) })
}

/// 0 is off, and a threshold of 0 is half the size.
pub(crate) fn window(size: Option<u32>, threshold: Option<u32>) -> Option<nack::Settings> {
    let size = size.filter(|size| *size > 0)?;
    Some(nack::Settings::new(size, threshold.filter(|threshold| *threshold > 0)))
}

fn secret(node: &Node, name: At<String>, problems: &mut Problems) -> Option<NamedSecret> {
    let help = "write `{ env: VARIABLE }` or `{ file: /path }`";
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("secrets.{} must say where the secret is, not what it is", name.value);
        problems.error_with(node.span, message, Some(help.to_owned()));
        return None;
    }
    let fields = Fields::new(node, &format!("secrets.{}", name.value), &["env", "file"], problems)?;
    let env = fields.read("env", problems, fields::name);
    let file = fields.read("file", problems, fields::name);
    let from = match (env, file) {
        (Some(env), None) => SecretFrom::Env(env.value),
        (None, Some(file)) => SecretFrom::File(PathBuf::from(file.value)),
        (None, None) if fields.get("env").or(fields.get("file")).is_some() => return None,
        _ => {
            let message = format!("secrets.{} needs either `env` or `file`", name.value);
            problems.error_with(name.span, message, Some(help.to_owned()));
            return None;
        }
    };
    Some(NamedSecret { name, from })
}

fn settings(top: &Fields<'_>, problems: &mut Problems) -> Overrides {
    let log = top.read("log", problems, |node, what, problems| {
        let fields = Fields::new(node, what, &["level", "format"], problems)?;
        Some(LogOverrides {
            level: fields.read("level", problems, fields::word(LogLevel::WORDS, LogLevel::from_word)),
            format: fields.read("format", problems, fields::word(LogFormat::WORDS, LogFormat::from_word)),
        })
    });
    let bus = top.read("bus", problems, |node, what, problems| {
        let fields =
            Fields::new(node, what, &["mode", "buffer_events", "buffer_bytes", "overflow_bytes"], problems)?;
        Some(BusOverrides {
            mode: fields.read("mode", problems, fields::word(BusMode::WORDS, BusMode::from_word)),
            buffer_events: fields.read("buffer_events", problems, fields::count(1)),
            buffer_bytes: fields.read("buffer_bytes", problems, fields::size),
            overflow_bytes: fields.read("overflow_bytes", problems, fields::size_or_none),
        })
    });
    let address = top.read("metrics_addr", problems, |node, what, problems| {
        let text = fields::text(node, what, problems)?;
        let address = text.value.parse().ok();
        if address.is_none() {
            problems
                .error(node.span, format!("{what} must be an address and a port, such as 127.0.0.1:9090"));
        }
        address
    });
    Overrides {
        log: log.unwrap_or_default(),
        bus: bus.unwrap_or_default(),
        metrics_addr: address,
        shutdown_timeout: top.read("shutdown_timeout", problems, fields::duration),
        state_dir: top.read("state_dir", problems, fields::name).map(|text| PathBuf::from(text.value)),
        skip_validation: top.read("skip_validation", problems, fields::truth),
        standby: top.read("standby", problems, fields::truth),
        backpressure: top.read("backpressure", problems, backpressure::read).unwrap_or_default(),
        skip_migrations: top.read("skip_migrations", problems, fields::truth),
    }
}
