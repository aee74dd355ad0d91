//! The standard output and error of the process.

use crate::{Body, Result, backend};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Returns when the operating system has taken every byte.
///
/// # Errors
///
/// `gone` once nobody reads the stream any more.
pub async fn write(stream: Stream, body: impl Into<Body<'_>>) -> Result<()> {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    backend::console::write(name.to_owned(), body.into().parts).await
}
