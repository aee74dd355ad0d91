//! What an operator typed as an endpoint: a URL, a path, a DSN.
//!
//! Invariant: `Debug` and `Display` show scheme, host and port, or a path, and never user, password,
//! a URL's path, query or fragment: any of them may be a token.

use std::fmt;
use std::path::{Path, PathBuf};

/// The exact text of an endpoint, and what type of endpoint it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    kind: Box<str>,
    text: Box<str>,
}

impl Address {
    /// Takes what was typed for an endpoint of type `kind`. The error says what is wanted and never
    /// what was typed.
    pub fn parse(kind: &str, typed: &str) -> Result<Self, String> {
        let address = Address { kind: kind.into(), text: typed.into() };
        if typed.is_empty() {
            return Err("is empty".to_owned());
        }
        if typed.chars().any(char::is_control) {
            return Err("holds a control character or a line break".to_owned());
        }
        match kind {
            "http" => address.want_url(&["http", "https"], "https://host[:port][/path]")?,
            "postgres" | "wal" | "snapshot" if !is_dsn(typed) => {
                address.want_url(&["postgres", "postgresql"], "postgres://user@host[:port]/database")?;
            }
            "mysql" if typed.contains("://") => address.want_url(&["mysql"], "mysql://user@host[:port]")?,
            "mongodb" => address.want_url(&["mongodb", "mongodb+srv"], "mongodb://host[:port]")?,
            _ => {}
        }
        Ok(address)
    }

    fn want_url(&self, schemes: &[&str], example: &str) -> Result<(), String> {
        let sound = self.parts().is_some_and(|(scheme, authority, _)| {
            let host = authority.rsplit('@').next().unwrap_or("");
            let path_ok = !self.text.contains(char::is_whitespace);
            let host_ok = !host.is_empty() && !host.starts_with(':') || scheme.starts_with("postgres");
            schemes.contains(&scheme) && host_ok && path_ok
        });
        if sound { Ok(()) } else { Err(format!("must look like {example}")) }
    }

    /// (scheme, authority, rest) of a URL.
    fn parts(&self) -> Option<(&str, &str, &str)> {
        let (scheme, after) = self.text.split_once("://")?;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        Some((scheme, after.get(..end)?, after.get(end..)?))
    }

    /// `http`, `postgres`, `file`, `folder`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The whole text, for whoever opens it. Never print it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Is it a path of this machine?
    pub fn is_path(&self) -> bool {
        is_path_kind(&self.kind)
    }

    /// The path, relative ones under `folder`.
    pub(super) fn under(self, folder: &Path) -> Self {
        if !self.is_path() {
            return self;
        }
        let joined: PathBuf = folder.join(&*self.text);
        Address { text: joined.display().to_string().into(), ..self }
    }

    /// The text with the password and the query's values replaced by `***`, for printing a manifest that
    /// the operator asked to see; path and host stay.
    pub fn without_password(&self) -> String {
        let Some((scheme, authority, rest)) = self.parts() else {
            let plain = self.is_path() || !self.text.contains(['=', '@']);
            return if plain { self.text.to_string() } else { "***".to_owned() };
        };
        if rest.contains('@') {
            // A password with an unescaped `/`: where it ends cannot be known.
            return format!("{scheme}://***");
        }
        let authority = match authority.rsplit_once('@') {
            None => authority.to_owned(),
            Some((user, host)) => match user.split_once(':') {
                None => format!("{user}@{host}"),
                Some((user, _)) => format!("{user}:***@{host}"),
            },
        };
        let (path, query) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
        let query = if query.is_empty() { "" } else { "?***" };
        format!("{scheme}://{authority}{path}{query}")
    }
}

/// Is an endpoint of this type a path?
pub(super) fn is_path_kind(kind: &str) -> bool {
    matches!(kind, "file" | "folder" | "files")
}

/// libpq's `key=value` form.
fn is_dsn(text: &str) -> bool {
    !text.contains("://") && text.split_whitespace().next().is_some_and(|first| first.contains('='))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            _ if self.is_path() => f.write_str(&self.text),
            Some((scheme, authority, _)) => {
                write!(f, "{scheme}://{}", authority.rsplit('@').next().unwrap_or(""))
            }
            None if self.text.contains(['=', '@', ' ']) => write!(f, "{} ***", self.kind),
            None => f.write_str(&self.text),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_without_anything_secret() {
        let url = Address::parse("http", "https://u:pw@h.example:8443/token?key=k#f").unwrap();
        assert_eq!(url.to_string(), "https://h.example:8443");
        assert_eq!(url.without_password(), "https://u:***@h.example:8443/token?***");
        let odd = Address::parse("postgres", "postgres://u:p@w:d@db/app").unwrap();
        assert_eq!(odd.to_string(), "postgres://db");
        assert_eq!(odd.without_password(), "postgres://u:***@db/app");
        let dsn = Address::parse("postgres", "host=db password=pw").unwrap();
        assert_eq!((dsn.to_string(), dsn.without_password()), ("postgres ***".to_owned(), "***".to_owned()));
        assert_eq!(Address::parse("file", "/tmp/a=b@c").unwrap().without_password(), "/tmp/a=b@c");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for (kind, typed) in [
            ("http", "hooks.example.com"),
            ("http", "ftp://h/"),
            ("http", "http://"),
            ("http", "http://u@/x"),
            ("http", "http://:80/"),
            ("http", "https://h/a b"),
            ("http", "https://h/\r\nX: y"),
            ("postgres", "mysql://h/db"),
            ("postgres", "just-a-host"),
            ("file", ""),
            ("file", "a\0b"),
        ] {
            assert!(Address::parse(kind, typed).is_err(), "{kind} {typed:?}");
        }
        assert!(Address::parse("postgres", "postgres:///app?host=/run/postgresql").is_ok());
        assert!(Address::parse("kafka", "localhost:9092").is_ok());
    }
}
