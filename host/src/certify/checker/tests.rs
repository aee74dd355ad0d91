//! A true history passes; each way in which it can be false is named.

use std::collections::BTreeMap;

use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::PostgresKey;

use super::*;
use crate::certify::history::{Ending, Sample, Table, Transaction};

fn row(key: i64) -> RowName {
    RowName { table: Table::Full, writer: 1, key }
}

fn change(key: i64, version: i64, kind: Kind) -> Change {
    Change { tag: Tag { row: row(key), version, kind }, moved_from: None }
}

/// Three transactions that commit at 0x100, 0x200 and 0x300: two inserts; an update; a delete and a move.
fn done() -> Vec<Transaction> {
    let moved = Change { moved_from: Some(1), ..change(3, 5, Kind::Update) };
    let aborted = Transaction { changes: vec![change(9, 4, Kind::Insert)], fate: Fate::Aborted };
    let committed = |changes| Transaction { changes, fate: Fate::Committed };
    vec![
        committed(vec![change(1, 1, Kind::Insert), change(2, 2, Kind::Insert)]),
        committed(vec![change(1, 3, Kind::Update)]),
        aborted,
        committed(vec![change(2, 2, Kind::Delete), moved]),
    ]
}

fn delivery(change: &Change, commit: u64, nth: u32, life: u32) -> Delivery {
    let tag = change.tag;
    Delivery {
        id: u128::from(commit) << 32 | u128::from(nth),
        position: PostgresKey::row(Lsn(commit), Lsn(commit - 1), nth).to_order_key(),
        life,
        tag: Some(tag),
        row: (tag.kind != Kind::Delete).then(|| format!("{}@{}", tag.row.key, tag.version).into()),
        old_key: change.moved_from,
        unanswered: false,
    }
}

/// Two lives: the first brings two transactions and stores the first; the second begins with the second again.
fn truth() -> Evidence {
    let history = done();
    let of = |at: usize, commit: u64, life: u32| -> Vec<Delivery> {
        let changes = &history[at].changes;
        changes.iter().zip(1..).map(|(change, nth)| delivery(change, commit, nth, life)).collect()
    };
    let deliveries = [of(0, 0x100, 1), of(1, 0x200, 1), of(1, 0x200, 2), of(3, 0x300, 2)].concat();
    let ending = |lsn: u64, last: u64, nth| Ending {
        confirmed: Lsn(lsn),
        resume: Some(Lsn(lsn)),
        marks: BTreeMap::from([(
            "log".to_owned(),
            PostgresKey::row(Lsn(last), Lsn(last - 1), nth).to_order_key(),
        )]),
        errors: false,
    };
    Evidence {
        history: vec![history],
        sinks: vec![SinkLog { name: "log", order: Order::Total, deliveries }],
        endings: vec![ending(0x110, 0x100, 2), ending(0x310, 0x300, 2)],
        samples: vec![Sample { confirmed: Lsn(0x110), taken: vec![("log", 2)] }],
        slot_start: Lsn(0x10),
        rows: BTreeMap::from([(row(3), "3@5".into())]),
    }
}

fn names(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = truth();
    change(&mut evidence);
    let mut names: Vec<_> = check(&evidence).anomalies.iter().map(|anomaly| anomaly.name.as_str()).collect();
    names.dedup();
    names
}

fn log(evidence: &mut Evidence) -> &mut Vec<Delivery> {
    &mut evidence.sinks[0].deliveries
}

#[test]
fn a_true_history_passes_and_is_counted() {
    let verdict = check(&truth());
    assert_eq!(verdict.anomalies, []);
    let count = SinkCount { name: "log", deliveries: 6, changes: 5, repeated_inside: 1, repeated_outside: 0 };
    assert_eq!(verdict.sinks, [count]);
}

#[test]
fn a_change_that_never_came_is_lost() {
    assert_eq!(names(|e| drop(log(e).remove(0))), ["lost"]);
    // The last of a row is missed by the fold, too.
    assert_eq!(names(|e| drop(log(e).remove(4))), ["lost", "diverged"]);
    assert_eq!(names(|e| drop(log(e).pop())), ["lost", "diverged"]);
}

