//! A component's self-description: constant JSON that the host reads from the file without running it.

use crate::config::{Field, Out, Schema, schema};

/// The contract that this SDK speaks.
pub const API: &str = "1.0.0-draft";

/// What `connector!` was told, and the schema of the config.
#[derive(Debug)]
pub struct Description {
    /// What manifests call it.
    pub name: &'static str,
    /// The crate's.
    pub version: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// `source`, `transform`, `sink`, `dlq` or `checkpoint-store`.
    pub kind: &'static str,
    /// The config's shape.
    pub config: &'static Schema,
    /// Interfaces of the host, and why each is needed.
    pub capabilities: &'static [(&'static str, &'static str)],
    /// The delivery promise.
    pub delivery: &'static str,
    /// More words, Markdown.
    pub docs: &'static str,
    /// A manifest that uses it, YAML.
    pub example: &'static str,
}

/// How long the JSON is, in bytes.
pub const fn length(of: &Description) -> usize {
    let mut out = Out::new(&mut []);
    write(&mut out, of);
    out.len
}

/// The JSON; `N` is its length.
pub const fn json<const N: usize>(of: &Description) -> [u8; N] {
    let mut bytes = [0; N];
    let mut out = Out::new(&mut bytes);
    write(&mut out, of);
    bytes
}

const fn write(out: &mut Out<'_>, of: &Description) {
    out.raw("{");
    out.pair("name", of.name);
    out.pair("version", of.version);
    out.pair("description", of.description);
    out.key("kinds");
    out.raw("[");
    out.string(of.kind);
    out.raw("]");
    out.pair("api", API);
    out.key("layouts");
    out.raw("[1]");
    out.key("sdk");
    out.raw("{");
    out.pair("name", "pgcdc-sdk");
    out.pair("version", env!("CARGO_PKG_VERSION"));
    out.raw("}");
    out.key("config");
    schema(out, of.config, None::<&Field>);
    out.key("capabilities");
    out.raw("[");
    let mut at = 0;
    while at < of.capabilities.len() {
        let (interface, reason) = of.capabilities[at];
        out.comma();
        out.raw("{");
        out.pair("interface", interface);
        out.pair("reason", reason);
        out.raw("}");
        at += 1;
    }
    out.raw("]");
    out.pair("delivery", of.delivery);
    out.pair("docs", of.docs);
    out.pair("example", of.example);
    out.raw("}");
}
