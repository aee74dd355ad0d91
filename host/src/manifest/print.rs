//! A manifest as YAML that reads back as the same manifest.
//!
//! Invariant: no secret is printed. A secret, or any text of a component that is not described,
//! is `***` unless it is a reference or a `${…}`; an endpoint loses its password and its query.
//! A manifest with a `***` in it parses and is refused by the check, which says what to do.

use super::address::Address;
use super::check_special::{PLACEHOLDER, secret_reference};
use super::description::{Description, Kind};
use super::model::{Connector, GrantLine, Limits, Manifest, NamedSecret, Policy, SecretFrom, Sink, Use};
use super::quantity::{show_bytes, show_duration};
use super::schema::{Meaning, Schema};
use super::settings::Overrides;
use super::source::At;
use super::tree::{Entry, Node, Text, Value};
use super::yaml_write;

/// Prints. `known` are the descriptions that say which properties are secrets.
pub fn yaml(manifest: &Manifest, known: &[Description]) -> String {
    let mut root = map();
    root.set("version", Node::nowhere(Value::Integer(1)));
    let named = |connectors: &[Connector], kind| {
        let mut section = map();
        for each in connectors {
            section.set(&each.name.value, connector(each, kind, known));
        }
        section
    };
    root.set("detectors", named(&manifest.detectors, Kind::Source));
    set_some(&mut root, "transforms", transforms(&manifest.transforms, known));
    let mut sinks = map();
    for each in &manifest.sinks {
        sinks.set(&each.connector.name.value, sink(each, known));
    }
    root.set("sinks", sinks);
    if let Some(dlq) = &manifest.dlq {
        let mut node = connector(&dlq.connector, Kind::Dlq, known);
        if dlq.raw {
            node.set("raw", Node::nowhere(Value::Bool(true)));
        }
        if let Some(window) = dlq.window {
            node.set("window_size", number(window.size));
            node.set("window_threshold", number(window.threshold));
        }
        root.set("dlq", node);
    }
    set_some(
        &mut root,
        "checkpoint",
        manifest.checkpoint.as_ref().map(|each| connector(each, Kind::CheckpointStore, known)),
    );
    set_some(&mut root, "secrets", secrets(&manifest.secrets));
    settings(&mut root, &manifest.settings);
    yaml_write::document(&root)
}

fn map() -> Node {
    Node::nowhere(Value::Map(Vec::new()))
}

fn set_some(node: &mut Node, key: &str, value: Option<Node>) {
    if let Some(value) = value {
        node.set(key, value);
    }
}

fn set_map(node: &mut Node, key: &str, value: Node) {
    if !value.entries().is_empty() {
        node.set(key, value);
    }
}

fn number(value: u32) -> Node {
    Node::nowhere(Value::Integer(value.into()))
}

fn texts(items: &[At<String>]) -> Node {
    Node::nowhere(Value::List(items.iter().map(|item| Node::text(&item.value)).collect()))
}

fn connector(connector: &Connector, kind: Kind, known: &[Description]) -> Node {
    let mut node = map();
    node.set("use", Node::text(&connector.uses.value.typed()));
    if let Some(digest) = &connector.sha256 {
        let hex: String = digest.value.iter().map(|byte| format!("{byte:02x}")).collect();
        node.set("sha256", Node::text(&hex));
    }
    let schema = match &connector.uses.value {
        Use::Shipped(name) => known.iter().find(|each| each.name == *name && each.is(kind)),
        _ => None,
    };
    let schema = schema.map(|description| &description.config);
    let config = connector.config.entries().iter().map(|entry| masked_entry(entry, schema)).collect();
    set_map(&mut node, "config", Node::nowhere(Value::Map(config)));
    set_map(&mut node, "grants", grants(&connector.grants));
    set_map(&mut node, "limits", limits(&connector.limits));
    node
}

/// A config with what is or may be secret replaced.
fn masked(node: &Node, schema: Option<&Schema>) -> Node {
    if secret_reference(node).is_some() {
        return node.clone();
    }
    let value = match &node.value {
        Value::Map(entries) => Value::Map(entries.iter().map(|entry| masked_entry(entry, schema)).collect()),
        Value::List(items) => {
            let item = schema.map(|schema| match (&schema.items, schema.meaning()) {
                (Some(items), Meaning::Plain) => items,
                _ => schema,
            });
            Value::List(items.iter().map(|node| masked(node, item)).collect())
        }
        Value::Text(text) if text.spelled().is_none() => {
            let shown = match schema.map(|schema| (schema.meaning(), schema.kind.is_some())) {
                None | Some((Meaning::Secret, _) | (Meaning::Plain, false)) => PLACEHOLDER.to_owned(),
                Some((Meaning::Endpoint(kind), _)) => match Address::parse(kind, text.expose()) {
                    Ok(address) => address.without_password(),
                    Err(_) => PLACEHOLDER.to_owned(),
                },
                Some(_) => return node.clone(),
            };
            return Node::text(&shown);
        }
        other => other.clone(),
    };
    Node::nowhere(value)
}

fn masked_entry(entry: &Entry, schema: Option<&Schema>) -> Entry {
    // A map of the operator's own, HTTP headers say, has no properties: its values may be secrets.
    let property = schema.and_then(|schema| schema.properties.get(&entry.key));
    Entry { key: entry.key.clone(), key_span: entry.key_span, value: masked(&entry.value, property) }
}

