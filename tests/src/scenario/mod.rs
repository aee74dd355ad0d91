//! Scenarios: what happens to pgcdc, as a short list of named steps in `tests/scenario/*.yaml`, and one that runs them.
//!
//! A file begins with a comment that says what must come of it; every other line is `- <step>`. `steps.rs` lists the
//! steps. The load comes from writers that know of each transaction whether it was committed, and `verify` judges
//! everything that all sinks have taken against that.

mod around;
mod script;
mod steps;
mod world;

pub use script::Script;

use std::path::PathBuf;

use crate::support::peers;
use crate::support::repository::root;
use world::World;

/// Why a step did not go on.
#[derive(Debug)]
pub enum Outcome {
    /// All steps went as the file says.
    Done,
    /// This machine cannot do it, and why.
    Skipped(String),
}

/// The folder of the scenarios.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("tests/scenario")
}

/// Runs one by its name; what does not go as its file says fails the test.
pub fn run(name: &str) {
    let path = folder().join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let script = Script::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let mut world = World::new(name);
    for step in &script.steps {
        println!("{name}: {step}");
        if let Outcome::Skipped(why) = steps::take(&mut world, step) {
            peers::skipped(&format!("scenario {name}"), &why);
            return;
        }
    }
    assert!(
        world.judged,
        "{name} ends without having judged anything: end it with `verify` or `it halts with …`"
    );
}
