//! Where a WAL source starts, or why it must not: a pure decision from what was stored and what the server
//! says.
//!
//! - A position is used only for the database, slot and publication that it was taken from. The timeline
//!   may move on to a descendant that branched off at or after the position, and after all that any lane has got: on the
//!   other branch the same LSNs name other changes, which would be taken for those.
//! - The slot's confirmed position is never ahead of the stored one unless somebody else moved it: what lies
//!   between would be lost, so that is a halt, never `max(stored, slot)`.
//! - Without a stored position an existing slot is taken over where it stands, never at the present end.

use std::fmt;

use crate::checkpoint::PostgresIdentity;
use crate::lsn::Lsn;

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What the position is bound to.
    pub identity: PostgresIdentity,
    /// Where to go on: no position beyond it was ever confirmed.
    pub resume: Lsn,
    /// A server whose WAL ends before this has never had what some lane has got ([`crate::order_key::OrderKey::wal_needed`]);
    /// no position if no lane has got anything.
    pub had: Lsn,
    /// How far this process has got beyond what is stored, if it has got anything.
    pub reached: Option<Reached>,
}

/// What was received of a server's WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The timeline of the session that received it, which may be a later one than the stored position's.
    pub timeline: u32,
    /// A server whose WAL ends before this has never had it.
    pub end: Lsn,
}

impl Stored {
    /// All that is known of the server's WAL: up to where it reached, on which timeline.
    fn known(&self) -> impl Iterator<Item = Reached> {
        let stored = Reached { timeline: self.identity.timeline, end: self.resume.max(self.had) };
        std::iter::once(stored).chain(self.reached)
    }
}

/// What `pg_replication_slots` says of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFacts {
    /// `confirmed_flush_lsn`; absent for a slot that is being created.
    pub confirmed: Option<Lsn>,
    /// The output plugin; empty for a physical slot.
    pub plugin: String,
    /// The oid of its database.
    pub database_oid: u32,
    /// `wal_status = lost` or an invalidation reason, in the server's words.
    pub invalidated: Option<String>,
}

/// What the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The identity that a position taken now would be bound to.
    pub identity: PostgresIdentity,
    /// Where its WAL ends: written, or on a standby replayed.
    pub end: Lsn,
    /// The ancestors of its timeline, with the position at which each was left.
    pub history: Vec<TimelineSwitch>,
}

/// One line of a timeline's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineSwitch {
    /// The ancestor.
    pub timeline: u32,
    /// Where it was left.
    pub left_at: Lsn,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing stored and no slot: create it, and start at its consistent point.
    Create,
    /// Nothing stored, but the slot is there: start at its confirmed position, and say so.
    Fresh {
        /// The slot's confirmed position.
        at: Lsn,
    },
    /// Go on where we were.
    Start {
        /// The stored position.
        at: Lsn,
    },
    /// Do not touch anything.
    Halt(Halt),
}

/// Why a source must not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// For machines.
    pub code: HaltCode,
    /// For people: what was found.
    pub reason: String,
    /// For people: what they can do.
    pub way_out: &'static str,
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HaltCode {
    /// The slot is gone, and with it what came since.
    SlotMissing,
    /// The server has thrown away WAL that the slot needed.
    SlotInvalidated,
    /// The slot is not one that pgcdc can read.
    SlotUnusable,
    /// Another cluster, database or slot.
    IdentityChanged,
    /// The server's WAL ends before our position.
    ServerBehind,
    /// Somebody else has moved the slot beyond our position.
    SlotAhead,
    /// The server is on a timeline that our position is not on.
    TimelineChanged,
    /// The publication was created anew.
    PublicationGap,
}

