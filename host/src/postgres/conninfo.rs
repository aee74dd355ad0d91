//! Connection text, as libpq reads it, to key/value pairs. Pure.
//!
//! Two forms: `postgres://user:password@host:port,host/database?key=value` and `key=value key='…'`.
//! Invariant: an error never repeats a piece of the text but the name of a key, since a stray
//! character in a password shifts what the rest is taken for.

use percent_encoding::percent_decode_str;

/// Pairs in the order of the text; a host list stays one comma-separated value, as in libpq.
pub type Pairs = Vec<(String, String)>;

const ENCODE: &str = "characters such as / ? # @ : in a user or password must be percent-encoded";

/// Reads either form. The error says what is wrong and the way out, without any value.
pub fn parse(text: &str) -> Result<Pairs, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty; write postgres://user@host/database".into());
    }
    if text.contains('\0') {
        return Err("it holds a zero byte".into());
    }
    match text.split_once("://") {
        Some(("postgres" | "postgresql", rest)) => url(rest),
        Some((scheme, _)) if is_key(scheme) => {
            Err(format!("the scheme is `{scheme}`, not postgres or postgresql"))
        }
        _ => dsn(text),
    }
}

fn url(rest: &str) -> Result<Pairs, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if database.contains('@') {
        return Err(
            "the URL has an `@` where none can be: in a password, write `@` as %40 and `/` as %2F".into()
        );
    }
    let mut pairs = Pairs::new();
    let hosts = match authority.rsplit_once('@') {
        None => authority,
        Some((login, hosts)) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            push(&mut pairs, "user", user)?;
            push(&mut pairs, "password", password)?;
            hosts
        }
    };
    url_hosts(hosts, &mut pairs)?;
    push(&mut pairs, "dbname", database)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("a parameter after `?` has no `=`; {ENCODE}"));
        };
        let key = decode(key)?;
        if !is_key(&key) {
            return Err(format!("a parameter's name is not one; {ENCODE}"));
        }
        match key.as_str() {
            "ssl" if value == "true" => pairs.push(("sslmode".into(), "require".into())),
            _ => pairs.push((key, decode(value)?)),
        }
    }
    Ok(pairs)
}

/// `host[:port],[v6][:port]`: hosts and ports become two lists of one length.
fn url_hosts(text: &str, pairs: &mut Pairs) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for one in text.split(',') {
        let (host, port) = if let Some(v6) = one.strip_prefix('[') {
            let Some((host, after)) = v6.split_once(']') else {
                return Err("an IPv6 address lacks its closing bracket".into());
            };
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err("something stands between an IPv6 address and its port".into()),
            }
        } else {
            one.split_once(':').unwrap_or((one, ""))
        };
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(format!("a port is not a number from 1 to 65535; {ENCODE}"));
        }
        hosts.push(decode(host)?);
        ports.push(port.to_owned());
    }
    pairs.push(("host".into(), hosts.join(",")));
    if ports.iter().any(|port| !port.is_empty()) {
        pairs.push(("port".into(), ports.join(",")));
    }
    Ok(())
}

fn push(pairs: &mut Pairs, key: &str, value: &str) -> Result<(), String> {
    if !value.is_empty() {
        pairs.push((key.into(), decode(value)?));
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let whole = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    });
    if !whole {
        return Err("a % is not followed by two hex digits; write %25 for a percent sign".into());
    }
    let text = percent_decode_str(text).decode_utf8();
    match text {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err("a percent-encoded part is not UTF-8 text".into()),
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `key = value key='a \'quoted\' value'`.
fn dsn(text: &str) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return Err("it is neither a postgres:// URL nor a list of key=value".into());
        };
        let key = key.trim();
        if !is_key(key) {
            return Err(
                "a name before `=` is not a parameter's; values with spaces need quotes: key='a b'".into()
            );
        }
        let (value, after) = dsn_value(after.trim_start(), key)?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

fn dsn_value<'a>(text: &'a str, key: &str) -> Result<(String, &'a str), String> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            char if !quoted && char.is_ascii_whitespace() => return Ok((value, &text[at..])),
            char => value.push(char),
        }
    }
    if quoted {
        return Err(format!("the quote around the value of `{key}` is not closed"));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|error| vec![("error".into(), error)])
    }

    fn expect(text: &str, wanted: &[(&str, &str)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs(text), wanted, "{text}");
    }

    #[test]
    fn urls() {
        expect(
            "postgres://u:p%40w@h:1/d",
            &[("user", "u"), ("password", "p@w"), ("host", "h"), ("port", "1"), ("dbname", "d")],
        );
        expect(
            "postgresql://a,[::1]:6,c:7/d?sslmode=disable",
            &[("host", "a,::1,c"), ("port", ",6,7"), ("dbname", "d"), ("sslmode", "disable")],
        );
        expect("postgres://%2Ftmp%2Fx:5/d", &[("host", "/tmp/x"), ("port", "5"), ("dbname", "d")]);
        expect("postgres:///d?host=/tmp", &[("dbname", "d"), ("host", "/tmp")]);
        expect("postgres://u:a@b@h", &[("user", "u"), ("password", "a@b"), ("host", "h")]);
    }

    #[test]
    fn key_value() {
        expect(
            "host=a  port = 5 password='it\\'s a\\\\b' dbname=''",
            &[("host", "a"), ("port", "5"), ("password", "it's a\\b"), ("dbname", "")],
        );
    }

    #[test]
    fn errors_never_repeat_a_value() {
        for text in [
            "postgres://u:canary/x@h/d",
            "postgres://u:can%ary@h/d",
            "postgres://u:p@h:canary/d",
            "postgres://u:p@[::1/canary",
            "postgres://h/d?canary",
            "host=a password='canary",
            "host=a password=x canary b=c",
            "canary",
        ] {
            let error = parse(text).expect_err(text);
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
