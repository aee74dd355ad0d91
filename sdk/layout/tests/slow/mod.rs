//! The envelope, printed slowly: written from the description, sharing no code with the crate.

use crate::support::{Change, Model, Payload, Ty, Value};
use pgcdc_layout::{Kind, Op};

pub(crate) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c if c < ' ' => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

fn timestamp(text: &str, zoned: bool) -> String {
    let Some((date, time)) = text.split_once(' ') else { return string(text) };
    if !time.starts_with(|c: char| c.is_ascii_digit()) || string(text).len() != text.len() + 2 {
        return string(text);
    }
    let (clock, era) = time.strip_suffix(" BC").map_or((time, ""), |clock| (clock, " BC"));
    let tail: Vec<char> = clock.chars().rev().take(4).collect();
    let short = match tail[..] {
        [a, b, sign, c] => [a, b, c].iter().all(char::is_ascii_digit) && (sign == '+' || sign == '-'),
        _ => false,
    };
    string(&format!("{date}T{clock}{}{era}", if zoned && short { ":00" } else { "" }))
}

enum Node {
    Null,
    Leaf(String),
    List(Vec<Node>),
}

fn array(text: &[char], at: &mut usize, delim: char, depth: usize) -> Option<Node> {
    if text.get(*at) != Some(&'{') || depth > 6 {
        return None;
    }
    *at += 1;
    let mut items = Vec::new();
    if text.get(*at) == Some(&'}') {
        *at += 1;
        return Some(Node::List(items));
    }
    loop {
        items.push(match text.get(*at)? {
            '{' => array(text, at, delim, depth + 1)?,
            '"' => {
                let mut leaf = String::new();
                *at += 1;
                while *text.get(*at)? != '"' {
                    *at += usize::from(text[*at] == '\\');
                    leaf.push(*text.get(*at)?);
                    *at += 1;
                }
                *at += 1;
                Node::Leaf(leaf)
            }
            _ => {
                let mut leaf = String::new();
                while !matches!(*text.get(*at)?, c if c == delim || c == '}') {
                    leaf.push(text[*at]);
                    *at += 1;
                }
                match leaf {
                    leaf if leaf.is_empty() || leaf.contains(['{', '"', '\\']) => return None,
                    leaf if leaf.eq_ignore_ascii_case("NULL") => Node::Null,
                    leaf => Node::Leaf(leaf),
                }
            }
        });
        let next = *text.get(*at)?;
        *at += 1;
        match next {
            '}' => return Some(Node::List(items)),
            next if next == delim => {}
            _ => return None,
        }
    }
}

fn whole_array(text: &str, delim: u8) -> Option<Node> {
    let text = match text.starts_with('[') {
        true => text.split_once('=').filter(|(b, _)| b.chars().all(|c| "[]:+-0123456789".contains(c)))?.1,
        false => text,
    };
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    array(&chars, &mut at, char::from(delim), 1).filter(|_| at == chars.len())
}

fn node(ty: &Ty, of: &Node) -> String {
    match of {
        Node::Null => String::from("null"),
        Node::Leaf(text) => value(ty, text),
        Node::List(nodes) => {
            format!("[{}]", nodes.iter().map(|of| node(ty, of)).collect::<Vec<_>>().join(","))
        }
    }
}

fn composite(text: &str, width: usize) -> Option<Vec<Option<String>>> {
    let inner: Vec<char> = text.strip_prefix('(')?.chars().collect();
    if width == 0 {
        return (inner == [')']).then(Vec::new);
    }
    let (mut fields, mut at) = (Vec::new(), 0);
    while fields.len() < width {
        let mut field = None;
        if *inner.get(at)? == '"' {
            let mut text = String::new();
            at += 1;
            loop {
                match (*inner.get(at)?, *inner.get(at + 1)?) {
                    ('"', '"') => text.push('"'),
                    ('"', _) => break,
                    ('\\', next) => text.push(next),
                    (c, _) => {
                        text.push(c);
                        at -= 1;
                    }
                }
                at += 2;
            }
            at += 1;
            field = Some(text);
        }
        while field.is_none() || !matches!(*inner.get(at)?, ',' | ')') {
            match *inner.get(at)? {
                ',' | ')' => break,
                '"' | '\\' | '(' => return None,
                _ if field.as_ref().is_some_and(|_| inner[at - 1] == '"') => return None,
                c => field.get_or_insert_default().push(c),
            }
            at += 1;
        }
        fields.push(field);
        at += 1;
        let last = fields.len() == width;
        if inner[at - 1] != if last { ')' } else { ',' } {
            return None;
        }
    }
    (at == inner.len()).then_some(fields)
}

