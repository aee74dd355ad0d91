//! The imports of the contract, over this crate's own types wherever a type crosses by value.
//!
//! Only what a connector really calls ends up in its component: the linker drops the rest, and the component
//! tool then drops the interface.

#![allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications, dead_code, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit/v1",
    world: "imports",
    generate_all,
    generate_unused_types: true,
    with: {
        "pgcdc:host/types@1.0.0-draft/error": crate::Error,
        "pgcdc:host/batches@1.0.0-draft/slice": crate::batch::Slice,
        "pgcdc:host/batches@1.0.0-draft/part": crate::batch::Part,
        "pgcdc:host/log@1.0.0-draft/level": crate::log::Level,
        "pgcdc:host/http@1.0.0-draft/request": crate::http::Request,
        "pgcdc:host/http@1.0.0-draft/response": crate::http::Response,
        "pgcdc:host/postgres@1.0.0-draft/param": crate::postgres::Param,
        "pgcdc:host/postgres@1.0.0-draft/notification": crate::postgres::Notification,
        "pgcdc:host/postgres@1.0.0-draft/rows": crate::postgres::Rows,
    },
});
