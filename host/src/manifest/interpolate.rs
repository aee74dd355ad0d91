//! `${NAME}` and `${NAME:-default}` in text. `$$` stands for `$`; a lone `$` stands for itself.
//!
//! Invariants: one pass, so a variable's content is never looked at again; no shell, no nesting; an
//! unset variable is an error, and no error holds a variable's content.

use std::ffi::OsString;

/// How variables are looked up; the process environment outside of tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What a text became.
#[derive(Debug, PartialEq, Eq)]
pub enum Interpolated {
    /// Nothing to replace.
    Same,
    /// Only `$$` was replaced.
    Unescaped(String),
    /// Variables were replaced.
    Replaced(String),
}

/// Why a text could not be interpolated.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the text the `${` stands, in bytes.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// A variable of hundreds of megabytes is a mistake.
const RESULT_BYTES_MAX: usize = 1 << 20;

/// Replaces every variable of `text`.
pub fn interpolate(text: &str, lookup: Lookup<'_>) -> Result<Interpolated, Fault> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut replaced, mut unescaped) = (text, false, false);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let at = text.len() - after.len() - 1;
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            unescaped = true;
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                return Err(fault(at, "`${` without its `}`", Some("`$$` stands for a plain `$`".into())));
            };
            out.push_str(&variable(inside, at, lookup)?);
            replaced = true;
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
        if out.len() > RESULT_BYTES_MAX {
            return Err(fault(at, "the text is over 1 MiB once its variables are replaced", None));
        }
    }
    if !replaced && !unescaped {
        return Ok(Interpolated::Same);
    }
    out.push_str(rest);
    Ok(if replaced { Interpolated::Replaced(out) } else { Interpolated::Unescaped(out) })
}

/// The other way round: text that reads back as itself.
pub fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

fn variable(inside: &str, at: usize, lookup: Lookup<'_>) -> Result<String, Fault> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        let help = "write ${NAME} or ${NAME:-default}; no other shell syntax is understood";
        return Err(fault(at, "this is not a variable's name", Some(help.into())));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(fault(at, "a default cannot hold another variable", None));
    }
    match (lookup(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => value
            .into_string()
            .map_err(|_| fault(at, &format!("the environment variable {name} is not valid UTF-8"), None)),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let help = format!("set it, or give a default: ${{{name}:-…}}");
            Err(fault(at, &format!("the environment variable {name} is not set"), Some(help)))
        }
    }
}

fn fault(at: usize, message: &str, help: Option<String>) -> Fault {
    Fault { at, message: message.to_owned(), help }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<OsString> {
        match name {
            "A" => Some("1".into()),
            "EMPTY" => Some("".into()),
            "NESTED" => Some("${A}".into()),
            _ => None,
        }
    }

    fn replaced(text: &str) -> String {
        match interpolate(text, &env) {
            Ok(Interpolated::Replaced(text) | Interpolated::Unescaped(text)) => text,
            Ok(Interpolated::Same) => text.to_owned(),
            Err(fault) => format!("{}: {}", fault.at, fault.message),
        }
    }

    #[test]
    fn variables_defaults_and_escapes() {
        assert_eq!(replaced("x${A}y"), "x1y");
        assert_eq!(replaced("${B:-2}"), "2");
        assert_eq!(replaced("${EMPTY}|${EMPTY:-3}"), "|3");
        assert_eq!(replaced("${NESTED}"), "${A}");
        assert_eq!(replaced("pa$word $1 $"), "pa$word $1 $");
        assert_eq!(replaced("$${A} $$$${A}"), "${A} $${A}");
        assert_eq!(replaced(&escape("a$b$$c${A}")), "a$b$$c${A}");
    }

    #[test]
    fn faults_say_where() {
        assert_eq!(replaced("ab${B}"), "2: the environment variable B is not set");
        assert_eq!(replaced("${A"), "0: `${` without its `}`");
        assert_eq!(replaced("${rm -rf}"), "0: this is not a variable's name");
        assert_eq!(replaced("${B:-${A}}"), "0: a default cannot hold another variable");
    }
}
