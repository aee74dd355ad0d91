//! Asking a running pgcdc for its status, over its metrics listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::args::{Global, Status as Options};
use super::main::read;
use super::status::{Status, render};
use crate::manifest::settings::{Overrides, Settings};

const ANSWER_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Prints the status as a table, or as JSON.
pub(super) fn status(options: &Options, global: &Global) -> Result<ExitCode, String> {
    let address = match options.metrics_addr {
        Some(address) => Some(address),
        None => configured(options, global)?,
    };
    let address = address.ok_or("where does it run? Give --metrics-addr, or a manifest with metrics_addr")?;
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

/// What the environment or a manifest says.
fn configured(options: &Options, global: &Global) -> Result<Option<SocketAddr>, String> {
    let lookup = |name: &str| std::env::var_os(name);
    let named = options.manifest.is_some() || global.config.is_some() || Path::new("pgcdc.yaml").exists();
    let file = if named { read(&options.manifest, global)?.settings } else { Overrides::default() };
    Ok(Settings::merge(&file, &lookup, &Overrides::default())?.metrics_addr)
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
