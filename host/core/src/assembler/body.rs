//! Payloads that are no rows: transaction markers and logical messages.
//!
//! - BEGIN: `{"xid":771,"commit_time":"2026-01-05T09:30:00Z"}`; COMMIT has `"event_count"` besides: the rows
//!   that were let through.
//! - MESSAGE: `{"prefix":"p","content":"text","transactional":true}`. Content may be any bytes, and JSON has
//!   none: if it is not UTF-8 it is written in base64, and `"encoding":"base64"` follows to say so.

use data_encoding::BASE64;
use pgcdc_layout::json::{write_string, write_time};

use crate::pgoutput::{Begin, Logical};

pub(super) fn marker(begin: &Begin, event_count: Option<u32>) -> String {
    let mut out = format!("{{\"xid\":{},\"commit_time\":\"", begin.xid).into_bytes();
    write_time(&mut out, begin.commit_us);
    out.push(b'"');
    if let Some(count) = event_count {
        out.extend_from_slice(format!(",\"event_count\":{count}").as_bytes());
    }
    out.push(b'}');
    text(out)
}

pub(super) fn message(message: &Logical<'_>) -> String {
    let mut out = b"{\"prefix\":".to_vec();
    write_string(&mut out, message.prefix.as_bytes());
    out.extend_from_slice(b",\"content\":");
    let is_text = std::str::from_utf8(message.content).is_ok();
    if is_text {
        write_string(&mut out, message.content);
    } else {
        write_string(&mut out, BASE64.encode(message.content).as_bytes());
        out.extend_from_slice(b",\"encoding\":\"base64\"");
    }
    out.extend_from_slice(format!(",\"transactional\":{}}}", message.transactional).as_bytes());
    text(out)
}

/// Only UTF-8 has been written.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn markers_name_the_transaction() {
        let begin = Begin { commit_lsn: Lsn(1), commit_us: 1_767_605_400_250_000, xid: 771 };
        assert_eq!(marker(&begin, None), r#"{"xid":771,"commit_time":"2026-01-05T09:30:00.25Z"}"#);
        let commit = r#"{"xid":771,"commit_time":"2026-01-05T09:30:00.25Z","event_count":2}"#;
        assert_eq!(marker(&begin, Some(2)), commit);
    }

    #[test]
    fn content_that_is_no_text_says_how_it_is_written() {
        let logical = |content| Logical { transactional: true, lsn: Lsn(1), prefix: "a\"b", content };
        let body = message(&logical(b"x\ny"));
        assert_eq!(body, r#"{"prefix":"a\"b","content":"x\ny","transactional":true}"#);
        let body = message(&logical(&[0xFF, 0xFE]));
        assert_eq!(body, r#"{"prefix":"a\"b","content":"//4=","encoding":"base64","transactional":true}"#);
    }
}
