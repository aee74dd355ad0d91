//! What an operator writes for a connector: a schema for the host, a value for the author.
//!
//! The host has checked a config against the schema and filled the defaults in before a connector sees it, so
//! decoding fails only when a connector is driven by something else. It decodes all the same: nothing panics
//! on foreign bytes.

mod decode;
mod quantity;
mod render;
mod schema;
mod value;

pub(crate) use decode::parse;
pub use decode::{Place, field, object};
pub use quantity::{ByteSize, parse_bytes, parse_duration};
pub(crate) use render::{Out, schema};
pub use schema::{Field, Schema};
pub use serde_json::Value as Json;
pub use value::{Endpoint, Secret, Value};

/// A connector's options: a struct that derives it, or `()` for none.
///
/// ```
/// use pgcdc_sdk::{ByteSize, Config, Endpoint};
///
/// #[derive(Config)]
/// struct Options {
///     /// Where to write.
///     #[config(endpoint = "file", flag = "file-path")]
///     path: Endpoint,
///     /// Begin a new file at this size.
///     #[config(default = "100MiB")]
///     max_size: ByteSize,
///     /// How many old files to keep.
///     #[config(default = 5, min = 0, max = 1000)]
///     max_files: u32,
/// }
/// ```
///
/// Keys: `name` (the property's, if not the field's), `default` (a literal, a list of texts or `{}`), `min` and `max` (of a
/// number, of a text's or a list's length), `secret`, `endpoint` (the capability whose grant the property is), `flag` and
/// `short` (of `pgcdc listen`). The doc comment is the
/// description. A field without a default is required unless it is an `Option`.
pub trait Config: Value {}

impl Config for () {}

impl Value for () {
    const SCHEMA: &'static Schema = &Schema::Object(&[]);

    fn decode(_: &Json, _: &Place<'_>) -> crate::Result<Self> {
        Ok(())
    }
}
