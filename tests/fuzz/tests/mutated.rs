//! A short look with every target: its seeds, as they are and with random changes. A change that panics is found again,
//! because the randomness is always the same.

use std::panic::catch_unwind;

use pgcdc_fuzz::{Target, all, seeds};

const CASES: usize = 2_000;

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn change(&mut self, bytes: &mut Vec<u8>, donor: &[u8]) {
        if bytes.is_empty() {
            bytes.push(self.next() as u8);
        }
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] = self.next() as u8,
            1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, self.next() as u8),
            _ if donor.is_empty() => {}
            _ => {
                let from = self.below(donor.len());
                let length = self.below((donor.len() - from).min(64) + 1);
                bytes.splice(at..at, donor[from..from + length].iter().copied());
            }
        }
    }
}

fn run(target: Target, bytes: &[u8]) {
    let borne = catch_unwind(|| (target.run)(bytes)).is_ok();
    assert!(borne, "{} does not bear these bytes: {}", target.name, bytes.escape_ascii());
}

#[test]
fn no_parser_panics_at_its_seeds_or_what_becomes_of_them() {
    for target in all() {
        let seeds = seeds::of(target.name);
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        seeds.iter().for_each(|seed| run(target, seed));
        let mut random = Random(0x5EED);
        for _ in 0..CASES {
            let mut bytes = seeds[random.below(seeds.len())].clone();
            let donor = &seeds[random.below(seeds.len())];
            for _ in 0..=random.below(4) {
                random.change(&mut bytes, donor);
            }
            run(target, &bytes);
        }
    }
}

#[test]
fn seeds_are_taken() {
    let taken = |target: &str, takes: fn(&[u8]) -> bool| {
        let seeds = seeds::of(target);
        assert!(seeds.iter().all(|seed| takes(seed)), "a seed of {target} is refused");
    };
    taken("layout", |bytes| pgcdc_layout::View::parse(bytes).is_ok());
    taken("pgoutput", |bytes| pgcdc_core::pgoutput::Message::decode(bytes).is_ok());
    taken("checkpoint", |bytes| pgcdc_core::checkpoint::Checkpoint::decode(bytes).is_ok());
}

#[test]
fn every_target_is_one_of_libfuzzer_too() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/targets");
    for target in all() {
        assert!(folder.join(format!("{}.rs", target.name)).is_file(), "{} is not in {folder:?}", target.name);
    }
}
