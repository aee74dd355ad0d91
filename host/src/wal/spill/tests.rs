//! What is kept comes back, memory and disk stay within their bounds, and nobody else can read it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pgcdc_core::lsn::Lsn;
use pgcdc_core::pgoutput::stream::{Bracket, StreamStart, Within};
use pgcdc_core::streamed::{Step, Streamed};

use super::*;

/// Keeps messages of this many bytes, as the reader does.
struct Feeder {
    streamed: Streamed,
    spill: Spill,
    kept: BTreeMap<u32, Vec<u8>>,
}

impl Feeder {
    fn new(folder: &Path, bytes_max: u64) -> Feeder {
        let place = SpillPlace::new(folder.to_path_buf(), |_| {});
        Feeder { streamed: Streamed::default(), spill: Spill::new(place, bytes_max), kept: BTreeMap::new() }
    }

    async fn piece(&mut self, xid: u32, first: bool, messages: usize, bytes: usize) -> Result<(), Error> {
        let mut start = Vec::new();
        Bracket::Start(StreamStart { xid, first }).encode(&mut start);
        self.streamed.take(Lsn(1), &start, 6).unwrap();
        for n in 0..messages {
            let mut data = Vec::new();
            let whole = [b"I".to_vec(), vec![(n % 251) as u8; bytes]].concat();
            Within::encode_bytes(&mut data, xid, &whole);
            let len = data.len() as u64;
            let Step::Keep { xid, record } = self.streamed.take(Lsn(n as u64), &data, len).unwrap() else {
                panic!("a message inside of a stream is kept")
            };
            record.write(self.kept.entry(xid).or_default());
            if self.spill.keep(xid, &record) {
                self.spill.stow().await?;
            }
            assert!(self.spill.memory_bytes < MEMORY_BYTES_MAX);
        }
        self.streamed.take(Lsn(1), b"E", 1).unwrap();
        Ok(())
    }

    async fn read(&mut self, xid: u32) -> Result<Vec<u8>, Failed> {
        let mut blocks = self.spill.release(xid);
        let mut all = Vec::new();
        while let Some(block) = blocks.next().await? {
            all.extend(block);
        }
        self.spill.released(blocks);
        Ok(all)
    }
}

fn files(folder: &Path) -> Vec<(u64, u32)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|e| e.unwrap().metadata().unwrap()).map(|m| (m.len(), m.mode() & 0o777)).collect()
}

#[tokio::test]
async fn small_transactions_never_touch_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("spill");
    let mut feeder = Feeder::new(&folder, 0);
    for xid in 1..=30 {
        feeder.piece(xid, true, 200, 1_000).await.unwrap();
    }
    assert!(!folder.exists());
    for xid in 1..=30 {
        assert_eq!(feeder.read(xid).await.unwrap(), feeder.kept[&xid]);
    }
    assert_eq!(feeder.spill.memory_bytes, 0);
}

#[tokio::test]
async fn large_ones_come_back_as_they_were_and_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("spill");
    let mut feeder = Feeder::new(&folder, 1 << 30);
    for round in 0..5 {
        for xid in 1..=3 {
            feeder.piece(xid, round == 0, 2_000, 100 * xid as usize).await.unwrap();
        }
    }
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    assert!(files(&folder).iter().all(|(_, mode)| *mode == 0o600));
    let on_disk: u64 = files(&folder).iter().map(|(bytes, _)| bytes).sum();
    assert!(on_disk > 0 && on_disk == feeder.spill.disk_bytes);
    assert_eq!(feeder.read(2).await.unwrap(), feeder.kept[&2]);
    feeder.spill.forget(1);
    assert_eq!(feeder.read(3).await.unwrap(), feeder.kept[&3]);
    assert_eq!((feeder.spill.disk_bytes, feeder.spill.memory_bytes), (0, 0));
}

#[tokio::test]
async fn many_small_ones_stay_within_the_memory_that_they_share() {
    let home = tempfile::tempdir().unwrap();
    let mut feeder = Feeder::new(home.path(), 1 << 30);
    for xid in 1..=200 {
        feeder.piece(xid, true, 100, 1_000).await.unwrap();
    }
    assert!(feeder.spill.disk_bytes > 0);
    for xid in 1..=200 {
        assert_eq!(feeder.read(xid).await.unwrap(), feeder.kept[&xid]);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_with_size_and_place_that_halts() {
    let home = tempfile::tempdir().unwrap();
    let mut feeder = Feeder::new(home.path(), 1 << 20);
    let error = feeder.piece(7, true, 10_000, 1_000).await.unwrap_err();
    let said = error.to_string();
    assert!(!error.is_transient(), "{said}");
    for part in ["spill_max", "1MiB", "transaction 7", &home.path().display().to_string()] {
        assert!(said.contains(part), "{said}");
    }
    assert!(files(home.path()).iter().map(|(bytes, _)| bytes).sum::<u64>() <= 1 << 20);

    let in_the_way = home.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let mut feeder = Feeder::new(&in_the_way, 1 << 30);
    let error = feeder.piece(7, true, 10_000, 1_000).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("/file"), "{error}");
}

#[tokio::test]
async fn a_block_that_has_changed_is_not_delivered() {
    let home = tempfile::tempdir().unwrap();
    for damage in [|bytes: &mut Vec<u8>| bytes[100] ^= 1, |bytes: &mut Vec<u8>| bytes.truncate(500)] {
        let mut feeder = Feeder::new(home.path(), 1 << 30);
        feeder.piece(7, true, 1_000, 1_000).await.unwrap();
        let path = feeder.spill.place.file(feeder.spill.session, 7);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let failed = feeder.read(7).await.unwrap_err();
        assert!(feeder.spill.damaged(&failed).is_transient(), "{failed}");
    }
}

#[tokio::test]
async fn files_end_with_their_session_and_it_says_how_it_fares() {
    let home = tempfile::tempdir().unwrap();
    let last = Arc::new(Mutex::new(News::default()));
    let told = Arc::clone(&last);
    let place = SpillPlace::new(home.path().to_path_buf(), move |news| *told.lock().unwrap() = news);
    let mut feeder = Feeder { spill: Spill::new(place, 1 << 30), ..Feeder::new(home.path(), 0) };
    feeder.piece(7, true, 1_000, 1_000).await.unwrap();
    let news = *last.lock().unwrap();
    assert!(news.disk_bytes > 0 && news.written_bytes > 0 && news.open == 1, "{news:?}");
    drop(feeder);
    assert_eq!(files(home.path()), []);
    assert_eq!(*last.lock().unwrap(), News::default());
}

#[test]
fn leftovers_are_removed_and_none_is_fine() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("spill");
    forget(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("wal-0-1"), "x").unwrap();
    forget(&folder).unwrap();
    assert!(!folder.exists());
}
