//! What is wrong with a file: collected, then printed as `file:line:col: message`, the line, a caret.
//!
//! Invariant: no value that might be a secret is ever printed. A line is shown with its keys and
//! with the values that were read as the host's own settings ([`Problems::show`]); every other value,
//! and every comment, is replaced by `***`. Where the file could not be read to a tree, nothing after
//! a line's first key is shown.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::source::{Source, Span};
use super::tree::{Mark, Node};

/// Whether a problem stops pgcdc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is opened.
    Error,
    /// Said, and then pgcdc goes on.
    Warning,
}

/// One thing to say about a file.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The place; nothing when it is about the file as a whole.
    pub span: Option<Span>,
    /// What is wrong. Never a secret.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// Problems with one source while it is being looked at.
#[derive(Debug)]
pub struct Problems {
    source: Source,
    list: Vec<Problem>,
    shown: HashSet<Span>,
}

/// More problems than this help nobody.
const PROBLEMS_MAX: usize = 100;

impl Problems {
    /// Nothing wrong so far.
    pub fn new(source: Source) -> Self {
        Problems { source, list: Vec::new(), shown: HashSet::new() }
    }

    /// An error at a place.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Severity::Error, Some(span), message.into(), None);
    }

    /// An error at a place, with the way out.
    pub fn error_with(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, Some(span), message.into(), help);
    }

    /// An error about the file as a whole.
    pub fn error_nowhere(&mut self, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, None, message.into(), help);
    }

    /// Something odd that does not stop pgcdc.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) {
        self.push(Severity::Warning, Some(span), message.into(), None);
    }

    /// This value is a setting of the host's own, no secret: it may be printed.
    pub fn show(&mut self, span: Span) {
        self.shown.insert(span);
    }

    /// The text that the spans are of.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Is there an error, not only warnings?
    pub fn any_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    fn push(&mut self, severity: Severity, span: Option<Span>, message: String, help: Option<String>) {
        if self.list.len() < PROBLEMS_MAX {
            let (message, help) = (printable(&message), help.as_deref().map(printable));
            self.list.push(Problem { severity, span, message, help });
        }
    }

    /// Everything that was said, ready to print. `root` is the tree of the same file, if there is one.
    pub fn report(mut self, root: Option<&Node>) -> Report {
        self.list.sort_by_key(|problem| problem.span.map_or(0, |span| span.start));
        let visible = root.map(|root| Visibility::of(root, &self.shown));
        let rendered =
            self.list.iter().map(|problem| render(&self.source, problem, visible.as_ref())).collect();
        Report { problems: self.list, rendered }
    }
}

/// Problems in the order of the file. `Display` is what the operator reads.
#[derive(Clone, Debug)]
pub struct Report {
    problems: Vec<Problem>,
    rendered: Vec<String>,
}

impl Report {
    /// One error about a file that could not be read to a text at all.
    pub fn about(name: &str, message: impl Into<String>, help: Option<String>) -> Self {
        let mut problems = Problems::new(Source::new(name, ""));
        problems.error_nowhere(message, help);
        problems.report(None)
    }

    /// What is wrong, one entry each.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Each warning, rendered with its place.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let pairs = self.problems.iter().zip(&self.rendered);
        pairs.filter(|(problem, _)| problem.severity == Severity::Warning).map(|(_, text)| text.as_str())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered.join("\n"))
    }
}

impl std::error::Error for Report {}

/// What may be printed of a file that was read to a tree: from a place's first byte to its end and whether it
/// is hidden. Keys and scalars never overlap, so the last place before a byte is the only candidate.
/// What no place covers, a dropped value say, is treated as hidden but for its punctuation.
struct Visibility {
    places: BTreeMap<usize, (usize, bool)>,
}

impl Visibility {
    fn of(root: &Node, settings: &HashSet<Span>) -> Self {
        let mut places: BTreeMap<usize, (usize, bool)> =
            settings.iter().map(|span| (span.start, (span.end, false))).collect();
        root.visit(&mut |mark| {
            let (span, hidden) = match mark {
                Mark::Key(key, span) => (span, !is_plain_key(key)),
                Mark::Scalar(span) => (span, !settings.contains(&span)),
            };
            if span.start < span.end {
                places.insert(span.start, (span.end, hidden));
            }
        });
        Visibility { places }
    }

    /// The place that covers a byte: its end, and whether it is hidden.
    fn place(&self, byte: usize) -> Option<(usize, bool)> {
        let (_, place) = self.places.range(..=byte).next_back()?;
        (byte < place.0).then_some(*place)
    }

    /// The end of what must be masked from this byte on; `None` if the byte may be shown.
    fn masked_until(&self, byte: usize, c: char) -> Option<usize> {
        match self.place(byte) {
            Some((end, true)) => Some(end),
            Some((_, false)) => None,
            None if c.is_whitespace() || "{}[],:-=".contains(c) => None,
            None => Some(byte + c.len_utf8()),
        }
    }
}

