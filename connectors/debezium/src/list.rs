//! PostgreSQL's text of an array, element by element. Pure.

/// How many dimensions PostgreSQL allows.
const DEPTH_MAX: usize = 6;

/// Writes one element; none is NULL.
pub(crate) type Element<'w> = dyn FnMut(&mut Vec<u8>, Option<&str>) -> Option<()> + 'w;

/// Writes the array as JSON, with each element (NULL is none) as `write` has it; none if the text is no array, or if
/// `write` has no way for an element.
pub(crate) fn write(out: &mut Vec<u8>, text: &str, delimiter: char, element: &mut Element<'_>) -> Option<()> {
    let text = match text.starts_with('[') {
        true => text.split_once('=')?.1,
        false => text,
    };
    let rest = array(out, text, delimiter, element, 0)?;
    rest.is_empty().then_some(())
}

/// What comes behind the array that `text` begins with.
fn array<'t>(
    out: &mut Vec<u8>,
    text: &'t str,
    delimiter: char,
    element: &mut Element<'_>,
    depth: usize,
) -> Option<&'t str> {
    let mut rest = text.strip_prefix('{').filter(|_| depth < DEPTH_MAX)?;
    out.push(b'[');
    if let Some(rest) = rest.strip_prefix('}') {
        out.push(b']');
        return Some(rest);
    }
    loop {
        if rest.starts_with('{') {
            rest = array(out, rest, delimiter, element, depth + 1)?;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = unquoted(quoted)?;
            element(out, Some(&value))?;
            rest = after;
        } else {
            let end = rest.find([delimiter, '}'])?;
            let value = &rest[..end];
            element(out, Some(value).filter(|value| !value.eq_ignore_ascii_case("null")))?;
            rest = &rest[end..];
        }
        if let Some(after) = rest.strip_prefix('}') {
            out.push(b']');
            return Some(after);
        }
        rest = rest.strip_prefix(delimiter)?;
        out.push(b',');
    }
}

/// The value up to the closing quote, and what comes behind that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<String> {
        let mut out = Vec::new();
        let mut element = |out: &mut Vec<u8>, value: Option<&str>| {
            out.extend_from_slice(value.unwrap_or("NULL").as_bytes());
            Some(())
        };
        write(&mut out, text, ',', &mut element)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn elements_come_one_by_one() {
        assert_eq!(written("{}").unwrap(), "[]");
        assert_eq!(written(r#"{1,NULL,"a,\"b\\}"}"#).unwrap(), r#"[1,NULL,a,"b\}]"#);
        assert_eq!(written("[0:1][1:1]={{1},{2}}").unwrap(), "[[1],[2]]");
        for bad in ["", "{", "{1", "{1}}", "1", "{\"a}", &"{".repeat(9)] {
            assert_eq!(written(bad), None, "{bad}");
        }
    }
}
