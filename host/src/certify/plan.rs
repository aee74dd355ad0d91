//! What happens to each life, drawn from a seed. Pure.
//!
//! A seed draws the same blows again; what the process was doing when one fell is the machine's timing.

/// How a life ends, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) when: When,
    pub(crate) how: How,
    /// A fault in the process itself, if it has any to offer.
    pub(crate) fault: Option<Fault>,
}

/// Milliseconds after what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After its start, whatever it has done by then.
    AfterStart(u64),
    /// After its first new delivery.
    AfterFirst(u64),
}

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and its end awaited.
    Stop,
    /// SIGTERM, and SIGKILL so many milliseconds later.
    StopThenKill(u64),
}

/// A place in the program and what happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) point: String,
    /// `exit`, `error` or `delay`.
    pub(crate) action: String,
    /// How often the place is passed before.
    pub(crate) after: u64,
}

/// A small generator: good enough to draw blows, the same everywhere (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// A generator of its own for each `number`.
    pub(crate) fn fork(&self, number: u64) -> Draw {
        let mut fork = Draw(self.0 ^ number.wrapping_mul(0xA24B_AED4_963E_E407));
        fork.next();
        fork
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Less than `below`; 0 if that is 0.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.next().checked_rem(below).unwrap_or(0)
    }

    /// True once in `n`.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The blows of a run, one after the other.
pub(crate) struct Plan {
    draw: Draw,
    /// What the process can be made to do: places, and for each what may happen there.
    offered: Vec<(String, Vec<String>)>,
}

impl Plan {
    pub(crate) fn new(seed: u64, offered: Vec<(String, Vec<String>)>) -> Plan {
        Plan { draw: Draw::new(seed), offered }
    }

    pub(crate) fn next(&mut self) -> Blow {
        let fault = self.fault();
        let when = match self.draw.below(10) {
            // While it starts: connecting, adopting the slot, opening its sinks.
            0 | 1 => When::AfterStart(self.draw.below(250)),
            // Long enough for several checkpoints and for the server to hear of them.
            2 => When::AfterFirst(self.draw.below(2_500)),
            _ => When::AfterFirst(self.draw.below(350)),
        };
        // A fault that never strikes must not keep the run waiting: then the kill comes.
        let when = if fault.is_some() { When::AfterFirst(150 + self.draw.below(1_500)) } else { when };
        let how = match self.draw.below(20) {
            // Before its first delivery it may not yet know how to stop.
            0 if matches!(when, When::AfterFirst(_)) => How::Stop,
            1 => How::StopThenKill(self.draw.below(60)),
            _ => How::Kill,
        };
        Blow { when, how, fault }
    }

    fn fault(&mut self) -> Option<Fault> {
        let (point, actions) = match self.draw.below(2) {
            0 => self.offered.get(self.draw.below(self.offered.len() as u64) as usize)?,
            _ => return None,
        };
        let action = actions.get(self.draw.below(actions.len() as u64) as usize)?;
        // Mostly early, sometimes in the middle of a stream.
        let most = [2, 10, 50, 200][self.draw.below(4) as usize];
        Some(Fault { point: point.clone(), action: action.clone(), after: self.draw.below(most) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_blows_again() {
        let blows = |seed| {
            let offered = vec![("a::b".to_owned(), vec!["exit".to_owned(), "delay".to_owned()])];
            let mut plan = Plan::new(seed, offered);
            (0..100).map(|_| plan.next()).collect::<Vec<_>>()
        };
        assert_eq!(blows(7), blows(7));
        assert_ne!(blows(7), blows(8));
        assert!(blows(7).iter().any(|blow| blow.fault.is_some()));
        assert!(blows(7).iter().any(|blow| blow.how == How::Stop));
    }

    #[test]
    fn without_anything_on_offer_there_are_kills_alone() {
        let mut plan = Plan::new(1, Vec::new());
        assert!((0..100).all(|_| plan.next().fault.is_none()));
    }

    #[test]
    fn forks_draw_differently() {
        let draw = Draw::new(1);
        assert_ne!(draw.fork(1).below(u64::MAX), draw.fork(2).below(u64::MAX));
    }
}
