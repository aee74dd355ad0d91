//! A map.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Result;

thread_local! {
    static VALUES: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) async fn get(key: String) -> Result<Option<Vec<u8>>> {
    Ok(VALUES.with_borrow(|values| values.get(&key).cloned()))
}

pub(crate) async fn set(key: String, value: Vec<u8>) -> Result<()> {
    VALUES.with_borrow_mut(|values| values.insert(key, value));
    Ok(())
}

pub(crate) async fn delete(key: String) -> Result<()> {
    VALUES.with_borrow_mut(|values| values.remove(&key));
    Ok(())
}
