//! The source `listen_notify`: what `NOTIFY` sends, as events.
//!
//! At most once: what is sent while nobody listens is gone, and the server keeps no position. Connecting again after a
//! failure is the host's, which opens a new instance.

mod events;

use std::time::{SystemTime, UNIX_EPOCH};

use pgcdc_sdk::postgres::{self, Subscription};
use pgcdc_sdk::{Batch, Config, Context, Endpoint, Result, Source};

/// Where, and to what.
#[derive(Debug, Config)]
pub struct Options {
    /// The database: a URL or a keyword/value string.
    #[config(endpoint = "postgres", flag = "db")]
    db: Endpoint,
    /// The channels to listen to, by their exact names.
    #[config(flag = "channel", min = 1)]
    channels: Vec<String>,
}

/// One session that listens.
#[derive(Debug)]
pub struct ListenNotify {
    subscription: Subscription,
}

impl Source for ListenNotify {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { subscription: postgres::listen(&options.db, &options.channels).await? })
    }

    async fn next(&self) -> Result<Vec<Batch>> {
        let heard = self.subscription.next().await?;
        let detected_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let batches = events::batches(&heard, i64::try_from(detected_us).unwrap_or_default())?;
        batches.iter().map(|bytes| Batch::build(bytes)).collect()
    }
}

pgcdc_sdk::connector! {
    source: ListenNotify,
    name: "listen_notify",
    delivery: "At most once: what is sent while pgcdc does not listen is gone.",
    capabilities: { postgres: "listens to the channels that the operator names" },
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::postgres::Notification;
    use pgcdc_sdk::testing;

    #[test]
    fn payloads_become_events() {
        let payloads = [
            r#"{"op":"INSERT","table":"t","row":{"n":1.10},"old":null}"#,
            r#"{"op":"paid","a":1}"#,
            r#"{"op":7}"#,
            "[1]",
            "plain \"text\"",
            "",
        ];
        let heard =
            |payload: &&str| Notification { channel: "ch".into(), payload: (*payload).into(), pid: 1 };
        testing::script_notifications([Ok(payloads.iter().map(heard).collect())]);
        let options = testing::config(r#"{"db":"db","channels":["ch"]}"#).unwrap();
        let source = testing::block_on(ListenNotify::open(options, &Context::default())).unwrap();
        let batches = testing::block_on(source.next()).unwrap();
        let lines = String::from_utf8(batches[0].json_lines(0, 99).unwrap()).unwrap();
        let expected = [
            r#""channel":"ch","operation":"INSERT","payload":{"op":"INSERT","table":"t","row":{"n":1.10},"old":null},"source":"listen_notify""#,
            r#""operation":"paid","payload":{"op":"paid","a":1},"#,
            r#""operation":"NOTIFY","payload":{"op":7},"#,
            r#""operation":"NOTIFY","payload":"[1]","#,
            r#""operation":"NOTIFY","payload":"plain \"text\"","#,
            r#""operation":"NOTIFY","payload":"","#,
        ];
        assert_eq!(lines.lines().count(), expected.len());
        for (line, expected) in lines.lines().zip(expected) {
            assert!(line.contains(expected), "{line}");
        }
        assert_eq!(testing::block_on(source.next()).unwrap_err().code, "unavailable");
    }
}