impl HaltCode {
    /// As it appears in health answers, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HaltCode::SlotMissing => "slot_missing",
            HaltCode::SlotInvalidated => "slot_invalidated",
            HaltCode::SlotUnusable => "slot_unusable",
            HaltCode::IdentityChanged => "identity_changed",
            HaltCode::ServerBehind => "server_behind",
            HaltCode::SlotAhead => "slot_ahead",
            HaltCode::TimelineChanged => "timeline_changed",
            HaltCode::PublicationGap => "publication_gap",
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn way_out(self) -> &'static str {
        match self {
            HaltCode::SlotMissing | HaltCode::SlotInvalidated => {
                "changes since the position are lost to this slot: drop the slot if it is still there, run \
                 `pgcdc checkpoint reset`, start again, and copy the tables anew"
            }
            HaltCode::SlotUnusable => "name another slot with slot_name, or drop this one",
            HaltCode::IdentityChanged => {
                "if this is the right database now, run `pgcdc checkpoint reset` and copy the tables anew; if not, \
                 correct the connection"
            }
            HaltCode::ServerBehind => {
                "connect to the server that has our position; if it is lost, run `pgcdc checkpoint reset` and \
                 copy the tables anew"
            }
            HaltCode::SlotAhead => {
                "find out who else reads the slot; `pgcdc checkpoint adopt` goes on at the slot's position and \
                 gives up what lies between"
            }
            HaltCode::TimelineChanged => {
                "connect to the server that follows on from our timeline; if it is lost, run `pgcdc checkpoint \
                 reset` and copy the tables anew"
            }
            HaltCode::PublicationGap => {
                "tables may have been missing from it for a while: copy the tables anew, or run `pgcdc checkpoint \
                 adopt` if you know that nothing was changed meanwhile"
            }
        }
    }
}

impl fmt::Display for HaltCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decides where to start.
#[must_use]
pub fn decide(stored: Option<&Stored>, slot: Option<&SlotFacts>, server: &ServerFacts) -> Decision {
    let result = match (stored, slot) {
        (None, None) => Ok(Decision::Create),
        (None, Some(slot)) => fresh(slot, server),
        (Some(stored), slot) => go_on(stored, slot, server),
    };
    result.unwrap_or_else(Decision::Halt)
}

fn fresh(slot: &SlotFacts, server: &ServerFacts) -> Result<Decision, Halt> {
    let at = check_slot(slot, server)?;
    Ok(Decision::Fresh { at })
}

fn go_on(stored: &Stored, slot: Option<&SlotFacts>, server: &ServerFacts) -> Result<Decision, Halt> {
    let (was, is, at) = (&stored.identity, &server.identity, stored.resume);
    check_identity(was, is)?;
    let Some(slot) = slot else {
        return halt(
            HaltCode::SlotMissing,
            format!("slot {} is gone; the stored position is {at}", was.slot),
        );
    };
    let confirmed = check_slot(slot, server)?;
    if was.publication_oid != is.publication_oid {
        let reason = format!(
            "publication {} has oid {}, the stored position belongs to {} with oid {}",
            is.publication, is.publication_oid, was.publication, was.publication_oid
        );
        return halt(HaltCode::PublicationGap, reason);
    }
    stored.known().try_for_each(|known| check_timeline(known, server))?;
    if let Some(Reached { end, .. }) = stored.known().find(|known| server.end < known.end) {
        let reason = format!("the server's WAL ends at {}, what was delivered reaches to {end}", server.end);
        return halt(HaltCode::ServerBehind, reason);
    }
    #[cfg(pgcdc_sabotage = "max_slot_stored")]
    let at = at.max(confirmed);
    if confirmed > at {
        let reason = format!(
            "slot {} is confirmed up to {confirmed}, but pgcdc has stored {at} and confirmed nothing beyond",
            was.slot
        );
        return halt(HaltCode::SlotAhead, reason);
    }
    Ok(Decision::Start { at })
}

fn check_identity(was: &PostgresIdentity, is: &PostgresIdentity) -> Result<(), Halt> {
    let differs = |what: &str, was: &dyn fmt::Display, is: &dyn fmt::Display| {
        halt(HaltCode::IdentityChanged, format!("the {what} is {is}, the stored position belongs to {was}"))
    };
    if was.system_identifier != is.system_identifier {
        return differs("server's system identifier", &was.system_identifier, &is.system_identifier);
    }
    if was.database_oid != is.database_oid {
        let name = |id: &PostgresIdentity| format!("{} (oid {})", id.database, id.database_oid);
        return differs("database", &name(was), &name(is));
    }
    if was.slot != is.slot {
        return differs("slot", &was.slot, &is.slot);
    }
    Ok(())
}

