//! What happens to each life, drawn from a seed. Pure.
//!
//! A seed draws the same blows again; what the process was doing when one fell is the machine's timing.

use std::fmt;

/// How a life ends, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) when: When,
    pub(crate) how: How,
    /// A fault in the process itself, if it has any to offer.
    pub(crate) fault: Option<Fault>,
    /// Before that the server is killed, so many milliseconds after the life's first new delivery.
    pub(crate) server: Option<u64>,
}

/// Milliseconds after what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After its start, whatever it has done by then.
    AfterStart(u64),
    /// After its first new delivery.
    AfterFirst(u64),
    /// Its fault ends it; nothing else does.
    ByItself,
    /// At no set time: its fault has struck, and the server was told of more than it may be told of from then on.
    ToldTooMuch(Bound),
}

/// What a server may be told of while something hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The store, with the first checkpoint that moves the position: nothing but what was stored before the life.
    Stored,
    /// A sink, with a batch: nothing beyond where the WAL ended by then.
    Written,
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
    /// A name of a place, or [`SYSCALL`] and the name of a system call.
    pub(crate) point: String,
    /// `exit`, `error`, `delay`, `hang`, `linger` (hangs, and the process ends soon after); of a system call `kill`.
    pub(crate) action: String,
    /// How often the place is passed before.
    pub(crate) after: u64,
}

/// What the names of system calls begin with.
pub(crate) const SYSCALL: &str = "syscall::";

impl Fault {
    /// Whether the process cannot outlive it.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.action.as_str(), "exit" | "kill" | "linger")
    }

    /// As it is written for the process: place, passages, action.
    pub(crate) fn read(text: &str) -> Option<Fault> {
        let [point, after, action] = text.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        Some(Fault { point: point.to_owned(), after: after.parse().ok()?, action: action.to_owned() })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.point, self.action)
    }
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

/// What there is to choose from beside kills.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    /// What the process can be made to do: places, and for each what may happen there.
    pub(crate) places: Vec<(String, Vec<String>)>,
    /// System calls at which it can be ended.
    pub(crate) syscalls: Vec<String>,
    /// The server can be killed.
    pub(crate) server: bool,
    /// This, every time, and nothing else.
    pub(crate) ordered: Option<Fault>,
}

/// The blows of a run, one after the other.
pub(crate) struct Plan {
    draw: Draw,
    offer: Offer,
}

impl Plan {
    pub(crate) fn new(seed: u64, offer: Offer) -> Plan {
        Plan { draw: Draw::new(seed), offer }
    }

    pub(crate) fn next(&mut self) -> Blow {
        if let Some(fault) = &self.offer.ordered {
            let bound = if fault.point.starts_with("store::") { Bound::Stored } else { Bound::Written };
            let when = if fault.is_end() { When::ByItself } else { When::ToldTooMuch(bound) };
            return Blow { when, how: How::Kill, fault: Some(fault.clone()), server: None };
        }
        if self.offer.server && self.draw.once_in(12) {
            let (server, after) = (self.draw.below(300), self.draw.below(300));
            return Blow { when: When::AfterFirst(after), how: How::Kill, fault: None, server: Some(server) };
        }
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
        Blow { when, how, fault, server: None }
    }

    fn fault(&mut self) -> Option<Fault> {
        match self.draw.below(8) {
            0..=2 => self.place(),
            3..=4 => self.syscall(),
            _ => None,
        }
    }

    fn place(&mut self) -> Option<Fault> {
        let (point, actions) =
            self.offer.places.get(self.draw.below(self.offer.places.len() as u64) as usize)?;
        let action = actions.get(self.draw.below(actions.len() as u64) as usize)?;
        // Mostly early, sometimes in the middle of a stream.
        let most = [2, 10, 50, 200][self.draw.below(4) as usize];
        Some(Fault { point: point.clone(), action: action.clone(), after: self.draw.below(most) })
    }

    fn syscall(&mut self) -> Option<Fault> {
        let name = self.offer.syscalls.get(self.draw.below(self.offer.syscalls.len() as u64) as usize)?;
        // Counted by thread; some calls are made by the thousand, others a few times in a life.
        let most = [1, 3, 10, 50][self.draw.below(4) as usize];
        let point = format!("{SYSCALL}{name}");
        Some(Fault { point, action: "kill".to_owned(), after: self.draw.below(most) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_blows_again() {
        let blows = |seed| {
            let places = vec![("a::b".to_owned(), vec!["exit".to_owned(), "delay".to_owned()])];
            let offer = Offer { places, syscalls: vec!["write".into()], server: true, ordered: None };
            let mut plan = Plan::new(seed, offer);
            (0..100).map(|_| plan.next()).collect::<Vec<_>>()
        };
        assert_eq!(blows(7), blows(7));
        assert_ne!(blows(7), blows(8));
        let faults: Vec<Fault> = blows(7).into_iter().filter_map(|blow| blow.fault).collect();
        for point in ["a::b", "syscall::write"] {
            assert!(faults.iter().any(|fault| fault.point == point), "{point}");
        }
        assert!(blows(7).iter().any(|blow| blow.server.is_some()));
        assert!(blows(7).iter().any(|blow| blow.how == How::Stop));
    }

    #[test]
    fn without_anything_on_offer_there_are_kills_alone() {
        let mut plan = Plan::new(1, Offer::default());
        assert!((0..100).all(|_| plan.next().fault.is_none()));
    }

    #[test]
    fn what_was_ordered_comes_every_time() {
        let fault = Fault::read("a::b 3 exit").unwrap();
        assert_eq!((fault.after, fault.to_string().as_str()), (3, "a::b exit"));
        let mut plan = Plan::new(1, Offer { ordered: Some(fault.clone()), ..Offer::default() });
        assert!((0..9).all(|_| plan.next().fault.as_ref() == Some(&fault)));
        assert!(Fault::read("a::b exit").is_none());
    }

    #[test]
    fn forks_draw_differently() {
        let draw = Draw::new(1);
        assert_ne!(draw.fork(1).below(u64::MAX), draw.fork(2).below(u64::MAX));
    }
}
