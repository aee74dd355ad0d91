//! Judges what arrived against what was done, and names what is wrong. Pure.
//!
//! - Every committed change arrives in every sink, no other does, and the first arrivals keep the order that the sink
//!   promises: of a row by the writer's numbers, of everything by position.
//! - A change has one id, an id one change, in all sinks and lives.
//! - A change comes again only if it lay behind the lane's mark in the checkpoint that the life began with; in the
//!   same life only if the sender cannot have known that it was taken.
//! - Whatever lies before a stored mark, a stored position or the slot's confirmed position was in the sink by then.
//! - The first arrivals, folded, are the tables.

use std::collections::{BTreeMap, HashMap, HashSet};

use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;

use super::anomaly::{Anomaly, Name};
use super::history::{Change, Delivery, Evidence, Fate, Kind, Order, RowName, SinkLog, Tag, commit_lsn};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) anomalies: Vec<Anomaly>,
    pub(crate) sinks: Vec<SinkCount>,
}

/// One sink in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SinkCount {
    pub(crate) name: &'static str,
    pub(crate) deliveries: usize,
    pub(crate) changes: usize,
    pub(crate) repeated_inside: usize,
    pub(crate) repeated_outside: usize,
}

/// Where a change was first taken by a sink.
#[derive(Clone, Copy)]
struct First {
    at: usize,
    life: u32,
}

type Firsts = HashMap<Tag, First>;

/// Judges a run.
pub(crate) fn check(evidence: &Evidence) -> Verdict {
    let committed: Vec<Vec<Change>> = evidence.history.iter().map(|done| committed(done)).collect();
    let expected: HashSet<Tag> = committed.iter().flatten().map(|change| change.tag).collect();
    let mut verdict = Verdict::default();
    let mut ids = Ids::default();
    let mut firsts = Vec::with_capacity(evidence.sinks.len());
    for sink in &evidence.sinks {
        let (first, count) = arrivals(evidence, sink, &mut ids, &mut verdict.anomalies);
        missing(sink, &expected, &first, &mut verdict.anomalies);
        let lines = committed.iter().map(Vec::as_slice);
        lines.for_each(|line| order(sink, line, &first, &mut verdict.anomalies));
        fold(evidence, sink, &mut verdict.anomalies);
        verdict.sinks.push(count);
        firsts.push(first);
    }
    ahead(evidence, &firsts, &ids, &mut verdict.anomalies);
    verdict
}

fn committed(done: &[super::history::Transaction]) -> Vec<Change> {
    done.iter()
        .filter(|transaction| transaction.fate == Fate::Committed)
        .flat_map(|transaction| transaction.changes.iter().copied())
        .collect()
}

/// Which id, position and content belong to which change, over all sinks.
#[derive(Default)]
struct Ids {
    by_id: HashMap<u128, (Option<Tag>, OrderKey)>,
    by_tag: HashMap<Tag, (u128, OrderKey)>,
}

impl Ids {
    fn learn(&mut self, sink: &str, delivery: &Delivery, anomalies: &mut Vec<Anomaly>) {
        let shown = (delivery.tag, delivery.position);
        let known = *self.by_id.entry(delivery.id).or_insert(shown);
        if known != shown {
            let what = format!("{:032x} is {:?} and {:?}", delivery.id, known, shown);
            anomalies.push(Anomaly::new(Name::IdReused, sink, what));
        }
        let Some(tag) = delivery.tag else { return };
        let (first, _) = *self.by_tag.entry(tag).or_insert((delivery.id, delivery.position));
        if first != delivery.id {
            let what = format!("{tag:?} is {first:032x}, then {:032x}", delivery.id);
            anomalies.push(Anomaly::new(Name::IdChanged, sink, what));
        }
    }
}

