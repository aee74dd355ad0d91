//! What an outcome means for a batch. Pure: facts in, decision out.

use pgcdc_core::error::{Action, Kind};

use super::tries::Tries;
use crate::component::v1::WireError;
use crate::component::v1::calls::{Failed, Outcome};

/// The code of an event that was not tried because an earlier one of its key failed.
const NOT_TRIED: &str = "not-tried";

/// What is to be done about a batch that came back.
pub(super) struct Verdict {
    /// Events to be dead-lettered, and why.
    pub(super) letters: Vec<Failed>,
    /// Events to be tried again, ascending.
    pub(super) again: Vec<u32>,
    /// How often each of those was tried by now.
    pub(super) tries: Tries,
    /// What the operator is told about those.
    pub(super) error: Option<WireError>,
    /// Nothing will change until an operator acts: wait as long as is ever waited.
    pub(super) stuck: bool,
    /// The other side took a look at something of it, and refused that.
    pub(super) answered: bool,
    /// The longest wait that was asked for.
    pub(super) retry_after_ms: Option<u64>,
}

/// An outcome that is not what the contract says.
#[derive(Debug, thiserror::Error)]
#[error("the outcome names event {index} of {events}, or one twice")]
pub(super) struct Garbled {
    index: u32,
    events: u32,
}

/// Judges what a write, or a settlement, said about a batch of which so much was tried before. None: it is held.
/// An event that fails is tried `retries` times more; for ever if that is none.
pub(super) fn judge(
    outcome: Result<Outcome, WireError>,
    events: u32,
    mut tries: Tries,
    retries: Option<u32>,
) -> Result<Option<Verdict>, Garbled> {
    let failures: Vec<Failed> = match outcome {
        Ok(Outcome::Held) => return Ok(None),
        Ok(Outcome::Durable) => Vec::new(),
        Ok(Outcome::Failed(failures)) => failures.into_iter().map(|f| (f.index, f.error)).collect(),
        Err(error) => (0..events).map(|index| (index, error.clone())).collect(),
    };
    let mut seen = vec![false; events as usize];
    let mut verdict = Verdict {
        letters: Vec::new(),
        again: Vec::new(),
        tries: Tries::default(),
        error: None,
        stuck: false,
        answered: false,
        retry_after_ms: None,
    };
    for (index, error) in failures {
        match seen.get_mut(index as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(Garbled { index, events }),
        }
        let action = Kind::from_code(&error.code).policy().action;
        let tried = error.code != NOT_TRIED;
        let out_of_tries = tried && {
            let had = tries.failed(index, events);
            retries.is_some_and(|retries| had > retries)
        };
        if action == Action::DeadLetter || (out_of_tries && action == Action::Retry) {
            verdict.answered |= action == Action::DeadLetter;
            verdict.letters.push((index, error));
            continue;
        }
        verdict.again.push(index);
        verdict.stuck |= action == Action::Stop;
        verdict.retry_after_ms = verdict.retry_after_ms.max(error.retry_after_ms);
        if tried || verdict.error.is_none() {
            verdict.error = Some(error);
        }
    }
    verdict.again.sort_unstable();
    verdict.tries = tries.select(verdict.again.iter().copied());
    Ok(Some(verdict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::v1::exports::sink::Failure;

    fn failure(index: u32, code: &str) -> Failure {
        let error = WireError {
            code: code.into(),
            message: String::new(),
            context: Vec::new(),
            retry_after_ms: Some(7),
        };
        Failure { index, error }
    }

    #[test]
    fn each_event_goes_its_own_way() {
        let outcome =
            Outcome::Failed(vec![failure(4, "unavailable"), failure(1, "rejected"), failure(2, "not-tried")]);
        let verdict = judge(Ok(outcome), 5, Tries::default(), None).unwrap().unwrap();
        assert_eq!(verdict.letters.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        assert_eq!(verdict.again, [2, 4]);
        assert_eq!(verdict.error.unwrap().code, "unavailable");
        assert_eq!(verdict.retry_after_ms, Some(7));
    }

    #[test]
    fn out_of_tries_is_a_dead_letter_only_for_what_was_tried() {
        let fails = |codes: &[&str], tries: Tries| {
            let failures = codes.iter().enumerate().map(|(at, code)| failure(at as u32, code)).collect();
            judge(Ok(Outcome::Failed(failures)), codes.len() as u32, tries, Some(1)).unwrap().unwrap()
        };
        let first = fails(&["unavailable", "not-tried", "denied"], Tries::default());
        assert!(first.letters.is_empty() && first.stuck);
        let second = fails(&["unavailable", "unavailable", "denied"], first.tries);
        assert_eq!(second.letters.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
        assert_eq!(second.again, [1, 2]);
        let third = fails(&["unavailable", "denied"], second.tries);
        assert_eq!(third.letters.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
        assert_eq!(third.again, [1], "it waits for its operator, however often");
    }

    #[test]
    fn answers_for_events_it_was_never_given_are_garbled() {
        assert!(judge(Ok(Outcome::Failed(vec![failure(3, "rejected")])), 3, Tries::default(), None).is_err());
        let twice = vec![failure(0, "rejected"), failure(0, "rejected")];
        assert!(judge(Ok(Outcome::Failed(twice)), 3, Tries::default(), None).is_err());
    }
}
