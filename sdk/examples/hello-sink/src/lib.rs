//! A sink that greets: see ../../README.md for how to build and run it.
use pgcdc_sdk::{Batch, Config, Context, Result, Sink, console, sink::Outcome, sink::WriteContext};

#[derive(Config)]
pub struct Hello {
    /// Whom to greet.
    #[config(default = "world")]
    name: String,
}

impl Sink for Hello {
    type Config = Self;
    async fn open(config: Self, _: &Context) -> Result<Self> { Ok(config) }
    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
        let greeting = format!("hello {}, {} changes:\n", self.name, batch.count());
        console::write(console::Stream::Stdout, pgcdc_sdk::Body::from(greeting).then(batch.lines())).await?;
        Ok(Outcome::Durable)
    }
}
pgcdc_sdk::connector! { sink: Hello, name: "hello", capabilities: { console: "prints" } }
