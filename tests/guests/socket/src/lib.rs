//! The sink `socket`: goes around the host by way of its language's standard library.

use std::io::Write;
use std::net::TcpStream;

use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, Config, Context, Result, Sink};

/// What the operator says.
#[derive(Debug, Config)]
pub struct Options {
    /// A host and a port, as plain text.
    address: String,
}

/// The sink.
#[derive(Debug)]
pub struct Guest(Options);

impl Sink for Guest {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self(options))
    }

    async fn write(&self, _: &Batch, _: &WriteContext) -> Result<Outcome> {
        TcpStream::connect(&self.0.address)?.write_all(b"I am out\n")?;
        Ok(Outcome::Durable)
    }
}

pgcdc_sdk::connector! { sink: Guest, name: "socket" }
