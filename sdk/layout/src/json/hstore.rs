//! hstore: PostgreSQL's text form, `"a"=>"1", "b"=>NULL`, as a JSON object of strings and nulls.

use super::text::{write_escaped, write_string};

/// Writes the object, or the text as a string if it is no such list of pairs.
#[cold]
pub(super) fn write(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    if pairs(out, text).is_none() {
        out.truncate(start);
        write_string(out, text);
    }
}

fn pairs(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        if rest.len() < text.len() {
            rest = rest.strip_prefix(b", ")?;
            out.push(b',');
        }
        rest = quoted(out, rest)?.strip_prefix(b"=>")?;
        out.push(b':');
        rest = match rest.strip_prefix(b"NULL") {
            None => quoted(out, rest)?,
            Some(after) => {
                out.extend_from_slice(b"null");
                after
            }
        };
    }
    out.push(b'}');
    Some(())
}

/// Writes a quoted key or value as a JSON string; what follows it.
fn quoted<'t>(out: &mut Vec<u8>, text: &'t [u8]) -> Option<&'t [u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    out.push(b'"');
    loop {
        let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (plain, after) = rest.split_at(special);
        write_escaped(out, plain);
        let (mark, after) = after.split_first()?;
        if *mark == b'"' {
            out.push(b'"');
            return Some(after);
        }
        let (escaped, after) = after.split_first()?;
        write_escaped(out, &[*escaped]);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pairs_become_members() {
        assert_eq!(json(""), "{}");
        assert_eq!(json(r#""a"=>"1", "b"=>NULL, "NULL"=>"NULL""#), r#"{"a":"1","b":null,"NULL":"NULL"}"#);
        assert_eq!(json(r#""\"q\\"=>"a=>b, \\é""#), r#"{"\"q\\":"a=>b, \\é"}"#);
    }

    #[test]
    fn anything_else_stays_text() {
        for text in [
            "a=>1",
            r#""a""#,
            r#""a"=>"#,
            r#""a"=>"1","b"=>"2""#,
            r#""a"=>"1", "#,
            r#""a"=>"1"x"#,
            r#""a"=>"\"#,
        ] {
            let mut expected = Vec::new();
            super::write_string(&mut expected, text.as_bytes());
            assert_eq!(json(text), String::from_utf8(expected).unwrap());
        }
    }
}