/// The slot's confirmed position, if pgcdc can read the slot.
fn check_slot(slot: &SlotFacts, server: &ServerFacts) -> Result<Lsn, Halt> {
    let name = &server.identity.slot;
    if let Some(why) = &slot.invalidated {
        return halt(HaltCode::SlotInvalidated, format!("the server has invalidated slot {name}: {why}"));
    }
    if slot.plugin != "pgoutput" {
        let plugin = if slot.plugin.is_empty() { "none (it is physical)" } else { &slot.plugin };
        return halt(HaltCode::SlotUnusable, format!("slot {name} has the plugin {plugin}, not pgoutput"));
    }
    if slot.database_oid != server.identity.database_oid {
        let database = &server.identity.database;
        return halt(
            HaltCode::SlotUnusable,
            format!("slot {name} belongs to another database than {database}"),
        );
    }
    match slot.confirmed {
        Some(confirmed) if confirmed.is_some() => Ok(confirmed),
        _ => halt(HaltCode::SlotUnusable, format!("slot {name} has no confirmed position yet")),
    }
}

fn check_timeline(known: Reached, server: &ServerFacts) -> Result<(), Halt> {
    let (was, is) = (known.timeline, server.identity.timeline);
    if was == is {
        return Ok(());
    }
    let left_at = server.history.iter().find(|switch| switch.timeline == was).map(|switch| switch.left_at);
    let reason = match left_at {
        Some(left_at) if left_at >= known.end => return Ok(()),
        Some(left_at) => format!(
            "the server's timeline {is} left timeline {was} at {left_at}, and what was delivered reaches to {}",
            known.end
        ),
        None => {
            format!("the server's timeline {is} does not descend from timeline {was} of the stored position")
        }
    };
    halt(HaltCode::TimelineChanged, reason)
}

