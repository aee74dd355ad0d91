//! What was committed, and what each sink has made of it: the checker.
//!
//! Order of a row: a sink may see an event again, but then also all that it had seen of the row behind it. So what comes after
//! an event of a row is at most the row's next one; that forbids gaps, swaps and an old value as the last word alike.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::id::{Id, Origin, postgres_id};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::{OrderKey, PostgresKey};

use crate::server::{DATABASE_OID, SYSTEM};
use crate::walsender::table_of;

pub(crate) const ORIGIN: Origin = Origin { system_identifier: SYSTEM, database_oid: DATABASE_OID };

/// What must never happen, by name.
#[derive(Debug)]
#[allow(dead_code, reason = "the fields are for whoever reads the failure")]
pub(crate) enum Anomaly {
    /// A lane never got a committed event.
    Lost { lane: String, key: OrderKey },
    /// A lane got what was never committed, or not like this.
    Phantom { lane: String, key: OrderKey, what: &'static str },
    /// A row's events came in the wrong order, or with a gap.
    Reordered { lane: String, row: u32, after: Option<OrderKey>, came: OrderKey },
    /// A lane got again what it had had by the checkpoint that its process started from, or by its own mark.
    Repeated { lane: String, key: OrderKey },
    /// It was stored that a lane has what it does not have (I1).
    AckAhead { lane: String, key: OrderKey },
    /// PostgreSQL may forget what is not stored as done (I2, I9).
    ConfirmedAhead { confirmed: Lsn, stored: Lsn },
    /// A clean stop left something to repeat.
    Unstored { lane: String, key: OrderKey },
    /// The checkpoint cannot be read.
    Unreadable(String),
    /// The source stopped for good though nothing was broken.
    NeedlessHalt(String),
    /// The stream could not be decoded.
    BadStream(String),
    /// Nothing is broken any more, and it does not finish.
    Stuck(String),
}

/// A committed event, as it is written.
pub(crate) struct Event {
    pub(crate) key: PostgresKey,
    /// Where the record starts that releases it.
    pub(crate) start: Lsn,
    pub(crate) version: u32,
    pub(crate) row: Option<u32>,
    pub(crate) refused: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Fact {
    id: Id,
    start: Lsn,
    version: u32,
    row: Option<u32>,
    refused: bool,
}

/// All that was committed.
#[derive(Default)]
pub(crate) struct Truth {
    facts: BTreeMap<OrderKey, Fact>,
    /// Committed on a branch that was given up.
    abandoned: Vec<(OrderKey, Id)>,
}

/// An event as it is on its way to a sink.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) key: OrderKey,
    pub(crate) id: Id,
    pub(crate) row: Option<u32>,
    pub(crate) version: Option<u32>,
}

impl Truth {
    pub(crate) fn add(&mut self, event: Event, xid: u32, commit_us: i64) {
        let Event { key, start, version, row, refused } = event;
        let id = postgres_id(ORIGIN, xid, &key, commit_us);
        self.facts.insert(key.to_order_key(), Fact { id, start, version, row, refused });
    }

