//! Which parts of the table this reader has. Pure.
//!
//! A part is held by a lock of the session that reads; every statement asks again for those that it has, and for as many
//! others as it may have.

/// Of how many, and which.
#[derive(Debug)]
pub(crate) struct Parts {
    count: u32,
    most: u32,
    held: Vec<u32>,
    /// Where to look for further ones.
    next: u32,
    /// What was told.
    told: Option<u32>,
}

/// What is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// All of them are others'.
    Waits,
    /// So many are ours.
    Has(u32),
}

impl Parts {
    pub(crate) fn new(count: u32, most: Option<u32>) -> Self {
        Self { count, most: most.unwrap_or(count).clamp(1, count), held: Vec::new(), next: 0, told: None }
    }

    /// The parts to ask for: what is held, and as many others as there is room for.
    pub(crate) fn wanted(&self) -> Vec<u32> {
        let others = (0..self.count).map(|at| (self.next + at) % self.count);
        let others = others.filter(|part| !self.held.contains(part));
        let room = self.most as usize - self.held.len().min(self.most as usize);
        self.held.iter().copied().chain(others.take(room)).collect()
    }

    /// These of the parts that were asked for are held now.
    pub(crate) fn asked(&mut self, held: Vec<u32>) -> Change {
        if held.len() < self.most as usize {
            let asked = self.wanted().len() - self.held.len();
            self.next = (self.next + u32::try_from(asked).unwrap_or_default()) % self.count;
        }
        self.held = held;
        let now = u32::try_from(self.held.len()).unwrap_or_default();
        if self.told.replace(now) == Some(now) {
            return Change::None;
        }
        if now == 0 { Change::Waits } else { Change::Has(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_had_or_waited_for() {
        let mut parts = Parts::new(1, None);
        assert_eq!(parts.wanted(), [0]);
        assert_eq!(parts.asked(vec![]), Change::Waits);
        assert_eq!((parts.wanted(), parts.asked(vec![])), (vec![0], Change::None));
        assert_eq!((parts.asked(vec![0]), parts.asked(vec![0])), (Change::Has(1), Change::None));
        assert_eq!(parts.wanted(), [0]);
        assert_eq!(parts.asked(vec![]), Change::Waits, "the session was lost, and another has it");
    }

    #[test]
    fn no_more_are_taken_than_may_be_and_all_are_looked_at() {
        let mut parts = Parts::new(5, Some(2));
        assert_eq!(parts.wanted(), [0, 1]);
        parts.asked(vec![1]);
        assert_eq!(parts.wanted(), [1, 2]);
        parts.asked(vec![1]);
        let mut seen: Vec<u32> = (0..8)
            .map(|_| {
                let wanted = parts.wanted();
                parts.asked(vec![1]);
                wanted[1]
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 2, 3, 4]);
        parts.asked(vec![1, 4]);
        assert_eq!(parts.wanted(), [1, 4]);
    }
}