/// First arrivals, repetitions, what is made up, and the order of positions.
fn arrivals(
    evidence: &Evidence,
    sink: &SinkLog,
    ids: &mut Ids,
    anomalies: &mut Vec<Anomaly>,
) -> (Firsts, SinkCount) {
    let mut firsts = Firsts::new();
    // The latest arrival of each id.
    let mut latest: HashMap<u128, usize> = HashMap::new();
    let mut newest = OrderKey::EMPTY;
    let mut count = SinkCount { name: sink.name, deliveries: sink.deliveries.len(), ..SinkCount::default() };
    for (at, delivery) in sink.deliveries.iter().enumerate() {
        ids.learn(sink.name, delivery, anomalies);
        if let Some(before) = latest.insert(delivery.id, at).and_then(|before| sink.deliveries.get(before)) {
            if inside(evidence, sink, before, delivery) {
                count.repeated_inside += 1;
            } else {
                count.repeated_outside += 1;
                let what = format!(
                    "{:032x} ({:?}) in life {} and again in life {}",
                    delivery.id, delivery.tag, before.life, delivery.life
                );
                anomalies.push(Anomaly::new(Name::DuplicatedOutside, sink.name, what));
            }
            continue;
        }
        count.changes += 1;
        if sink.order == Order::Total && delivery.position <= newest {
            let what =
                format!("{:?} at {} after {}", delivery.tag, delivery.position.to_hex(), newest.to_hex());
            anomalies.push(Anomaly::new(Name::Reordered, sink.name, what));
        }
        newest = newest.max(delivery.position);
        let Some(tag) = delivery.tag else {
            let what = format!("{:032x} is no change of ours", delivery.id);
            anomalies.push(Anomaly::new(Name::Phantom, sink.name, what));
            continue;
        };
        firsts.entry(tag).or_insert(First { at, life: delivery.life });
    }
    (firsts, count)
}

/// Whether `again` may have come after `before`.
fn inside(evidence: &Evidence, sink: &SinkLog, before: &Delivery, again: &Delivery) -> bool {
    // What the life of the repetition began with is what the life before it had left.
    let began_with = again.life.checked_sub(2).and_then(|at| evidence.endings.get(at as usize));
    let mark = began_with.and_then(|ending| ending.marks.get(sink.name));
    let behind_mark = mark.is_none_or(|mark| again.position > *mark);
    if before.life != again.life {
        return behind_mark;
    }
    let errors = again.life.checked_sub(1).and_then(|at| evidence.endings.get(at as usize));
    behind_mark && (before.unanswered || errors.is_some_and(|ending| ending.errors))
}

fn missing(sink: &SinkLog, expected: &HashSet<Tag>, firsts: &Firsts, anomalies: &mut Vec<Anomaly>) {
    let mut lost: Vec<_> = expected.iter().filter(|tag| !firsts.contains_key(tag)).collect();
    lost.sort_unstable();
    anomalies.extend(lost.into_iter().map(|tag| Anomaly::new(Name::Lost, sink.name, format!("{tag:?}"))));
    let mut made_up: Vec<_> = firsts.keys().filter(|tag| !expected.contains(tag)).collect();
    made_up.sort_unstable();
    anomalies.extend(
        made_up
            .into_iter()
            .map(|tag| Anomaly::new(Name::Phantom, sink.name, format!("never committed: {tag:?}"))),
    );
}

/// One writer's changes, each behind the one before it: of the same row, or of any if all order is kept.
fn order(sink: &SinkLog, line: &[Change], firsts: &Firsts, anomalies: &mut Vec<Anomaly>) {
    let mut last_of_row: HashMap<RowName, (Tag, usize)> = HashMap::new();
    let mut last: Option<(Tag, usize)> = None;
    for change in line {
        let Some(First { at, .. }) = firsts.get(&change.tag).copied() else { continue };
        let row = change.tag.row;
        let old = change.moved_from.map(|key| RowName { key, ..row });
        let rows = [Some(row), old];
        let mut before: Vec<(Tag, usize)> =
            rows.iter().flatten().filter_map(|row| last_of_row.get(row).copied()).collect();
        if sink.order == Order::Total {
            before.extend(last);
        }
        if let Some((earlier, _)) = before.iter().find(|(_, before)| *before > at) {
            let what = format!("{:?} came before {earlier:?}", change.tag);
            anomalies.push(Anomaly::new(Name::Reordered, sink.name, what));
        }
        for row in rows.into_iter().flatten() {
            last_of_row.insert(row, (change.tag, at));
        }
        last = Some((change.tag, at));
    }
}

/// The tables as this sink's first arrivals tell them, against the source's.
fn fold(evidence: &Evidence, sink: &SinkLog, anomalies: &mut Vec<Anomaly>) {
    let mut seen = HashSet::new();
    let mut rows: BTreeMap<RowName, &str> = BTreeMap::new();
    for delivery in &sink.deliveries {
        let Some(tag) = delivery.tag.filter(|_| seen.insert(delivery.id)) else { continue };
        if let Some(key) = delivery.old_key {
            rows.remove(&RowName { key, ..tag.row });
        }
        match (tag.kind, &delivery.row) {
            (Kind::Delete, _) => drop(rows.remove(&tag.row)),
            (_, Some(row)) => drop(rows.insert(tag.row, row)),
            (_, None) => {}
        }
    }
    let mut differs = |what: String| anomalies.push(Anomaly::new(Name::Diverged, sink.name, what));
    for (name, row) in &evidence.rows {
        match rows.get(name) {
            Some(folded) if **folded == **row => {}
            Some(folded) => differs(format!("{name:?} is {folded}, truly {row}")),
            None => differs(format!("{name:?} is missing, truly {row}")),
        }
    }
    let gone = rows.iter().filter(|(name, _)| !evidence.rows.contains_key(name));
    gone.for_each(|(name, row)| differs(format!("{name:?} is {row}, truly gone")));
}