    /// A standby that has the WAL only up to here takes over.
    pub(crate) fn abandon_from(&mut self, left_at: Lsn) {
        self.facts.retain(|key, fact| {
            let kept = key.wal_needed() <= left_at;
            if !kept {
                self.abandoned.push((*key, fact.id));
            }
            kept
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.facts.len()
    }

    fn is_abandoned(&self, key: &OrderKey, id: Id) -> bool {
        self.abandoned.iter().any(|(was, of)| was == key && *of == id)
    }
}

/// One lane's sink, with its dead letters: what survives every crash of pgcdc.
pub(crate) struct Receiver {
    pub(crate) lane: String,
    /// A table whose rows a transform of the lane drops.
    pub(crate) drops: Option<usize>,
    salt: u8,
    /// It wants what comes behind this.
    from: OrderKey,
    applied: BTreeMap<OrderKey, u32>,
    letters: BTreeMap<OrderKey, u32>,
    last: BTreeMap<u32, OrderKey>,
    /// The highest that it got from the present process.
    pub(crate) since_start: OrderKey,
    /// What was stored of this lane was true up to here.
    checked: OrderKey,
    pub(crate) repeats: u64,
}

impl Receiver {
    pub(crate) fn new(lane: &str, drops: Option<usize>, salt: u8, from: OrderKey) -> Receiver {
        Receiver {
            lane: lane.into(),
            drops,
            salt,
            from,
            applied: BTreeMap::new(),
            letters: BTreeMap::new(),
            last: BTreeMap::new(),
            since_start: OrderKey::EMPTY,
            checked: OrderKey::EMPTY,
            repeats: 0,
        }
    }

    pub(crate) fn filters(&self, row: Option<u32>) -> bool {
        row.is_some_and(|row| self.drops == Some(table_of(row)))
    }

    /// The sink will never take it.
    pub(crate) fn rejects(&self, id: Id) -> bool {
        id[15] % 32 == self.salt
    }

    /// Gets neither dropped nor dead-lettered.
    fn applies(&self, fact: &Fact) -> bool {
        !fact.refused && !self.filters(fact.row) && !self.rejects(fact.id)
    }

    /// An operator starts afresh, and copies what is before `from`.
    pub(crate) fn start_at(&mut self, from: OrderKey) {
        self.from = from;
        self.checked = OrderKey::EMPTY;
    }

    /// After a failover: the last that still counts of each row.
    pub(crate) fn forget_abandoned(&mut self, truth: &Truth) {
        for (row, last) in &mut self.last {
            let of_row = |key: &&OrderKey| truth.facts.get(key).is_some_and(|fact| fact.row == Some(*row));
            *last = self.applied.keys().rev().find(of_row).copied().unwrap_or(OrderKey::EMPTY);
        }
        self.last.retain(|_, last| !last.is_empty());
        self.checked = OrderKey::EMPTY;
        self.applied.retain(|key, _| truth.facts.contains_key(key));
        self.letters.retain(|key, _| truth.facts.contains_key(key));
    }

    /// The sink has durably taken an event. `had`: what it is known to have had.
    pub(crate) fn apply(&mut self, truth: &Truth, seen: &Seen, had: &[&LaneMark]) -> Result<(), Anomaly> {
        let Some(fact) = self.check(truth, seen.key, seen.id, had)? else { return Ok(()) };
        let phantom = |what| Err(Anomaly::Phantom { lane: self.lane.clone(), key: seen.key, what });
        if fact.row != seen.row || seen.version.is_some_and(|version| version != fact.version) {
            return phantom("its content differs");
        }
        if fact.refused {
            return phantom("it is too large");
        }
        if let Some(row) = fact.row {
            let after = self.last.get(&row).copied();
            // Up to `from` it may get what it gets: a lane that has just joined, and that is not stored yet.
            let least = after.map_or(self.from, |after| after.max(self.from));
            let mut behind = truth.facts.range((Excluded(least), Unbounded));
            let due = behind.find(|(_, fact)| fact.row == Some(row) && self.applies(fact));
            let most = due.map_or(least, |(key, _)| *key);
            if seen.key > most {
                return Err(Anomaly::Reordered { lane: self.lane.clone(), row, after, came: seen.key });
            }
            self.last.insert(row, seen.key);
        }
        let times = self.applied.entry(seen.key).or_default();
        *times += 1;
        self.repeats += u64::from(*times > 1);
        Ok(())
    }

    /// The event is a dead letter, durably.
    pub(crate) fn letter(
        &mut self,
        truth: &Truth,
        key: OrderKey,
        id: Id,
        had: &[&LaneMark],
    ) -> Result<(), Anomaly> {
        if self.check(truth, key, id, had)?.is_some() {
            *self.letters.entry(key).or_default() += 1;
        }
        Ok(())
    }

    /// None: it is of a branch that was given up, and nothing follows from it any more.
    fn check(
        &mut self,
        truth: &Truth,
        key: OrderKey,
        id: Id,
        had: &[&LaneMark],
    ) -> Result<Option<Fact>, Anomaly> {
        let lane = self.lane.clone();
        let Some(fact) = truth.facts.get(&key).filter(|fact| fact.id == id) else {
            // Of a branch that was given up, before pgcdc could know.
            return match truth.is_abandoned(&key, id) {
                true => Ok(None),
                false => Err(Anomaly::Phantom { lane, key, what: "no such event, or another id" }),
            };
        };
        if had.iter().any(|mark| key <= mark.mark) {
            return Err(Anomaly::Repeated { lane, key });
        }
        self.since_start = self.since_start.max(key);
        Ok(Some(fact.clone()))
    }

    fn missing(&self, key: &OrderKey, fact: &Fact) -> bool {
        *key > self.from
            && !self.filters(fact.row)
            && !self.applied.contains_key(key)
            && !self.letters.contains_key(key)
    }

    /// It is stored that the lane has everything up to `mark`, and all that was released before `resume`.
    pub(crate) fn stored(&mut self, truth: &Truth, resume: Lsn, mark: OrderKey) -> Result<(), Anomaly> {
        for (key, fact) in truth.facts.range((Excluded(self.checked), Unbounded)) {
            if *key > mark && fact.start >= resume {
                break;
            }
            if self.missing(key, fact) {
                return Err(Anomaly::AckAhead { lane: self.lane.clone(), key: *key });
            }
            self.checked = *key;
        }
        Ok(())
    }

    /// After a clean stop: everything that it got is stored as got.
    pub(crate) fn left_nothing(&self, mark: OrderKey) -> Result<(), Anomaly> {
        match self.since_start > mark {
            true => Err(Anomaly::Unstored { lane: self.lane.clone(), key: self.since_start }),
            false => Ok(()),
        }
    }

    /// Whether it has everything, and each row's last word is the last.
    pub(crate) fn complete(&self, truth: &Truth) -> Result<(), Anomaly> {
        let lost = truth.facts.iter().find(|(key, fact)| self.missing(key, fact));
        if let Some((key, _)) = lost {
            return Err(Anomaly::Lost { lane: self.lane.clone(), key: *key });
        }
        for (row, after) in &self.last {
            let mut behind = truth.facts.range((Excluded(self.from.max(*after)), Unbounded));
            if let Some((key, _)) = behind.find(|(_, fact)| fact.row == Some(*row) && self.applies(fact)) {
                let (lane, row, came) = (self.lane.clone(), *row, *key);
                return Err(Anomaly::Reordered { lane, row, after: Some(*after), came });
            }
        }
        Ok(())
    }
}
