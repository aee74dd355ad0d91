//! Counters and gauges by name; of a histogram, the sum.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static VALUES: RefCell<BTreeMap<String, f64>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn counter_add(name: &str, value: f64) {
    VALUES.with_borrow_mut(|values| *values.entry(name.to_owned()).or_default() += value);
}

pub(crate) fn gauge_set(name: &str, value: f64) {
    VALUES.with_borrow_mut(|values| values.insert(name.to_owned(), value));
}

pub(crate) fn observe(name: &str, value: f64) {
    counter_add(name, value);
}

pub(crate) fn value(name: &str) -> Option<f64> {
    VALUES.with_borrow(|values| values.get(name).copied())
}