#[test]
fn what_was_aborted_or_never_written_is_a_phantom() {
    let made_up = |e: &mut Evidence| {
        let ghost = delivery(&change(9, 4, Kind::Insert), 0x400, 1, 2);
        log(e).push(ghost);
    };
    assert_eq!(names(made_up), ["phantom", "diverged"]);
    let stranger = |e: &mut Evidence| {
        let mut stranger = delivery(&change(9, 4, Kind::Insert), 0x400, 1, 2);
        stranger.tag = None;
        log(e).push(stranger);
    };
    assert_eq!(names(stranger), ["phantom"]);
}

#[test]
fn an_older_change_of_a_row_after_a_newer_is_reordered() {
    let of_a_row = |e: &mut Evidence| {
        e.sinks[0].order = Order::PerRow;
        e.samples.clear();
        // The repetition goes, the update comes before its insert.
        log(e).remove(3);
        log(e).swap(0, 2);
    };
    assert_eq!(names(of_a_row), ["reordered"]);
    let of_two_rows = |order| {
        move |e: &mut Evidence| {
            e.sinks[0].order = order;
            log(e).swap(0, 1);
        }
    };
    assert_eq!(names(of_two_rows(Order::PerRow)), [""; 0]);
    assert_eq!(names(of_two_rows(Order::Total)), ["reordered"]);
}

#[test]
fn a_moved_row_is_in_order_with_both_its_keys() {
    let moved_too_early = |e: &mut Evidence| {
        e.sinks[0].order = Order::PerRow;
        e.samples.clear();
        e.endings.clear();
        let last = log(e).len() - 1;
        log(e).swap(0, last);
    };
    assert_eq!(names(moved_too_early), ["reordered", "diverged"]);
}

#[test]
fn a_repetition_is_allowed_behind_the_mark_only() {
    let before_the_mark = |e: &mut Evidence| {
        let mut again = log(e)[0].clone();
        again.life = 2;
        log(e).insert(3, again);
    };
    assert_eq!(names(before_the_mark), ["duplicated-outside-window"]);
    let nothing_stored = |e: &mut Evidence| {
        before_the_mark(e);
        e.endings[0] = Ending { confirmed: Lsn(0x10), ..Ending::default() };
    };
    assert_eq!(names(nothing_stored), [""; 0]);
}

#[test]
fn in_one_life_only_what_was_not_answered_comes_again() {
    let again = |e: &mut Evidence| {
        let last = log(e)[5].clone();
        log(e).push(last);
    };
    assert_eq!(names(again), ["duplicated-outside-window"]);
    let unanswered = |e: &mut Evidence| {
        log(e)[5].unanswered = true;
        again(e);
    };
    assert_eq!(names(unanswered), [""; 0]);
    let guest_ended = |e: &mut Evidence| {
        e.endings[1].errors = true;
        again(e);
    };
    assert_eq!(names(guest_ended), [""; 0]);
}

#[test]
fn an_id_belongs_to_one_change_and_a_change_to_one_id() {
    assert_eq!(names(|e| log(e)[3].id = 77), ["id-changed", "reordered"]);
    assert_eq!(
        names(|e| log(e)[4].id = log(e)[5].id),
        ["id-reused", "duplicated-outside-window", "lost", "diverged", "ack-ahead"]
    );
}

#[test]
fn a_position_ahead_of_a_sink_is_named_whichever_it_is() {
    let mark = |e: &mut Evidence| {
        let ahead = e.endings[1].marks.clone();
        e.endings[0].marks = ahead;
    };
    // The repetition is then one outside of the window, too.
    assert_eq!(names(mark), ["duplicated-outside-window", "ack-ahead"]);
    assert_eq!(names(|e| e.endings[0].resume = Some(Lsn(0x310))), ["ack-ahead"]);
    assert_eq!(names(|e| e.endings[0].confirmed = Lsn(0x111)), ["ack-ahead"]);
    assert_eq!(names(|e| e.endings[0].resume = None), ["ack-ahead"]);
    assert_eq!(names(|e| e.samples[0].taken[0].1 = 1), ["ack-ahead"]);
}

#[test]
fn a_row_that_differs_from_its_table_is_named() {
    assert_eq!(names(|e| drop(e.rows.insert(row(3), "3@6".into()))), ["diverged"]);
    assert_eq!(names(|e| drop(e.rows.insert(row(4), "4@6".into()))), ["diverged"]);
    assert_eq!(names(|e| e.rows.clear()), ["diverged"]);
    assert_eq!(names(|e| log(e)[5].old_key = None), ["diverged"]);
}
