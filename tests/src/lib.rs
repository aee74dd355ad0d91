//! What the scenarios, the demo and the benchmarks share: a real PostgreSQL, the pgcdc binary as a child,
//! a receiver of webhooks, and a judge of what arrived.
//!
//! Invariant: a failed wait is a failed test, so these pieces panic with what they waited for and what they saw.
//! Invariant: whatever they start or write is gone when they are dropped, and also when this
//! process is killed.

pub mod scenario;
pub mod support;
