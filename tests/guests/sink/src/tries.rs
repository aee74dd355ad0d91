//! Things that a sink has no business with, and what came of trying.

use pgcdc_sdk::http::{Request, Response};
use pgcdc_sdk::{Endpoint, Result};

/// Asks an address that nobody granted under this name.
pub(crate) async fn ask(address: &str) -> String {
    answer(Request::get(&Endpoint::named(address)).send().await)
}

/// Posts to a path below a granted address.
pub(crate) async fn path(url: &Endpoint, path: &str) -> String {
    answer(Request::post(url).path(path).send().await)
}

/// Posts to a granted address with a header.
pub(crate) async fn header(url: &Endpoint, line: &str) -> String {
    let (name, value) = line.split_once(": ").unwrap_or((line, ""));
    answer(Request::post(url).header(name, value).send().await)
}

/// What of the machine can be seen: readable files, arguments, variables.
pub(crate) fn pry() -> String {
    let files = ["/etc/passwd", "/", ".", "pgcdc.yaml", "/dev/null"];
    let readable = files.iter().filter(|path| std::fs::metadata(path).is_ok()).count();
    let written = usize::from(std::fs::write("pried", "pried").is_ok());
    let (arguments, variables) = (std::env::args().count(), std::env::vars().count());
    format!("files {} arguments {arguments} variables {variables}", readable + written)
}

/// The status, or the error.
fn answer(answer: Result<Response>) -> String {
    match answer {
        Ok(response) => format!("status {}", response.status),
        Err(error) => error.to_string(),
    }
}