pub(crate) fn value(ty: &Ty, text: &str) -> String {
    match ty {
        Ty::Scalar(Kind::Bool) if text == "t" => String::from("true"),
        Ty::Scalar(Kind::Bool) if text == "f" => String::from("false"),
        Ty::Scalar(Kind::Int | Kind::Number) if is_number(text) => text.to_owned(),
        Ty::Scalar(Kind::Json) if serde_json::from_str::<serde_json::Value>(text).is_ok() => {
            text.replace(['\n', '\r'], " ")
        }
        Ty::Scalar(Kind::Timestamp) => timestamp(text, false),
        Ty::Scalar(Kind::Timestamptz) => timestamp(text, true),
        Ty::Scalar(_) => string(text),
        Ty::Array(delim, element) => {
            whole_array(text, *delim).map_or_else(|| string(text), |list| node(element, &list))
        }
        Ty::Composite(fields) => match composite(text, fields.len()) {
            None => string(text),
            Some(values) => {
                let member = |((name, ty), text): (&(String, Ty), Option<String>)| {
                    let text = text.map_or_else(|| String::from("null"), |text| value(ty, &text));
                    format!("{}:{text}", string(name))
                };
                format!("{{{}}}", fields.iter().zip(values).map(member).collect::<Vec<_>>().join(","))
            }
        },
    }
}

fn row(model: &Model, change: &Change, row: Option<&Vec<Value>>) -> String {
    let Some(row) = row else { return String::from("null") };
    let columns = &model.tables[change.table].columns;
    let members: Vec<_> = columns
        .iter()
        .zip(row)
        .filter_map(|((name, ty), cell)| match cell {
            Value::Unchanged => None,
            Value::Null | Value::Absent => Some(format!("{}:null", string(name))),
            Value::Text(text) => Some(format!("{}:{}", string(name), value(ty, text))),
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn payload(model: &Model, change: &Change) -> String {
    match &change.payload {
        Payload::Json(body) => return body.replace('\n', " "),
        Payload::Text(body) => return string(body),
        Payload::Bytes(body) => return base64(body),
        Payload::None if !change.op.is_row() => return String::from("null"),
        Payload::None => {}
    }
    let table = &model.tables[change.table];
    let mut out = format!("{{\"op\":\"{}\"", change.op.name());
    if !table.name.is_empty() {
        out += &format!(",\"table\":{}", string(&table.name));
    }
    if model.flags & 2 != 0 {
        out += &format!(",\"schema\":{}", string(&table.schema));
    }
    let (now, old) = match change.op {
        Op::Delete => (change.before.as_ref(), None),
        Op::Truncate => (None, None),
        _ => (change.after.as_ref(), change.before.as_ref()),
    };
    out += &format!(",\"row\":{},\"old\":{}", row(model, change, now), row(model, change, old));
    let cells = now.into_iter().flatten().zip(&table.columns);
    let unchanged: Vec<_> =
        cells.filter(|(cell, _)| **cell == Value::Unchanged).map(|(_, (name, _))| string(name)).collect();
    if !unchanged.is_empty() {
        out += &format!(",\"_unchanged_toast_columns\":[{}]", unchanged.join(","));
    }
    if model.flags & 2 != 0 {
        let shape = |(name, ty): &(String, Ty)| {
            let (oid, type_name) = match ty {
                Ty::Scalar(_) => (7, "scalar"),
                Ty::Array(..) => (8, "array"),
                Ty::Composite(_) => (9, "composite"),
            };
            format!("{{\"name\":{},\"type_oid\":{oid},\"type_name\":\"{type_name}\"}}", string(name))
        };
        out += &format!(",\"columns\":[{}]", table.columns.iter().map(shape).collect::<Vec<_>>().join(","));
    }
    out + "}"
}

fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::from("\"");
    for group in bits.as_bytes().chunks(6) {
        let group: String = format!("{:0<6}", String::from_utf8_lossy(group));
        out.push(char::from(digits[usize::from_str_radix(&group, 2).unwrap_or(0)]));
    }
    while (out.len() - 1) % 4 != 0 {
        out.push('=');
    }
    out + "\""
}

/// A line without its newline; `time` prints a point in time.
pub(crate) fn line(model: &Model, change: &Change, time: impl Fn(i64) -> String) -> String {
    let id = hex(&change.id);
    let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let channel = string(&model.tables[change.table].channel);
    let mut out = format!("{{\"id\":\"{id}\",\"channel\":{channel},\"operation\":\"{}\"", change.op.name());
    let (source, detected) = (string(&model.source), time(model.detected_us));
    out +=
        &format!(",\"payload\":{},\"source\":{source},\"created_at\":\"{detected}\"", payload(model, change));
    let transaction = change.tx.map(|tx| &model.transactions[tx]);
    let mut position: Vec<u8> = transaction.map_or(Vec::new(), |(key, ..)| key.clone());
    position.extend(&change.key);
    if !position.is_empty() {
        if change.derived > 0 {
            position.extend(change.derived.to_be_bytes());
        }
        out += &format!(",\"position\":\"{}\"", hex(&position));
    }
    if let (Some((_, xid, commit_us)), true) = (transaction, change.seq > 0 && model.flags & 4 != 0) {
        let commit_time =
            commit_us.map_or_else(|| String::from("null"), |at_us| format!("\"{}\"", time(at_us)));
        out += &format!(
            ",\"transaction\":{{\"xid\":{xid},\"commit_time\":{commit_time},\"seq\":{}}}",
            change.seq
        );
    }
    out + "}"
}
