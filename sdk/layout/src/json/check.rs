//! Is this JSON? And where does a value of it end?
//!
//! Accepts what RFC 8259 does, `\u` escapes unpaired as PostgreSQL's `json` keeps them, nested at most
//! `DEPTH_MAX` deep. One pass, no recursion, no allocation.

use super::text::clean_len;

/// How deep arrays and objects may nest; deeper is not taken for JSON.
pub const DEPTH_MAX: usize = 1024;

/// Whether `text` is exactly one JSON value, with blanks around it or not.
pub fn is_json(text: &[u8]) -> bool {
    value_end(text, 0).is_some_and(|end| skip_blanks(text, end) == text.len())
}

/// Whether `text` is exactly one JSON object.
pub fn is_object(text: &[u8]) -> bool {
    text.get(skip_blanks(text, 0)) == Some(&b'{') && is_json(text)
}

/// Whether `text` is a JSON number, and nothing else.
#[inline]
pub fn is_number(text: &[u8]) -> bool {
    number_end(text, 0) == Some(text.len())
}

/// The members of an object as they are written: keys with their quotes, values without blanks around them.
/// Ends at the first thing that is not JSON.
pub fn members(object: &[u8]) -> Members<'_> {
    let at = skip_blanks(object, 0);
    let at = if object.get(at) == Some(&b'{') { at + 1 } else { object.len() };
    Members { object, at }
}

/// The value of a member of an object, as it is written.
pub fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    members(object).find(|(name, _)| unquote(name) == Some(key.as_bytes())).map(|(_, value)| value)
}

/// The value of a member that is a string of at least one character; as it is written, with its quotes.
pub fn member_string<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    member(object, key).filter(|value| unquote(value).is_some_and(|text| !text.is_empty()))
}

/// What is between the quotes of a string, as it is written.
pub(crate) fn unquote(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// See [`members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    object: &'a [u8],
    at: usize,
}

impl<'a> Members<'a> {
    fn step(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let start = skip_blanks(self.object, self.at);
        let end = string_end(self.object, start)?;
        let colon = skip_blanks(self.object, end);
        if self.object.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_blanks(self.object, colon + 1);
        let value_end = value_end(self.object, value)?;
        let next = skip_blanks(self.object, value_end);
        self.at = if self.object.get(next) == Some(&b',') { next + 1 } else { self.object.len() };
        Some((self.object.get(start..end)?, self.object.get(value..value_end)?))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.step();
        if member.is_none() {
            self.at = self.object.len();
        }
        member
    }
}

struct Nesting {
    objects: [u64; DEPTH_MAX / 64],
    depth: usize,
}

impl Nesting {
    fn enter(&mut self, object: bool) -> Option<()> {
        let word = self.objects.get_mut(self.depth / 64)?;
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    fn in_object(&self) -> bool {
        let top = self.depth.wrapping_sub(1);
        self.objects.get(top / 64).is_some_and(|word| word >> (top % 64) & 1 == 1)
    }
}

/// Where the JSON value ends that starts at `at`, blanks before it included.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    let mut nesting = Nesting { objects: [0; DEPTH_MAX / 64], depth: 0 };
    let mut at = at;
    loop {
        at = skip_blanks(text, at);
        let first = *text.get(at)?;
        at = match first {
            b'"' => string_end(text, at)?,
            b'-' | b'0'..=b'9' => number_end(text, at)?,
            b't' => literal_end(text, at, b"true")?,
            b'f' => literal_end(text, at, b"false")?,
            b'n' => literal_end(text, at, b"null")?,
            b'{' | b'[' => {
                nesting.enter(first == b'{')?;
                let next = skip_blanks(text, at + 1);
                // The closing bracket is two above the opening one in ASCII, for both pairs.
                if text.get(next) == Some(&(first + 2)) {
                    nesting.depth -= 1;
                    next + 1
                } else if first == b'{' {
                    at = key_end(text, next)?;
                    continue;
                } else {
                    at = next;
                    continue;
                }
            }
            _ => return None,
        };
        loop {
            if nesting.depth == 0 {
                return Some(at);
            }
            at = skip_blanks(text, at);
            let object = nesting.in_object();
            match *text.get(at)? {
                b',' if object => {
                    at = key_end(text, at + 1)?;
                    break;
                }
                b',' => {
                    at += 1;
                    break;
                }
                b'}' if object => nesting.depth -= 1,
                b']' if !object => nesting.depth -= 1,
                _ => return None,
            }
            at += 1;
        }
    }
}

/// After the colon of the key that starts at `at`.
fn key_end(text: &[u8], at: usize) -> Option<usize> {
    let end = string_end(text, skip_blanks(text, at))?;
    let colon = skip_blanks(text, end);
    (text.get(colon) == Some(&b':')).then_some(colon + 1)
}

fn string_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += clean_len(text.get(at..)?);
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match *text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            _ => return None,
        }
    }
}

fn literal_end(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

fn number_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = if text.get(at) == Some(&b'-') { at + 1 } else { at };
    match text.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at = digits_end(text, at)?,
        _ => return None,
    }
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits_end(text, at)?;
    }
    Some(at)
}

fn digits_end(text: &[u8], at: usize) -> Option<usize> {
    let count = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

#[inline]
fn skip_blanks(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}
