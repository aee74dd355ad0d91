//! The shape of a config as a constant tree, printed into the component while it is compiled.

/// What a value may be.
#[derive(Debug)]
pub enum Schema {
    /// Any JSON value.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number of at least this, if anything.
    Integer(Option<&'static str>),
    /// Any number.
    Number,
    /// A text.
    Text,
    /// A text, `10s`, `500ms`, `1h30m`.
    Duration,
    /// A count of bytes, or a text, `100MB`.
    Bytes,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Schema),
    /// Names and values.
    Map(&'static Schema),
    /// Exactly these properties.
    Object(&'static [Field]),
}

/// One property.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// JSON text.
    pub default: Option<&'static str>,
    /// It may be left out without having a default.
    pub optional: bool,
    /// Its value never enters the guest; its name does.
    pub secret: bool,
    /// The capability that typing it grants.
    pub endpoint: Option<&'static str>,
    /// It names a table that pgcdc's migrations of this name make, in the PostgreSQL beside it.
    pub table: Option<&'static str>,
    /// Its name on the command line, if not made from the connector's and its own.
    pub flag: Option<&'static str>,
    /// The same as one letter.
    pub short: Option<&'static str>,
    /// JSON number: the least value, length or count.
    pub minimum: Option<&'static str>,
    /// JSON number: the greatest.
    pub maximum: Option<&'static str>,
    /// What it holds.
    pub schema: &'static Schema,
}
