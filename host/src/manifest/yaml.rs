//! YAML 1.2 text to a tree.
//!
//! Plain scalars follow the core schema: `no` is text, not false. Anchors and aliases work and are
//! bounded; merge keys, tags and further documents are refused. What is wrong is collected, and
//! the tree then holds what could be read.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan};

use super::interpolate::Lookup;
use super::problem::{Problems, is_plain_key, shown_key};
use super::scalar;
use super::shield::{shield, unshield};
use super::source::{Position, Span};
use super::tree::{Entry, Node, Value};

/// Nesting beyond this is a mistake or an attack.
pub(super) const DEPTH_MAX: usize = 64;
/// Nodes of one tree, aliases expanded.
pub(super) const NODES_MAX: usize = 20_000;
/// Bytes of text of one tree, aliases expanded.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// Reads one document. `None` if there is no tree worth looking at; `problems` then says why.
pub(super) fn read(text: &str, lookup: Lookup<'_>, problems: &mut Problems) -> Option<Node> {
    let mut builder = Builder {
        bytes: byte_offsets(text),
        lookup,
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        budget: Budget { nodes: 0, text_bytes: 0 },
        root: None,
        documents: 0,
    };
    let Some(shielded) = shield(text) else {
        builder.problems.error_nowhere("the file holds U+FDD0 or U+FDD1, which are not characters", None);
        return None;
    };
    for step in Parser::new_from_str(&shielded) {
        match step {
            Ok((event, span)) => builder.event(event, span).ok()?,
            Err(error) => {
                let at = builder.byte(error.marker().index());
                let (at, message, help) = explain(text, at, error.info());
                builder.problems.error_with(Span { start: at, end: at + 1 }, message, help);
                return None;
            }
        }
    }
    builder.root
}

/// The scanner's words, made plain where it is a common slip: (place, message, help).
fn explain(text: &str, at: usize, info: &str) -> (usize, String, Option<String>) {
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let indent = line.get(..line.len() - line.trim_start().len()).unwrap_or("");
    if let Some(tab) = indent.find('\t') {
        let help = "indent with spaces: YAML does not allow tabs there";
        return (line_start + tab, "a tab is used for indentation".into(), Some(help.into()));
    }
    let help = info.contains("anchor").then(|| "text that begins with `*` or `&` needs quotes".to_owned());
    (at, format!("not valid YAML: {info}"), help)
}

/// Byte offset of every character, and of the end.
fn byte_offsets(text: &str) -> Option<Vec<usize>> {
    let offsets = || text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect();
    (!text.is_ascii()).then(offsets)
}

/// A collection whose end has not been seen.
enum Open {
    List { anchor: usize, start: Span, items: Vec<Node> },
    Map { anchor: usize, start: Span, entries: Vec<Entry>, key: Option<Key>, name: String },
}

struct Key {
    text: String,
    span: Span,
    usable: bool,
}

struct Budget {
    nodes: usize,
    text_bytes: usize,
}

struct Builder<'a, 'p> {
    /// Nothing for ASCII, where a character is a byte.
    bytes: Option<Vec<usize>>,
    lookup: Lookup<'a>,
    problems: &'p mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize, usize)>,
    budget: Budget,
    root: Option<Node>,
    documents: usize,
}

/// The text cannot be read any further; the reason is among the problems.
struct Stop;

impl Builder<'_, '_> {
    fn byte(&self, index: usize) -> usize {
        match &self.bytes {
            None => index,
            Some(bytes) => bytes.get(index).or(bytes.last()).copied().unwrap_or(0),
        }
    }

    /// The scanner's span in bytes, without the blanks that it adds after quotes.
    fn span(&self, span: YamlSpan) -> Span {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        let text = self.problems.source().slice(Span { start, end });
        Span { start, end: if text.is_empty() { end.max(start) } else { start + text.trim_end().len() } }
    }

    fn stop(&mut self, span: Span, message: &str, help: &str) -> Result<(), Stop> {
        self.problems.error_with(span, message, Some(help.to_owned()));
        Err(Stop)
    }