/// Nothing was stored or confirmed beyond what a sink had.
fn ahead(evidence: &Evidence, firsts: &[Firsts], ids: &Ids, anomalies: &mut Vec<Anomaly>) {
    let mut changes: Vec<(OrderKey, Tag)> =
        ids.by_tag.iter().map(|(tag, (_, position))| (*position, *tag)).collect();
    changes.sort_unstable_by_key(|(position, _)| *position);
    for (sink, firsts) in evidence.sinks.iter().zip(firsts) {
        let line = Line::new(&changes, firsts);
        for (life, ending) in (1..).zip(&evidence.endings) {
            let claims = [
                ending.marks.get(sink.name).map(|mark| ("the lane's stored mark", line.upto(mark))),
                ending.resume.map(|lsn| ("the stored position", line.before(lsn))),
                Some(("the slot's confirmed position", line.before(ending.confirmed))),
            ];
            for (claim, upto) in claims.into_iter().flatten() {
                if let Some(tag) = line.latest_life(upto).filter(|(_, at)| *at > life).map(|(tag, _)| tag) {
                    let what =
                        format!("{claim} covers {tag:?} at the end of life {life}, the sink did not have it");
                    anomalies.push(Anomaly::new(Name::AckAhead, sink.name, what));
                }
            }
        }
        for sample in &evidence.samples {
            let Some((_, taken)) = sample.taken.iter().find(|(name, _)| *name == sink.name) else { continue };
            let latest = line.latest_arrival(line.before(sample.confirmed));
            if let Some((tag, _)) = latest.filter(|(_, at)| *at >= *taken) {
                let what = format!("{} was confirmed, {tag:?} had not arrived", sample.confirmed);
                anomalies.push(Anomaly::new(Name::AckAhead, sink.name, what));
            }
        }
    }
    for (life, ending) in (1..).zip(&evidence.endings) {
        let stored = ending.resume.unwrap_or(evidence.slot_start);
        if ending.confirmed > stored {
            let what = format!(
                "confirmed up to {} at the end of life {life}, but stored is {stored}",
                ending.confirmed
            );
            anomalies.push(Anomaly::new(Name::AckAhead, "slot", what));
        }
    }
}

/// All changes by position, and for each prefix the latest that one of its changes arrived.
struct Line<'a> {
    changes: &'a [(OrderKey, Tag)],
    latest: Vec<(Tag, First)>,
    latest_arrival: Vec<(Tag, usize)>,
}

impl<'a> Line<'a> {
    fn new(changes: &'a [(OrderKey, Tag)], firsts: &Firsts) -> Self {
        let never = First { at: usize::MAX, life: u32::MAX };
        let mut line = Line {
            changes,
            latest: Vec::with_capacity(changes.len()),
            latest_arrival: Vec::with_capacity(changes.len()),
        };
        for (_, tag) in changes {
            let first = firsts.get(tag).copied().unwrap_or(never);
            let latest = line.latest.last().copied().filter(|(_, before)| before.life >= first.life);
            line.latest.push(latest.unwrap_or((*tag, first)));
            let latest = line.latest_arrival.last().copied().filter(|(_, before)| *before >= first.at);
            line.latest_arrival.push(latest.unwrap_or((*tag, first.at)));
        }
        line
    }

    /// How many changes a mark covers.
    fn upto(&self, mark: &OrderKey) -> usize {
        self.changes.partition_point(|(position, _)| position <= mark)
    }

    /// How many changes are of transactions that ended before `lsn`.
    fn before(&self, lsn: Lsn) -> usize {
        self.changes.partition_point(|(position, _)| commit_lsn(position) < lsn)
    }

    fn latest_life(&self, upto: usize) -> Option<(Tag, u32)> {
        self.latest.get(upto.checked_sub(1)?).map(|(tag, first)| (*tag, first.life))
    }

    fn latest_arrival(&self, upto: usize) -> Option<(Tag, usize)> {
        self.latest_arrival.get(upto.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests;
