//! What leaves the process on behalf of connectors: HTTP to granted endpoints, each address checked at every dial.

pub(crate) mod dial;
pub(crate) mod endpoint;
pub(crate) mod policy;

pub(crate) use endpoint::Endpoint;