/// Is this a key as people name things, not a value that lost its space after the colon?
pub(super) fn is_plain_key(key: &str) -> bool {
    const KEY_CHARS_MAX: usize = 64;
    key.len() <= KEY_CHARS_MAX && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// The text on one line, without anything that could steer a terminal: components write texts, too.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// A key as messages may show it.
pub fn shown_key(key: &str) -> String {
    if is_plain_key(key) {
        return key.to_owned();
    }
    let end = key.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).unwrap_or(key.len());
    format!("{}…", key.get(..end.min(32)).unwrap_or(""))
}

fn render(source: &Source, problem: &Problem, visible: Option<&Visibility>) -> String {
    let label = match problem.severity {
        Severity::Error => "",
        Severity::Warning => "warning: ",
    };
    let Some(span) = problem.span.filter(|span| *span != Span::default() && !source.is_empty()) else {
        let help = problem.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
        return format!("{}: {label}{}{help}", source.name(), problem.message);
    };
    let position = source.position(span.start);
    let mut out =
        format!("{}:{}:{}: {label}{}", source.name(), position.line, position.column, problem.message);
    let (text, caret, width) = match visible {
        Some(visible) => masked_line(source, position.line, span, visible),
        None => first_key_only(source, position.line, span),
    };
    if !text.trim().is_empty() {
        let gutter = position.line.to_string();
        let pad = " ".repeat(gutter.len());
        out.push_str(&format!("\n {gutter} | {}", text.trim_end()));
        out.push_str(&format!("\n {pad} | {}{}", " ".repeat(caret), "^".repeat(width.max(1))));
    }
    if let Some(help) = &problem.help {
        out.push_str(&format!("\n  help: {help}"));
    }
    out
}

const MASK: &str = "***";
const LINE_CHARS_MAX: usize = 160;
/// No further than this is a line looked at.
const LINE_BYTES_MAX: usize = 4096;

/// The line with secrets masked, and where the caret goes: (text, columns before, width).
fn masked_line(source: &Source, line: usize, at: Span, visible: &Visibility) -> (String, usize, usize) {
    let whole = source.line(line);
    let text = source.slice(whole);
    let (mut out, mut caret, mut caret_end) = (String::new(), None, None);
    let (mut byte, mut in_mask) = (whole.start, false);
    while let Some(c) = text.get(byte - whole.start..).and_then(|rest| rest.chars().next()) {
        let masked_until = visible.masked_until(byte, c);
        // A run of masked pieces is one mask.
        let columns = out.chars().count() - if in_mask && masked_until.is_some() { MASK.len() } else { 0 };
        if byte >= at.start || masked_until.is_some_and(|end| at.start < end) {
            caret.get_or_insert(columns);
        }
        if byte >= at.end {
            caret_end.get_or_insert(out.chars().count());
        }
        let after_space = out.chars().next_back().is_none_or(char::is_whitespace);
        let comment = c == '#' && after_space && visible.place(byte).is_none();
        if comment || byte - whole.start > LINE_BYTES_MAX {
            break;
        }
        match masked_until {
            Some(_) if in_mask => {}
            Some(_) => out.push_str(MASK),
            None => out.push(if c.is_control() { ' ' } else { c }),
        }
        in_mask = masked_until.is_some();
        byte = masked_until.unwrap_or(byte + c.len_utf8());
    }
    clip(out, caret, caret_end)
}

/// Without a tree nobody knows what is a value: only TOML's section lines, and what stands before
/// the first `:` or `=`.
fn first_key_only(source: &Source, line: usize, at: Span) -> (String, usize, usize) {
    let whole = source.line(line);
    let text: String = source.slice(whole).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = source.position(at.start).column.saturating_sub(1);
    let bare = text.trim().trim_matches(['[', ']']);
    if text.starts_with('[') && is_plain_key(bare) {
        return clip(text, Some(column), None);
    }
    let key_end = text.find([':', '=']).map_or(0, |at| at + 1);
    let (key, rest) = text.split_at_checked(key_end).unwrap_or(("", &text));
    let plain = key_end > 0 && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-. :=".contains(c));
    let mut shown = match plain {
        true => key.to_owned(),
        false => " ".repeat(text.len() - text.trim_start().len()),
    };
    if !plain || !rest.trim().is_empty() {
        shown.push_str(if plain { " ***" } else { MASK });
    }
    let caret = column.min(shown.chars().count().saturating_sub(1));
    clip(shown, Some(caret), Some(caret + 1))
}

fn clip(text: String, caret: Option<usize>, caret_end: Option<usize>) -> (String, usize, usize) {
    let columns = text.chars().count();
    let caret = caret.unwrap_or(columns).min(LINE_CHARS_MAX);
    let width = caret_end.unwrap_or(if caret < columns { columns } else { caret + 1 }).saturating_sub(caret);
    let clipped: String = text.chars().take(LINE_CHARS_MAX).collect();
    let width = width.min(LINE_CHARS_MAX - caret.min(LINE_CHARS_MAX - 1));
    (clipped, caret, width)
}