    fn event(&mut self, event: Event<'_>, span: YamlSpan) -> Result<(), Stop> {
        let span = self.span(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(
                        span,
                        "a second document begins here",
                        "a manifest is one document: remove the `---`",
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text = unshield(text);
                self.refuse_tag(span, tag.is_some())?;
                self.spend(span, 1, text.len())?;
                self.scalar(text, style, anchor, span)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(span, tag.is_some())?;
                self.enter(span, Open::List { anchor, start: span, items: Vec::new() })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(span, tag.is_some())?;
                let name = self.name();
                self.enter(span, Open::Map { anchor, start: span, entries: Vec::new(), key: None, name })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn refuse_tag(&mut self, span: Span, tagged: bool) -> Result<(), Stop> {
        match tagged {
            true => self.stop(span, "tags (`!…`) are not supported", "put text in quotes instead"),
            false => Ok(()),
        }
    }

    fn spend(&mut self, span: Span, nodes: usize, text_bytes: usize) -> Result<(), Stop> {
        self.budget.nodes = self.budget.nodes.saturating_add(nodes);
        self.budget.text_bytes = self.budget.text_bytes.saturating_add(text_bytes);
        if self.budget.nodes > NODES_MAX || self.budget.text_bytes > TEXT_BYTES_MAX {
            let message =
                format!("the file has more than {NODES_MAX} values or 8 MiB of text, aliases expanded");
            return self.stop(span, &message, "aliases of aliases multiply; write what is meant");
        }
        Ok(())
    }

    /// The key under which the next value comes, for messages.
    fn name(&self) -> String {
        match self.open.last() {
            Some(Open::Map { key: Some(key), .. }) => key.text.clone(),
            _ => String::new(),
        }
    }

    fn enter(&mut self, span: Span, open: Open) -> Result<(), Stop> {
        self.spend(span, 1, 0)?;
        if self.open.len() >= DEPTH_MAX {
            return self.stop(span, "nested too deeply", "no setting needs more than 64 levels");
        }
        if matches!(self.open.last(), Some(Open::Map { key: None, .. })) {
            return self.stop(span, "a key must be text", "put a text with braces or brackets in quotes");
        }
        self.open.push(open);
        Ok(())
    }

    fn leave(&mut self, end: Span) -> Result<(), Stop> {
        let (anchor, start, value) = match self.open.pop() {
            Some(Open::List { anchor, start, items }) => (anchor, start, Value::List(items)),
            Some(Open::Map { anchor, start, entries, .. }) => (anchor, start, Value::Map(entries)),
            None => return Err(Stop),
        };
        self.put(Node { span: Span { start: start.start, end: end.end.max(start.start) }, value }, anchor)
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        span: Span,
    ) -> Result<(), Stop> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return self.key(&text, span);
        }
        let plain = style == ScalarStyle::Plain;
        let value = match plain.then(|| scalar::core_schema(&text)).flatten() {
            Some(value) => value,
            None => scalar::text(&text, span, self.lookup, self.problems),
        };
        self.put(Node { span, value }, anchor)
    }

    fn key(&mut self, text: &str, span: Span) -> Result<(), Stop> {
        if text == "<<" {
            return self.stop(
                span,
                "merge keys (`<<`) are not supported",
                "write the keys out, or alias a whole value",
            );
        }
        let mut usable = true;
        if text.contains("${") {
            usable = false;
            self.problems.error(span, "variables are not replaced in keys");
        }
        let Some(Open::Map { entries, key, name, .. }) = self.open.last_mut() else { return Err(Stop) };
        if let Some(first) = entries.iter().find(|entry| entry.key == text) {
            usable = false;
            let Position { line, .. } = self.problems.source().position(first.key_span.start);
            let (under, typed) = (
                if name.is_empty() { String::new() } else { format!(" under `{}`", shown_key(name)) },
                shown_key(text),
            );
            self.problems.error(span, format!("`{typed}` is written twice{under}; first in line {line}"));
            if is_plain_key(text) {
                self.problems.show(span);
            }
        }
        *key = Some(Key { text: text.to_owned(), span, usable });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        if matches!(self.open.last(), Some(Open::Map { key: None, .. })) {
            return self.stop(span, "a key must be text, not an alias", "write the key out");
        }
        let Some((node, nodes, text_bytes)) = self.anchors.get(&anchor).cloned() else {
            return self.stop(
                span,
                "this alias lies inside its own anchor",
                "an anchor ends before it can be used",
            );
        };
        self.spend(span, nodes, text_bytes)?;
        self.put(node, 0)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            let (nodes, text_bytes) = size(&node);
            self.spend(node.span, nodes, 0)?;
            self.anchors.insert(anchor, (node.clone(), nodes, text_bytes));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some(key) = key.take().filter(|key| key.usable) {
                    entries.push(Entry { key: key.text, key_span: key.span, value: node });
                }
            }
        }
        Ok(())
    }
}

/// Nodes and bytes of text, aliases expanded.
fn size(node: &Node) -> (usize, usize) {
    match &node.value {
        Value::Text(text) => (1, text.expose().len()),
        Value::List(items) => items.iter().map(size).fold((1, 0), add),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.value)).fold((1, 0), add),
        _ => (1, 0),
    }
}

fn add(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0 + b.0, a.1 + b.1)
}
