//! Which event waits for which: those of one row, over all batches under way.
//!
//! Every event has a ticket, and tickets are handed out in the order of the events, before any of these is
//! posted. A ticket waits for the last one of each of its keys. One that fails makes whatever waits for it
//! fail untried. It is forgotten when its batch has been answered, so that the host's next attempt begins afresh.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::key::Keys;

type Map<V> = HashMap<u64, V, BuildHasherDefault<DefaultHasher>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Delivered,
    Failed,
}

#[derive(Debug)]
struct Turn {
    state: Cell<State>,
    waiting: RefCell<Vec<Waker>>,
}

/// What the next event of a relation waits for.
#[derive(Debug, Default)]
struct Last {
    rows: Map<Rc<Turn>>,
    /// The last event of the relation as a whole; rows that have had none since wait for this.
    whole: Option<Rc<Turn>>,
}

/// The last event of every row, as long as its batch is under way.
#[derive(Debug, Default)]
pub(crate) struct Order {
    relations: RefCell<Map<Last>>,
}

/// An event's place in the order. Dropped unsettled, it has failed.
#[derive(Debug)]
pub(crate) struct Ticket {
    turn: Rc<Turn>,
    after: Vec<Rc<Turn>>,
    keys: Keys,
}

impl Order {
    /// A place behind all events with any of these keys.
    pub(crate) fn enter(&self, keys: Keys) -> Ticket {
        let turn = Rc::new(Turn { state: Cell::new(State::Pending), waiting: RefCell::default() });
        let mut relations = self.relations.borrow_mut();
        let mut after = Vec::new();
        match &keys {
            Keys::Rows { relation, rows } => {
                let last = relations.entry(*relation).or_default();
                for row in rows {
                    let before = last.rows.insert(*row, Rc::clone(&turn));
                    after.extend(before.or_else(|| last.whole.clone()));
                }
            }
            Keys::Relation(relation) => {
                let last = relations.entry(*relation).or_default();
                after.extend(last.rows.drain().map(|(_, before)| before));
                after.extend(last.whole.replace(Rc::clone(&turn)));
            }
        }
        // Two keys of one event may have the same hash.
        after.retain(|before| !Rc::ptr_eq(before, &turn));
        Ticket { turn, after, keys }
    }

    /// The batch of these tickets has been answered.
    pub(crate) fn leave(&self, tickets: &[Ticket]) {
        let mut relations = self.relations.borrow_mut();
        for Ticket { turn, keys, .. } in tickets {
            let (Keys::Rows { relation, .. } | Keys::Relation(relation)) = keys;
            let Some(last) = relations.get_mut(relation) else { continue };
            if let Keys::Rows { rows, .. } = keys {
                for row in rows {
                    if last.rows.get(row).is_some_and(|known| Rc::ptr_eq(known, turn)) {
                        last.rows.remove(row);
                    }
                }
            }
            last.whole.take_if(|known| Rc::ptr_eq(known, turn));
            if last.rows.is_empty() && last.whole.is_none() {
                relations.remove(relation);
            }
        }
    }
}

impl Ticket {
    /// Waits for its turn; `false` if an earlier event of one of its rows has failed.
    pub(crate) async fn turn(&self) -> bool {
        poll_fn(|context| {
            let mut pending = None;
            for before in &self.after {
                match before.state.get() {
                    State::Delivered => {}
                    State::Failed => return Poll::Ready(false),
                    State::Pending => pending = Some(before),
                }
            }
            let Some(pending) = pending else { return Poll::Ready(true) };
            let mut waiting = pending.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Lets whoever waits go on, or fail.
    pub(crate) fn settle(&self, delivered: bool) {
        self.turn.state.set(if delivered { State::Delivered } else { State::Failed });
        for waker in self.turn.waiting.take() {
            waker.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.turn.state.get() == State::Pending {
            self.settle(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;

    fn now(ticket: &Ticket) -> Option<bool> {
        let mut context = std::task::Context::from_waker(Waker::noop());
        match pin!(ticket.turn()).poll(&mut context) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn row(rows: &[u64]) -> Keys {
        Keys::Rows { relation: 1, rows: rows.to_vec() }
    }

    #[test]
    fn events_of_a_row_follow_each_other_and_others_do_not_wait() {
        let order = Order::default();
        let [first, other, second] = [row(&[7]), row(&[8]), row(&[7])].map(|keys| order.enter(keys));
        assert_eq!([now(&first), now(&other), now(&second)], [Some(true), Some(true), None]);
        first.settle(true);
        assert_eq!(now(&second), Some(true));
    }

    #[test]
    fn a_moved_row_joins_both_keys() {
        let order = Order::default();
        let [old, moved, next] = [row(&[1]), row(&[1, 2]), row(&[2])].map(|keys| order.enter(keys));
        assert_eq!([now(&moved), now(&next)], [None, None]);
        old.settle(true);
        assert_eq!([now(&moved), now(&next)], [Some(true), None]);
        moved.settle(true);
        assert_eq!(now(&next), Some(true));
    }

    #[test]
    fn a_truncate_waits_for_all_and_all_wait_for_it() {
        let order = Order::default();
        let keys = [row(&[1]), row(&[2]), Keys::Relation(1), row(&[1]), row(&[3])];
        let [a, b, truncate, c, d] = keys.map(|keys| order.enter(keys));
        a.settle(true);
        assert_eq!([now(&truncate), now(&c), now(&d)], [None; 3]);
        b.settle(true);
        assert_eq!([now(&truncate), now(&c)], [Some(true), None]);
        truncate.settle(true);
        assert_eq!([now(&c), now(&d)], [Some(true); 2]);
    }

    #[test]
    fn a_failure_fails_what_waits_until_its_batch_is_answered() {
        let order = Order::default();
        let (first, second) = (order.enter(row(&[1])), order.enter(row(&[1])));
        first.settle(false);
        assert_eq!(now(&second), Some(false));
        second.settle(false);
        let batch = [first, second];
        assert_eq!(now(&order.enter(row(&[1]))), Some(false), "an overlapping batch");
        order.leave(&batch);
        assert_eq!(now(&order.enter(row(&[1]))), Some(false), "the overlapping batch is not answered yet");
        order.relations.borrow_mut().clear();
        assert_eq!(now(&order.enter(row(&[1]))), Some(true));
    }

    #[test]
    fn nothing_is_kept_of_answered_batches() {
        let order = Order::default();
        let tickets = [row(&[1, 2]), Keys::Relation(1), row(&[3])].map(|keys| order.enter(keys));
        order.leave(&tickets);
        assert!(order.relations.borrow().is_empty());
    }

    #[test]
    fn a_ticket_that_is_dropped_holds_up_nobody() {
        let order = Order::default();
        let (first, second) = (order.enter(row(&[1])), order.enter(row(&[1])));
        drop(first);
        assert_eq!(now(&second), Some(false));
    }
}
