//! The transform `cloudevents`: every payload becomes a CloudEvent of version 1.0 in structured mode.
//!
//! `data` is what the payload was; one of bytes is `data_base64`. The event's own envelope around it stays as it is, and what
//! comes behind this transform finds the CloudEvent in the place of rows.

use pgcdc_sdk::layout::json::{Encoder, write_base64, write_string, write_time, write_uuid};
use pgcdc_sdk::layout::{Body, Event};
use pgcdc_sdk::payload;
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Config, Context, Error, Result, Transform};

/// What CloudEvents want to know and the changes do not say.
#[derive(Debug, Config)]
pub struct CloudEvents {
    /// Who speaks: a URI reference.
    #[config(default = "/pgcdc", flag = "cloudevents-source", min = 1, max = 1024)]
    source: String,
    /// What comes before the operation in `type`: io.pgcdc.change.INSERT.
    #[config(default = "io.pgcdc.change", flag = "cloudevents-type-prefix", min = 1, max = 1024)]
    type_prefix: String,
}

impl Transform for CloudEvents {
    type Config = Self;

    async fn open(config: Self, _: &Context) -> Result<Self> {
        Ok(config)
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        payload::replace(&batch.read()?, |out, event, old| self.write(out, event, old))
    }
}

impl CloudEvents {
    fn write<'a>(&self, out: &mut Vec<u8>, event: &Event<'a>, old: &mut Encoder<'a>) -> Result<()> {
        out.extend_from_slice(br#"{"specversion":"1.0","id":""#);
        write_uuid(out, &event.id());
        out.extend_from_slice(br#"","type":"#);
        write_string(out, [&self.type_prefix, ".", &payload::operation(event)].concat().as_bytes());
        member(out, "source", &self.source);
        if !event.channel().is_empty() {
            member(out, "subject", event.channel());
        }
        out.extend_from_slice(br#","time":""#);
        write_time(out, whole_seconds_us(event));
        out.push(b'"');
        if let Body::Bytes(bytes) = event.body() {
            out.extend_from_slice(br#","datacontenttype":"application/octet-stream","data_base64":"#);
            write_base64(out, bytes);
        } else {
            out.extend_from_slice(br#","datacontenttype":"application/json","data":"#);
            old.payload(out, event).map_err(Error::too_large)?;
        }
        number(out, "pgcdclsn", payload::lsn(event).unwrap_or_default());
        number(out, "pgcdctxid", event.transaction().map_or(0, |tx| u64::from(tx.xid())));
        out.push(b'}');
        Ok(())
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
    write_string(out, value.as_bytes());
}

/// An extension, unless it is not known.
fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    if value > 0 {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
}

/// When it was committed, or else detected; the fraction of the second is left out.
fn whole_seconds_us(event: &Event<'_>) -> i64 {
    const SECOND_US: i64 = 1_000_000;
    let at_us = payload::committed_us(event).unwrap_or_else(|| event.view().detected_us());
    at_us.saturating_sub(at_us.rem_euclid(SECOND_US))
}

pgcdc_sdk::connector! {
    transform: CloudEvents,
    name: "cloudevents",
    delivery: "Every event passes, its payload wrapped.",
    example: "transforms:\n  - { use: cloudevents, config: { source: /shop } }",
}
