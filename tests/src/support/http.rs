//! One GET, for health and metrics endpoints.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::journal::DEADLINE;

/// Status and body of `GET http://<address><path>`, or why there is none.
///
/// # Errors
/// Whatever keeps the other side from answering with HTTP, as text.
pub fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    let mut stream =
        TcpStream::connect(address).map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let mut answer = String::new();
    stream
        .set_read_timeout(Some(DEADLINE))
        .and_then(|()| write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
        .and_then(|()| stream.read_to_string(&mut answer))
        .map_err(|error| format!("{address}{path}: {error}"))?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address}{path}: no end of headers"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("{address}{path}: no status in {head:?}"))?;
    Ok((status, body.to_owned()))
}