fn halt<T>(code: HaltCode, reason: String) -> Result<T, Halt> {
    Err(Halt { code, reason, way_out: code.way_out() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Lsn = Lsn(0x1000);

    fn identity() -> PostgresIdentity {
        PostgresIdentity {
            system_identifier: 7,
            timeline: 2,
            database_oid: 16_384,
            database: "shop".into(),
            slot: "pgcdc_all".into(),
            publication_oid: 16_500,
            publication: "all".into(),
        }
    }

    fn facts() -> (Stored, SlotFacts, ServerFacts) {
        let stored = Stored { identity: identity(), resume: AT, had: Lsn::ZERO, reached: None };
        let slot = SlotFacts {
            confirmed: Some(Lsn(0xF00)),
            plugin: "pgoutput".into(),
            database_oid: 16_384,
            invalidated: None,
        };
        let server = ServerFacts { identity: identity(), end: Lsn(0x9000), history: vec![] };
        (stored, slot, server)
    }

    fn code(change: impl Fn(&mut Stored, &mut SlotFacts, &mut ServerFacts)) -> Option<&'static str> {
        let (mut stored, mut slot, mut server) = facts();
        change(&mut stored, &mut slot, &mut server);
        match decide(Some(&stored), Some(&slot), &server) {
            Decision::Halt(halt) => Some(halt.code.as_str()),
            Decision::Start { at } => {
                assert_eq!(at, stored.resume);
                None
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn goes_on_where_it_was() {
        assert_eq!(code(|_, _, _| {}), None);
        assert_eq!(code(|_, slot, _| slot.confirmed = Some(AT)), None);
        assert_eq!(code(|_, _, server| server.end = AT), None);
    }

    #[test]
    fn without_memory_it_starts_where_the_slot_stands() {
        let (_, slot, server) = facts();
        assert_eq!(decide(None, Some(&slot), &server), Decision::Fresh { at: Lsn(0xF00) });
        assert_eq!(decide(None, None, &server), Decision::Create);
        let lost = SlotFacts { invalidated: Some("wal_removed".into()), ..slot.clone() };
        assert!(matches!(decide(None, Some(&lost), &server), Decision::Halt(_)));
        for nowhere in [None, Some(Lsn::ZERO)] {
            let unready = SlotFacts { confirmed: nowhere, ..slot.clone() };
            assert!(matches!(decide(None, Some(&unready), &server), Decision::Halt(_)));
        }
    }

    #[test]
    fn another_database_is_not_ours() {
        let expected = Some("identity_changed");
        assert_eq!(code(|_, _, server| server.identity.system_identifier = 8), expected);
        assert_eq!(code(|_, _, server| server.identity.database_oid = 5), expected);
        assert_eq!(code(|_, _, server| server.identity.slot = "other".into()), expected);
        assert_eq!(code(|_, _, server| server.identity.database = "renamed".into()), None);
    }

    #[test]
    fn a_slot_that_was_lost_is_said_to_be_lost() {
        let (stored, _, server) = facts();
        let Decision::Halt(halt) = decide(Some(&stored), None, &server) else { panic!() };
        assert_eq!((halt.code, halt.code.as_str()), (HaltCode::SlotMissing, "slot_missing"));
        assert_eq!(halt.code.to_string(), "slot_missing");
        assert!(halt.reason.contains("0/1000") && halt.way_out.contains("anew"));
        assert_eq!(code(|_, slot, _| slot.invalidated = Some("lost".into())), Some("slot_invalidated"));
        assert_eq!(code(|_, slot, _| slot.plugin = "wal2json".into()), Some("slot_unusable"));
        assert_eq!(code(|_, slot, _| slot.database_oid = 5), Some("slot_unusable"));
    }

    #[test]
    fn somebody_else_moved_the_slot_or_the_server_went_back() {
        assert_eq!(code(|_, slot, _| slot.confirmed = Some(Lsn(0x1001))), Some("slot_ahead"));
        assert_eq!(code(|_, _, server| server.end = Lsn(0xFFF)), Some("server_behind"));
    }

    #[test]
    fn a_timeline_may_move_on_only_after_our_position() {
        let moved = |left_at: u64| {
            code(move |_, _, server| {
                server.identity.timeline = 3;
                server.history = vec![
                    TimelineSwitch { timeline: 1, left_at: Lsn(0x10) },
                    TimelineSwitch { timeline: 2, left_at: Lsn(left_at) },
                ];
            })
        };
        assert_eq!(moved(0x1000), None);
        assert_eq!(moved(0xFFF), Some("timeline_changed"));
        assert_eq!(code(|_, _, server| server.identity.timeline = 3), Some("timeline_changed"));
        assert_eq!(code(|_, _, server| server.identity.timeline = 1), Some("timeline_changed"));
    }

    /// A fast lane may have got more than is stored for all.
    #[test]
    fn what_one_lane_has_got_counts_as_much_as_what_is_stored() {
        let behind = |end: u64| {
            code(move |stored, _, server| {
                stored.had = Lsn(0x2000);
                server.end = Lsn(end);
            })
        };
        assert_eq!((behind(0x2000), behind(0x1FFF)), (None, Some("server_behind")));
        let left = |left_at: u64| {
            code(move |stored, _, server| {
                stored.had = Lsn(0x2000);
                server.identity.timeline = 3;
                server.history = vec![TimelineSwitch { timeline: 2, left_at: Lsn(left_at) }];
            })
        };
        assert_eq!((left(0x2000), left(0x1FFF)), (None, Some("timeline_changed")));
    }

    #[test]
    fn what_this_process_has_got_counts_on_the_timeline_that_it_is_from() {
        let halted = |reached: u64, of: u32, left_at: u64| {
            code(move |stored, _, server| {
                stored.reached = Some(Reached { timeline: of, end: Lsn(reached) });
                server.identity.timeline = 4;
                server.end = Lsn(0x2000);
                server.history = vec![
                    TimelineSwitch { timeline: 2, left_at: AT },
                    TimelineSwitch { timeline: 3, left_at: Lsn(left_at) },
                ];
            })
        };
        assert_eq!(halted(0x1800, 3, 0x1800), None, "not on the stored position's timeline");
        assert_eq!(halted(0x1800, 4, 0x1000), None);
        assert_eq!(halted(0x1800, 3, 0x17FF), Some("timeline_changed"));
        assert_eq!(halted(0x1800, 2, 0x1800), Some("timeline_changed"));
        assert_eq!(halted(0x2000, 4, 0x1000), None);
        assert_eq!(halted(0x2001, 4, 0x1000), Some("server_behind"));
    }

    #[test]
    fn a_publication_that_was_created_anew_has_a_gap() {
        assert_eq!(code(|_, _, server| server.identity.publication_oid = 1), Some("publication_gap"));
        assert_eq!(code(|_, _, server| server.identity.publication = "renamed".into()), None);
    }
}
