//! What is stored survives any crash, and what is lost is said to be lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use file_store::FileStore;
use pgcdc_sdk::checkpoint_store::Put;
use pgcdc_sdk::{CheckpointStore, Context, Result, testing};

fn open() -> Result<FileStore> {
    let config = testing::config(r#"{"path":"state"}"#).unwrap();
    testing::block_on(FileStore::open(config, &Context::default()))
}

fn store(store: &FileStore, expected_version: u64, value: &str) -> Result<()> {
    let put = Put { key: "k".into(), expected_version, value: Some(value.into()) };
    testing::block_on(store.store(vec![put]))
}

fn stored() -> Option<String> {
    let entries = testing::block_on(open().unwrap().load("")).unwrap();
    entries.first().map(|entry| String::from_utf8(entry.value.clone()).unwrap())
}

#[test]
fn a_crash_at_any_byte_leaves_the_last_one() {
    let first = open().unwrap();
    for version in 0..4 {
        store(&first, version, &format!("v{version}")).unwrap();
    }
    for path in ["state/checkpoint.0", "state/checkpoint.1"] {
        assert_eq!(testing::file(path), testing::file_synced(path), "on the device");
    }
    let (older, newer) = (testing::file("state/checkpoint.1"), testing::file("state/checkpoint.0"));
    assert_eq!(stored().as_deref(), Some("v3"));
    // The next store would overwrite the older file.
    for cut in 0..older.len() {
        testing::set_file("state/checkpoint.1", &older[..cut]);
        assert_eq!(stored().as_deref(), Some("v3"));
    }
    // Should the newer one rot, the older one counts.
    testing::set_file("state/checkpoint.1", &older);
    testing::set_file("state/checkpoint.0", &newer[..newer.len() - 1]);
    assert_eq!(stored().as_deref(), Some("v2"));
}

#[test]
fn two_bad_files_are_not_nothing() {
    let first = open().unwrap();
    store(&first, 0, "a").unwrap();
    store(&first, 1, "b").unwrap();
    testing::set_file("state/checkpoint.0", b"PGCK rubbish");
    testing::set_file("state/checkpoint.1", b"rubbish");
    let error = open().unwrap_err();
    assert_eq!(error.code, "gone");
    assert!(error.message.contains("pgcdc checkpoint"), "{error}");
    assert_eq!(testing::take_logged().len(), 2);
}

#[test]
fn a_conflict_is_refused_and_a_failed_write_ends_the_instance() {
    let first = open().unwrap();
    store(&first, 0, "a").unwrap();
    assert_eq!(store(&first, 0, "b").unwrap_err().code, "conflict");
    testing::fail_file("state/checkpoint.0", true);
    assert_eq!(store(&first, 1, "b").unwrap_err().code, "unavailable");
    testing::fail_file("state/checkpoint.0", false);
    assert_eq!(store(&first, 1, "b").unwrap_err().code, "unavailable", "it does not know what is there");
    assert_eq!(stored().as_deref(), Some("a"));
    store(&open().unwrap(), 1, "b").unwrap();
    assert_eq!(stored().as_deref(), Some("b"));
}
