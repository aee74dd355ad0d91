//! Batches for tests, and a lane's other end.

use std::sync::Arc;

use pgcdc_core::assembler::{Reason, Refused};
use pgcdc_core::checkpoint::LaneMark;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::{OrderKey, PostgresKey};
use pgcdc_layout::writer::{BatchWriter, BodyDef, EventDef, RelationDef};
use pgcdc_layout::{Body, Op};

use super::{Alarm, Bounds, Fanout, Mode, Queue, alarm, lane};
use crate::ack::Acks;
use crate::admin::metrics::Metrics;
use crate::batch::Batch;
use crate::source::{Origin, Part};

fn bytes(text: &str) -> Vec<u8> {
    let mut writer = BatchWriter::new();
    let relation = writer.add_relation(&RelationDef::channel("c")).unwrap();
    let event = EventDef { body: BodyDef::Text(text), ..EventDef::new(Op::Notify, relation) };
    writer.add_event(&event).unwrap();
    writer.finish()
}

/// One event that says `n`, padded to a batch of exactly so many bytes.
pub(super) fn numbered(n: u64, batch_bytes: usize) -> Batch {
    let text = |padding: usize| format!("{n:020}{}", "x".repeat(padding));
    let least = bytes(&text(0)).len();
    let batch = (batch_bytes.saturating_sub(least + 8)..)
        .map(|padding| bytes(&text(padding)))
        .find(|batch| batch.len() >= batch_bytes)
        .unwrap();
    Batch::trusted(batch)
}

/// What it says.
pub(super) fn number(batch: &Batch) -> u64 {
    let event = batch.view().event(0).unwrap();
    let Body::Text(text) = event.body() else { panic!("a text") };
    text[..20].parse().unwrap()
}

/// One event, and two changes that were refused.
pub(super) fn with_refused(n: u64, batch_bytes: usize) -> Batch {
    let refused = |nth: u32, reason: Reason| Refused {
        id: [nth as u8; 16],
        key: PostgresKey::row(Lsn(7), Lsn(5), nth),
        after_events: nth,
        op: Op::Update,
        xid: 77,
        commit_us: -5,
        seq: 3,
        channel: "pgcdc:t".into(),
        schema: "public".into(),
        table: "t".into(),
        row_key: vec![("id".into(), "ä\"1".into())],
        reason,
    };
    let refused = vec![
        refused(1, Reason::TooLarge { bytes: 1 << 40, bytes_max: 16 << 20 }),
        refused(2, Reason::NotUtf8 { column: "note".into() }),
    ];
    let (first, last) = (OrderKey::EMPTY, OrderKey::EMPTY);
    let origin = Origin { session: 1, number: 2, part: Part::Wal(2), first, last, refused };
    Batch::from_wal(numbered(n, batch_bytes).bytes().to_vec(), origin)
}

/// What is different about a lane.
type Change = fn(&mut Bounds);

/// A source and its lanes, whose sinks are the test.
pub(super) struct Scene {
    pub(super) acks: Arc<Acks>,
    pub(super) fanout: Fanout,
    pub(super) queues: Vec<Queue>,
    pub(super) buffers: Vec<Arc<super::Buffer>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) alarmed: tokio::sync::mpsc::Receiver<String>,
    pub(super) folder: tempfile::TempDir,
    sent: u64,
}

impl Scene {
    pub(super) fn start(lanes: &[(Mode, Change)]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (alarm, alarmed): (Alarm, _) = alarm();
        let (mut entrances, mut queues, mut buffers, mut names) = (vec![], vec![], vec![], vec![]);
        for (index, (mode, change)) in lanes.iter().enumerate() {
            let name: Arc<str> = format!("lane{index}").into();
            let mut bounds = Bounds {
                batches_max: 4,
                memory_bytes_max: 64 << 10,
                disk_bytes_max: 1 << 20,
                folder: folder.path().join("overflow"),
                fails: false,
            };
            change(&mut bounds);
            let (sender, queue, buffer) = lane(Arc::clone(&name), bounds, &alarm, Arc::clone(&metrics));
            entrances.push((sender, *mode));
            queues.push(queue);
            buffers.push(buffer);
            names.push((name, LaneMark::at(OrderKey::EMPTY)));
        }
        let acks = Acks::new(names);
        let fanout = Fanout::new(Arc::clone(&acks), entrances.into_iter(), Arc::clone(&metrics));
        Scene { acks, fanout, queues, buffers, metrics, alarmed, folder, sent: 0 }
    }

    /// Sends the next number in a batch of so many bytes.
    pub(super) async fn send(&mut self, batch_bytes: usize) {
        let batch = Arc::new(numbered(self.sent, batch_bytes));
        assert_eq!(batch.len_bytes(), batch_bytes);
        self.sent += 1;
        self.fanout.send(batch, OrderKey::EMPTY, OrderKey::EMPTY).await.unwrap();
    }

    /// Sends as long as that does not wait, in a scene where nobody else does anything; how many were taken. The one that waits
    /// is given up.
    pub(super) async fn fill(&mut self, batch_bytes: usize) -> u64 {
        let mut taken = 0;
        while futures_util::poll!(std::pin::pin!(self.send(batch_bytes))).is_ready() {
            taken += 1;
        }
        taken
    }
}

/// A sink that takes and answers for everything, in order; how many there were when no more come.
pub(super) fn healthy(mut queue: Queue) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let mut got = 0;
        while let Some(delivery) = queue.recv().await {
            assert_eq!(number(&delivery.batch), got);
            got += 1;
            delivery.receipt.settle();
        }
        got
    })
}

/// Waits for something that nobody announces.
pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "waited for {what} in vain");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
