//! The text of one file, and where in it a byte is.
//!
//! Invariant: a [`Span`] lies inside the text it was made for, or is clipped to it when it is used.

use std::sync::Arc;

/// A range of bytes of a [`Source`]. Two spans say nothing about whether two values are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Does `other` share a byte with this span?
    pub fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A value and where it was written. Equality looks at the value alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct At<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> At<T> {
    /// A value that no file spells out.
    pub fn nowhere(value: T) -> Self {
        At { value, span: Span::default() }
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

/// Line and column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// One file's name and text. Cheap to clone. `Debug` shows the name only: the text may hold secrets.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    line_starts: Arc<[usize]>,
}

impl Source {
    /// `name` is how the operator called the file.
    pub fn new(name: &str, text: &str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { name: name.into(), text: text.into(), line_starts }
    }

    /// How the operator called the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is there no text, so that no place means anything?
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The bytes of a span, or nothing if the span is not of this text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// Where a byte is. Bytes past the end are at the end.
    pub fn position(&self, byte: usize) -> Position {
        let byte = byte.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= byte).max(1);
        let before = self.text.get(self.line_starts[line - 1]..byte).unwrap_or("");
        Position { line, column: before.chars().count() + 1 }
    }

    /// The span of a line, counted from 1, without its line break.
    pub fn line(&self, line: usize) -> Span {
        let start = self.line_starts.get(line.wrapping_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| next.saturating_sub(1));
        let end = start + self.slice(Span { start, end }).trim_end_matches('\r').len();
        Span { start, end }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("a.yaml", "ä: 1\r\nb: 2");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(2), Position { line: 1, column: 2 });
        assert_eq!(source.position(7), Position { line: 2, column: 1 });
        assert_eq!(source.position(999), Position { line: 2, column: 5 });
        assert_eq!(source.slice(source.line(1)), "ä: 1");
        assert_eq!(source.slice(source.line(9)), "");
    }
}
