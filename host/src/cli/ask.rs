//! Asking a running pgcdc for its status, over its metrics listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::args::Status as Options;
use super::status::{Status, render};

const ANSWER_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Prints the status as a table, or as JSON.
pub(super) fn status(options: &Options) -> Result<ExitCode, String> {
    let configured = std::env::var("PGCDC_METRICS_ADDR").ok().and_then(|address| address.parse().ok());
    let address = options
        .metrics_addr
        .or(configured)
        .ok_or("where does it run? Give --metrics-addr ADDR:PORT, as its manifest's metrics_addr says")?;
    let body = get(address, "/status").map_err(|e| format!("no pgcdc answers at {address}: {e}"))?;
    if options.json {
        println!("{}", body.trim_end());
    } else {
        let status: Status =
            serde_json::from_str(&body).map_err(|e| format!("{address} is no pgcdc: {e}"))?;
        print!("{}", render(&status));
    }
    Ok(ExitCode::SUCCESS)
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_string()),
        _ => Err(std::io::Error::other("it answers with something else")),
    }
}
