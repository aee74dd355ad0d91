//! Names and texts between quotes, as SQL takes them. Between double quotes `""` stands for one.

/// Between quotes.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A quoted text, whatever `standard_conforming_strings` is.
#[must_use]
pub fn quote_text(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!(" E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// The name up to the closing quote, and what follows that; `text` is what follows the opening one.
pub(crate) fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Ok((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_quotes() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_text("a'b"), "'a''b'");
        assert_eq!(quote_text("a\\'b"), " E'a\\\\''b'");
        assert_eq!(unquote(&quote("a\"b")[1..]), Ok(("a\"b".into(), "")));
        assert_eq!(unquote("a\"b"), Ok(("a".into(), "b")));
        assert!(unquote("a\"\"b").is_err());
    }
}
