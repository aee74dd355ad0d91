//! Resume tokens of strands on their way from the source to the checkpoint.
//!
//! Invariant: a token is to be stored only when all batches that were handed on before it are settled in every lane.

use std::collections::{BTreeMap, VecDeque};

use super::record::{BadToken, Record, WHOLE};
use crate::checkpoint::{Checkpoint, LaneMark, Strand};

/// The tokens of one source, but for the WAL's.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// (batches that the bus must have settled, strand, token), ascending. No more than batches are in flight, and tables.
    waiting: VecDeque<(u64, String, Vec<u8>)>,
    /// What may be stored.
    settled: BTreeMap<String, Vec<u8>>,
}

impl Tokens {
    /// What a checkpoint says.
    #[must_use]
    pub fn of(checkpoint: Option<&Checkpoint>) -> Tokens {
        let strands = checkpoint.iter().flat_map(|checkpoint| &checkpoint.strands);
        let settled = strands.filter(|(name, _)| !name.is_empty());
        let settled = settled.map(|(name, strand)| (name.clone(), strand.resume.clone())).collect();
        Tokens { waiting: VecDeque::new(), settled }
    }

    /// A strand is there once the bus has settled its first `bus` batches.
    pub fn handed_on(&mut self, bus: u64, strand: &str, token: Vec<u8>) {
        match self.waiting.back_mut() {
            // Of one strand only the last word counts.
            Some((at, name, held)) if *at == bus && name == strand => *held = token,
            _ => self.waiting.push_back((bus, strand.into(), token)),
        }
    }

    /// The bus has settled its first `frontier` batches.
    pub fn settle(&mut self, frontier: u64) {
        while let Some((_, strand, token)) = self.waiting.pop_front_if(|(bus, ..)| *bus <= frontier) {
            if strand == WHOLE {
                // Nothing is left of any table.
                self.settled.clear();
            }
            self.settled.insert(strand, token);
        }
    }

    /// What another attempt in this process need not read again, though it may not be settled yet.
    pub fn record(&self) -> Result<Record, BadToken> {
        let mut record = Record::default();
        let waiting = self.waiting.iter().map(|(_, strand, token)| (strand, token));
        self.settled.iter().chain(waiting).try_for_each(|(strand, token)| record.take(strand, token))?;
        Ok(record)
    }

    /// Adds to a checkpoint what may be stored, with the lanes' marks by strand.
    pub fn store_in(
        &self,
        checkpoint: &mut Checkpoint,
        marks: &BTreeMap<String, BTreeMap<String, LaneMark>>,
    ) {
        for (name, token) in &self.settled {
            let lanes = marks.get(name).cloned().unwrap_or_default();
            checkpoint.strands.insert(name.clone(), Strand { resume: token.clone(), lanes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Identity;
    use crate::snapshot::record::Token;

    fn done() -> Vec<u8> {
        Token { done: true, ..Token::default() }.encode()
    }

    fn stored(tokens: &Tokens) -> Vec<String> {
        let mut checkpoint =
            Checkpoint { identity: Identity::Other(BTreeMap::new()), strands: BTreeMap::new() };
        tokens.store_in(&mut checkpoint, &BTreeMap::new());
        let again = Tokens::of(Some(&checkpoint));
        assert_eq!(again.settled, tokens.settled);
        checkpoint.strands.into_keys().collect()
    }

    #[test]
    fn a_token_waits_for_what_was_handed_on_before_it() {
        let mut tokens = Tokens::default();
        tokens.handed_on(3, "snapshot/public.a", done());
        tokens.handed_on(3, "snapshot/public.b", done());
        tokens.handed_on(5, WHOLE, done());
        tokens.settle(2);
        assert!(stored(&tokens).is_empty());
        assert!(tokens.record().unwrap().done, "this process need not read it again");
        tokens.settle(3);
        assert_eq!(stored(&tokens), ["snapshot/public.a", "snapshot/public.b"]);
        tokens.settle(5);
        assert_eq!(stored(&tokens), ["snapshot"]);
    }
}
