//! One request, for health, metrics and reload endpoints.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::journal::DEADLINE;

/// Status and body of `GET http://<address><path>`, or why there is none.
///
/// # Errors
/// Whatever keeps the other side from answering with HTTP, as text.
pub fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    ask(address, path, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

fn ask(address: &str, path: &str, request: &str) -> Result<(u16, String), String> {
    let mut stream =
        TcpStream::connect(address).map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let mut answer = String::new();
    stream
        .set_read_timeout(Some(DEADLINE))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .and_then(|()| stream.read_to_string(&mut answer))
        .map_err(|error| format!("{address}{path}: {error}"))?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address}{path}: no end of headers"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("{address}{path}: no status in {head:?}"))?;
    Ok((status, body.to_owned()))
}

/// Status and body of an empty `POST http://<address><path>` with these headers, or why there is none.
///
/// # Errors
/// Whatever keeps the other side from answering with HTTP, as text.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<(u16, String), String> {
    let host = if headers.iter().any(|(name, _)| *name == "host") { vec![] } else { vec![("host", address)] };
    let headers: String =
        host.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    ask(
        address,
        path,
        &format!("POST {path} HTTP/1.1\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"),
    )
}
