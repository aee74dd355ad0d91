//! The flat batch layout of pgcdc (`wit/v1/batch.md`): written once, read in place by the host and by guests.
//!
//! - [`writer`] builds a batch, [`view`] checks and reads one;
//! - [`json`] prints events as the JSON envelope;
//! - [`rewrite`] makes a new batch out of an old one, [`stamp`] puts back what a transform may not choose.
//!
//! Invariants: no dependency, no `unsafe`; no input whatever makes this crate panic or read out of bounds;
//! what [`BatchWriter::finish`] returns passes [`View::parse`].

mod bytes;
pub mod json;
pub mod rewrite;
pub mod spec;
pub mod stamp;
pub mod view;
pub mod writer;

pub use spec::{Kind, Op};
pub use view::{Body, Cell, Column, Event, Malformed, RawTuple, Relation, Transaction, Tuple, Type, View};
pub use writer::{
    BatchWriter, BodyDef, ColumnDef, EventDef, RelationDef, TupleRef, TupleWriter, TxDef, TypeDef, WriteError,
};
