//! Of the host's room `postgres`, what reads connection strings.

#[path = "../../../host/src/postgres/conninfo.rs"]
pub mod conninfo;
#[path = "../../../host/src/postgres/draft.rs"]
mod draft;
#[path = "../../../host/src/postgres/error.rs"]
pub mod error;
#[path = "../../../host/src/postgres/params.rs"]
pub mod params;
