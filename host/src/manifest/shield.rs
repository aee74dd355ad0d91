//! Lets `${NAME}` stand without quotes anywhere in YAML, inside `{ … }` and `[ … ]` too.
//!
//! To YAML the braces of a variable are the braces of a map. Before the text is scanned they are replaced by
//! two characters that no text has, one for one, so that every place stays what it was; afterwards
//! they are put back into what was read.

use std::borrow::Cow;

/// Unicode promises that these are never characters.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// Hides the braces of variables. `None` if the text holds one of the two that are not characters.
pub(super) fn shield(text: &str) -> Option<Cow<'_, str>> {
    if text.contains([OPEN, CLOSE]) {
        return None;
    }
    if !text.contains("${") {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        match variable_end(after) {
            Some(end) => {
                out.push('$');
                out.push(OPEN);
                out.push_str(after.get(..end).unwrap_or(""));
                out.push(CLOSE);
                rest = after.get(end + 1..).unwrap_or("");
            }
            None => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Puts the braces back.
pub(super) fn unshield(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains([OPEN, CLOSE]) {
        return text;
    }
    Cow::Owned(text.replace(OPEN, "{").replace(CLOSE, "}"))
}

/// Where the `}` of `NAME}` or `NAME:-default}` is; the rest is no variable and is left to YAML.
fn variable_end(after: &str) -> Option<usize> {
    let end = after.find(['}', '\n'])?;
    let inside = after.get(..end)?;
    let name = inside.split_once(":-").map_or(inside, |(name, _)| name);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && after.get(end..)?.starts_with('}')).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_one_and_back() {
        for text in [
            "a: ${B}",
            "{ a: ${B}, b: ${C:-d e} }",
            "$${A}",
            "${",
            "${}",
            "${1}",
            "${A\n}",
            "${A${B}}",
            "é${É}${E}",
        ] {
            let shielded = shield(text).unwrap();
            assert_eq!(shielded.chars().count(), text.chars().count());
            assert_eq!(unshield(shielded), text);
        }
        assert!(!shield("{ a: ${B} }").unwrap().contains("${B}"));
        assert_eq!(shield("${1} ${A B}").unwrap(), "${1} ${A B}");
        assert_eq!(shield("\u{fdd0}"), None);
    }
}
