//! The source `wal`: logical replication of a PostgreSQL, decoded by the host.
//!
//! The batches pass through by handle. Connecting again after a failure is the host's, which opens a new
//! instance: whatever ends the connection is returned as it is.

mod options;

use pgcdc_sdk::{Batch, Context, Result, Source, wal};

pub use options::Options;

/// One replication connection.
#[derive(Debug)]
pub struct Wal {
    connection: wal::Replication,
}

impl Source for Wal {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { connection: wal::open(&options.db, &options.rest).await? })
    }

    async fn next(&self) -> Result<Vec<Batch>> {
        self.connection.next().await
    }
}

pgcdc_sdk::connector! {
    source: Wal,
    name: "wal",
    delivery: "At least once with `persistent_slot`: nothing is confirmed to the server before every sink has it.",
    capabilities: { wal: "reads the write-ahead log" },
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::{Error, testing};

    #[test]
    fn passes_on_the_options_but_not_the_endpoint() {
        let options = testing::config(r#"{"db":"db","publication":"p","tx_metadata":true}"#).unwrap();
        let wal = testing::block_on(Wal::open(options, &Context::default())).unwrap();
        assert_eq!(wal.connection.facts(), r#"{"publication":"p","tx_metadata":true}"#);
    }

    #[test]
    fn the_end_of_the_connection_is_the_hosts_to_handle() {
        testing::script_wal([Err(Error::unavailable("the server is going away"))]);
        let options = testing::config(r#"{"db":"db"}"#).unwrap();
        let wal = testing::block_on(Wal::open(options, &Context::default())).unwrap();
        assert_eq!(testing::block_on(wal.next()).unwrap_err().code, "unavailable");
    }
}
