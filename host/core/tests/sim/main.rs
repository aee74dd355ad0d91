//! The core under a seeded simulator: what ships decides, and everything around it lies, breaks and comes back.
//!
//! `PGCDC_SIM_SEEDS=10000 cargo test -p pgcdc-core --test sim` looks at more seeds, `PGCDC_SIM_SEED=77` at one of them.
//! How the world is made up, and what is believed without being simulated: `host/decisions/0011-simulator.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]
#![allow(clippy::result_large_err, reason = "an anomaly ends the run")]

mod disk;
mod process;
mod server;
mod sink;
mod trace;
mod truth;
mod walsender;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

const SEEDS: u64 = 200;

/// One seed to its end: the hash of its trace, and how often what happened.
fn live(seed: u64) -> Result<(u64, BTreeMap<String, u64>), String> {
    let mut world = World::new(seed);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let why = match ended {
        Ok(Ok(())) => return Ok((world.trace.hash(), world.counts().collect())),
        Ok(Err(anomaly)) => format!("{anomaly:?}"),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
        }
    };
    Err(format!("seed {seed}, after:\n{}{why}\nagain with PGCDC_SIM_SEED={seed}", world.trace.tail()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// 0 lost, 0 phantoms, 0 reordered, repeated only what was not stored; confirmed ≤ stored ≤ every lane ≤ received at every
/// step; and it always finishes.
#[test]
fn whatever_happens_every_lane_gets_everything_in_order() {
    let seeds = match number("PGCDC_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PGCDC_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds {
        let (_, happened) = live(seed).unwrap_or_else(|failure| panic!("{failure}"));
        happened.into_iter().for_each(|(what, times)| *counts.entry(what).or_default() += times);
    }
    println!("{count} seeds: {counts:?}");
    if count >= SEEDS {
        let seen =
            |what: &&str| assert!(counts.contains_key(*what), "never happened in {count} seeds: {what}");
        ["Cut", "Kill", "PowerFailure", "ServerCrash", "Stopped", "DiskFails"].iter().for_each(seen);
        ["Reload", "Join", "Leave", "FailOver", "FailBehind", "repeated"].iter().for_each(seen);
        ["slot_missing", "slot_ahead", "timeline_changed", "publication_gap"].iter().for_each(seen);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(live(seed).unwrap().0, live(seed).unwrap().0, "seed {seed}");
    }
    assert_ne!(live(0).unwrap().0, live(1).unwrap().0);
}
