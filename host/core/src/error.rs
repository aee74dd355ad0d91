//! What a failure means: one match from its kind to what the host does next and what the operator can do.
//!
//! Kinds come from the codes that connectors answer with (`wit/README.md`) and from PostgreSQL's SQLSTATEs.
//! A code that is not known is `unavailable`: retrying an unknown failure loses nothing, dropping it could.

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not reachable, restarting, or of an unknown code.
    Unavailable,
    /// No answer in time: whether it was done is not known.
    Timeout,
    /// Too much at once.
    Throttled,
    /// The other side will never take this event.
    Rejected,
    /// The event does not have the form that is needed.
    Invalid,
    /// The event is larger than the other side takes.
    TooLarge,
    /// The event needs what the other side does not have.
    Unsupported,
    /// Known, but not allowed.
    Denied,
    /// Not known, or the wrong password.
    Unauthenticated,
    /// The configuration cannot work.
    Misconfigured,
    /// What was there is no more: a slot, a table, a bucket.
    Gone,
    /// Somebody else does the same.
    Conflict,
}

/// What the host does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The same again, after a wait.
    Retry,
    /// Nothing, until an operator has acted. Positions stay where they are.
    Stop,
    /// The event goes to the dead-letter queue, the others go on.
    DeadLetter,
}

/// What follows from a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For the host.
    pub action: Action,
    /// For the operator.
    pub next_step: &'static str,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 12] = [
        Kind::Unavailable,
        Kind::Timeout,
        Kind::Throttled,
        Kind::Rejected,
        Kind::Invalid,
        Kind::TooLarge,
        Kind::Unsupported,
        Kind::Denied,
        Kind::Unauthenticated,
        Kind::Misconfigured,
        Kind::Gone,
        Kind::Conflict,
    ];

    /// The one place that decides.
    #[must_use]
    pub fn policy(self) -> Policy {
        use Action::{DeadLetter, Retry, Stop};
        let (action, next_step) = match self {
            Kind::Unavailable => (Retry, "check that the other side is up and can be reached from here"),
            Kind::Timeout => (Retry, "check the other side's load, or raise the timeout"),
            Kind::Throttled => (Retry, "lower the rate limit, or raise the other side's quota"),
            Kind::Rejected => {
                (DeadLetter, "look at the event in the dead-letter queue, then replay or purge it")
            }
            Kind::Invalid => (DeadLetter, "correct the transform or the mapping, then replay the event"),
            Kind::TooLarge => {
                (DeadLetter, "raise the limit of the other side, or drop large columns, then replay")
            }
            Kind::Unsupported => {
                (DeadLetter, "drop or convert the column before this sink, then replay the event")
            }
            Kind::Denied => (Stop, "grant the missing right, then restart"),
            Kind::Unauthenticated => (Stop, "correct the user, password or certificate, then restart"),
            Kind::Misconfigured => (Stop, "correct the configuration, then restart"),
            Kind::Gone => {
                (Stop, "bring back what is gone, or reset the position with `pgcdc checkpoint reset`")
            }
            Kind::Conflict => (Stop, "stop the other process that does the same, then restart"),
        };
        Policy { action, next_step }
    }

    /// The code as connectors write it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Kind::Unavailable => "unavailable",
            Kind::Timeout => "timeout",
            Kind::Throttled => "throttled",
            Kind::Rejected => "rejected",
            Kind::Invalid => "invalid",
            Kind::TooLarge => "too-large",
            Kind::Unsupported => "unsupported",
            Kind::Denied => "denied",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Misconfigured => "misconfigured",
            Kind::Gone => "gone",
            Kind::Conflict => "conflict",
        }
    }

    /// The kind of a connector's code.
    #[must_use]
    pub fn from_code(code: &str) -> Kind {
        Kind::ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Kind::Unavailable)
    }

    /// The kind of an SQLSTATE. What PostgreSQL may get over by itself is retried, what it cannot stops.
    #[must_use]
    pub fn from_sqlstate(state: &str) -> Kind {
        match state {
            "42501" => Kind::Denied,
            // A publication or a slot that does not exist; WAL that was removed; a slot that was invalidated.
            "42704" | "55000" | "58P01" | "57P04" => Kind::Gone,
            "57014" => Kind::Timeout,
            "3D000" | "3F000" => Kind::Misconfigured,
            _ => match state.get(..2) {
                Some("28") => Kind::Unauthenticated,
                Some("53") => Kind::Throttled,
                Some("22" | "23") => Kind::Rejected,
                Some("0A" | "42") => Kind::Misconfigured,
                // 55006 is among them: a slot that our own last connection still holds, until the server notices.
                _ => Kind::Unavailable,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_action() {
        let actions = |action| -> Vec<&str> {
            Kind::ALL.into_iter().filter(|k| k.policy().action == action).map(Kind::code).collect()
        };
        assert_eq!(actions(Action::Retry), ["unavailable", "timeout", "throttled"]);
        assert_eq!(actions(Action::DeadLetter), ["rejected", "invalid", "too-large", "unsupported"]);
        let stop = ["denied", "unauthenticated", "misconfigured", "gone", "conflict"];
        assert_eq!(actions(Action::Stop), stop);
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), kind);
        }
        assert_eq!(Kind::from_code("new-in-2040"), Kind::Unavailable);
        assert_eq!(Kind::from_code(""), Kind::Unavailable);
    }

    #[test]
    fn a_server_that_may_recover_is_retried_and_one_that_cannot_is_not() {
        for state in
            ["57P01", "57P02", "57P03", "08006", "08P01", "53300", "53400", "55006", "40001", "XX000", ""]
        {
            assert_eq!(Kind::from_sqlstate(state).policy().action, Action::Retry, "{state}");
        }
        for state in ["28000", "28P01", "42704", "55000", "58P01", "3D000", "42501", "42601", "57P04"] {
            assert_eq!(Kind::from_sqlstate(state).policy().action, Action::Stop, "{state}");
        }
        for state in ["22001", "23505"] {
            assert_eq!(Kind::from_sqlstate(state).policy().action, Action::DeadLetter, "{state}");
        }
        assert_eq!(Kind::from_sqlstate("é"), Kind::Unavailable);
    }

    #[test]
    fn what_a_server_says_has_its_kind() {
        for (state, kind) in [
            ("42501", Kind::Denied),
            ("55006", Kind::Unavailable),
            ("57014", Kind::Timeout),
            ("53300", Kind::Throttled),
            ("3D000", Kind::Misconfigured),
            ("58P01", Kind::Gone),
        ] {
            assert_eq!(Kind::from_sqlstate(state), kind, "{state}");
        }
    }
}