fn grants(lines: &[GrantLine]) -> Node {
    let mut node = map();
    for line in lines {
        let shown = |what: &At<Text>| match Address::parse(&line.interface.value, what.value.expose()) {
            _ if what.value.spelled().is_some() => Node::nowhere(Value::Text(what.value.clone())),
            Ok(address) => Node::text(&address.without_password()),
            Err(_) => Node::text(PLACEHOLDER),
        };
        node.set(&line.interface.value, Node::nowhere(Value::List(line.what.iter().map(shown).collect())));
    }
    node
}

fn limits(limits: &Limits) -> Node {
    let mut node = map();
    set_some(&mut node, "memory", limits.memory_bytes.map(|bytes| Node::text(&show_bytes(bytes))));
    set_some(&mut node, "cpu", limits.cpu.map(|cpu| Node::text(&show_duration(cpu))));
    set_some(&mut node, "wall", limits.wall.map(|wall| Node::text(&show_duration(wall))));
    set_some(&mut node, "output", limits.output_bytes.map(|bytes| Node::text(&show_bytes(bytes))));
    set_some(&mut node, "log_rate", limits.log_lines_per_second.map(number));
    node
}

fn transforms(list: &[Connector], known: &[Description]) -> Option<Node> {
    let items: Vec<Node> = list.iter().map(|each| connector(each, Kind::Transform, known)).collect();
    (!items.is_empty()).then(|| Node::nowhere(Value::List(items)))
}

fn sink(sink: &Sink, known: &[Description]) -> Node {
    let mut node = connector(&sink.connector, Kind::Sink, known);
    set_some(&mut node, "routes", sink.routes.as_deref().map(texts));
    set_some(&mut node, "transforms", transforms(&sink.transforms, known));
    set_map(&mut node, "policy", policy(&sink.policy));
    node
}

fn policy(policy: &Policy) -> Node {
    let mut node = map();
    set_some(&mut node, "retries", policy.retries.map(number));
    let mut backoff = map();
    set_some(&mut backoff, "base", policy.backoff.base.map(|base| Node::text(&show_duration(base))));
    set_some(&mut backoff, "cap", policy.backoff.cap.map(|cap| Node::text(&show_duration(cap))));
    set_map(&mut node, "backoff", backoff);
    set_some(&mut node, "timeout", policy.timeout.map(|timeout| Node::text(&show_duration(timeout))));
    let rate = policy.rate_limit_per_second.map(|rate| Node::nowhere(Value::Float(rate)));
    set_some(&mut node, "rate_limit", rate);
    set_some(&mut node, "rate_burst", policy.rate_burst_events.map(number));
    if let Some(breaker) = policy.breaker.filter(|breaker| breaker.failures > 0) {
        let mut inner = map();
        inner.set("failures", number(breaker.failures));
        inner.set("reset", Node::text(&show_duration(breaker.reset)));
        node.set("breaker", inner);
    }
    set_some(&mut node, "on_full", policy.on_full.map(|choice| Node::text(choice.as_str())));
    set_some(&mut node, "overflow", policy.overflow_bytes.map(|bytes| Node::text(&show_bytes(bytes))));
    set_some(&mut node, "priority", policy.priority.map(|priority| Node::text(priority.as_str())));
    node
}

fn secrets(secrets: &[NamedSecret]) -> Option<Node> {
    let mut node = map();
    for secret in secrets {
        let (key, text) = match &secret.from {
            SecretFrom::Env(variable) => ("env", variable.clone()),
            SecretFrom::File(path) => ("file", path.display().to_string()),
        };
        let mut from = map();
        from.set(key, Node::text(&text));
        node.set(&secret.name.value, from);
    }
    (!secrets.is_empty()).then_some(node)
}

fn settings(root: &mut Node, settings: &Overrides) {
    let mut bus = map();
    set_some(&mut bus, "mode", settings.bus.mode.map(|mode| Node::text(mode.as_str())));
    set_some(&mut bus, "buffer_events", settings.bus.buffer_events.map(number));
    set_some(&mut bus, "buffer_bytes", settings.bus.buffer_bytes.map(|bytes| Node::text(&show_bytes(bytes))));
    let overflow = settings.bus.overflow_bytes.map(|bytes| Node::text(&show_bytes(bytes)));
    set_some(&mut bus, "overflow_bytes", overflow);
    set_map(root, "bus", bus);
    let mut log = map();
    set_some(&mut log, "level", settings.log.level.map(|level| Node::text(level.as_str())));
    set_some(&mut log, "format", settings.log.format.map(|format| Node::text(format.as_str())));
    set_map(root, "log", log);
    set_some(root, "metrics_addr", settings.metrics_addr.map(|address| Node::text(&address.to_string())));
    set_some(
        root,
        "shutdown_timeout",
        settings.shutdown_timeout.map(|timeout| Node::text(&show_duration(timeout))),
    );
    let dir = settings.state_dir.as_ref().map(|dir| Node::text(&dir.display().to_string()));
    set_some(root, "state_dir", dir);
    set_some(root, "skip_validation", settings.skip_validation.map(|skip| Node::nowhere(Value::Bool(skip))));
    set_some(root, "standby", settings.standby.map(|standby| Node::nowhere(Value::Bool(standby))));
    set_map(root, "backpressure", super::backpressure::print(&settings.backpressure));
    set_some(root, "skip_migrations", settings.skip_migrations.map(|skip| Node::nowhere(Value::Bool(skip))));
}
