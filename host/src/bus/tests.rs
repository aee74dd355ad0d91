use std::sync::Arc;

use pgcdc_core::order_key::OrderKey;

use super::samples::{Scene, healthy, number, until};
use super::*;
use crate::batch::Batch;

fn small(bounds: &mut Bounds) {
    (bounds.memory_bytes_max, bounds.batches_max, bounds.disk_bytes_max) = (10_000, 1_000, 0);
}

fn overflowing(bounds: &mut Bounds) {
    (bounds.memory_bytes_max, bounds.batches_max) = (10_000, 1_000);
}

async fn next(queue: &mut Queue) -> (u64, Delivery) {
    let delivery = queue.recv().await.unwrap();
    (number(&delivery.batch), delivery)
}

fn answer(delivery: Delivery) {
    delivery.receipt.settle();
}

#[test]
fn the_lanes_together_never_have_more_than_the_budget() {
    for budget in [1, 7, 4_096, 1 << 20, 32 << 20, 1 << 40] {
        for lanes in 1..50_usize {
            let share = u64::from(share_bytes(budget, lanes));
            assert!(share * lanes as u64 <= budget || share == 1, "{budget} for {lanes}");
            let exact = budget / (lanes as u64).max(4);
            assert!(share == exact.max(1) || exact > u64::from(u32::MAX / 8), "{budget} for {lanes}");
        }
    }
}

#[tokio::test]
async fn as_much_is_in_flight_as_arithmetic_says() {
    for (batch_bytes, lanes) in [(504, 1), (512, 1), (1_000, 2), (3_336, 1), (5_000, 3), (10_000, 2)] {
        let mut scene = Scene::start(&vec![(Mode::Reliable, small as fn(&mut Bounds)); lanes]);
        let fit = 10_000 / batch_bytes as u64;
        assert_eq!(scene.fill(batch_bytes).await, fit, "batches of {batch_bytes}");
        for buffer in &scene.buffers {
            assert_eq!(buffer.memory_bytes(), fit * batch_bytes as u64);
        }
        // What the sink has taken counts until it is answered.
        let (_, in_flight) = next(&mut scene.queues[0]).await;
        assert_eq!(scene.buffers[0].memory_bytes(), fit * batch_bytes as u64);
        answer(in_flight);
        assert_eq!(scene.buffers[0].memory_bytes(), (fit - 1) * batch_bytes as u64);
    }
}

#[tokio::test]
async fn a_queue_is_bounded_in_batches_too() {
    let mut scene = Scene::start(&[(Mode::Reliable, |bounds| bounds.disk_bytes_max = 0)]);
    assert_eq!(scene.fill(504).await, 4);
    let (_, in_flight) = next(&mut scene.queues[0]).await;
    assert_eq!(scene.fill(504).await, 1);
    answer(in_flight);
}

#[tokio::test]
async fn a_batch_larger_than_the_share_passes_alone() {
    let mut scene = Scene::start(&[(Mode::Reliable, small)]);
    scene.send(20_000).await;
    assert_eq!(scene.fill(504).await, 0);
    answer(next(&mut scene.queues[0]).await.1);
    scene.send(504).await;
    assert_eq!(scene.fill(20_000).await, 0, "it is alone or not at all");
}

#[tokio::test]
async fn a_full_lane_has_those_behind_it_served_first() {
    let mut scene = Scene::start(&[(Mode::Reliable, small), (Mode::Reliable, small)]);
    assert_eq!(scene.fill(5_000).await, 2);
    for _ in 0..3 {
        answer(next(&mut scene.queues[1]).await.1);
        // Of this one the first lane has no room, and nothing to put it aside; the second has it.
        assert_eq!(scene.fill(5_000).await, 0);
        assert_eq!(scene.buffers[1].memory_bytes(), 10_000);
    }
    assert_eq!(scene.buffers[0].memory_bytes(), 10_000);
}

#[tokio::test]
async fn a_stuck_lane_holds_nobody_up_and_gets_everything_in_order_later() {
    let mut scene = Scene::start(&[(Mode::Reliable, overflowing), (Mode::Reliable, overflowing)]);
    healthy(scene.queues.remove(1));
    for _ in 0..600 {
        scene.send(1_000).await;
        assert!(scene.buffers[0].memory_bytes() <= 10_000, "its share and no more");
    }
    until("the other to have everything", || scene.acks.open(1) == 0).await;
    assert_eq!(scene.acks.standing().frontier, 0);
    // Seven batches, and what is promised to the block that is to be read.
    until("all of it to be on the disk", || scene.buffers[0].memory_bytes() == 7_500).await;
    assert!(scene.buffers[0].disk_bytes() > 590_000);
    for n in 0..600 {
        let (got, delivery) = next(&mut scene.queues[0]).await;
        assert_eq!(got, n);
        answer(delivery);
        assert!(scene.buffers[0].memory_bytes() <= 10_000, "its share and no more");
    }
    until("the disk to be free", || scene.buffers[0].disk_bytes() == 0).await;
    assert_eq!(std::fs::read_dir(scene.folder.path().join("overflow")).unwrap().count(), 0);
    assert_eq!((scene.acks.standing().frontier, scene.buffers[0].memory_bytes()), (600, 0));
    assert!(scene.metrics.text().contains("pgcdc_overflow_events_total{adapter=\"lane0\"} 59"));
    // And in memory again.
    scene.send(1_000).await;
    assert_eq!((scene.buffers[0].memory_bytes(), scene.buffers[0].disk_bytes()), (1_000, 0));
}

#[tokio::test]
async fn refused_changes_come_back_from_the_disk() {
    let mut scene = Scene::start(&[(Mode::Reliable, overflowing), (Mode::Reliable, overflowing)]);
    let batch = Arc::new(samples::with_refused(7, 6_000));
    for _ in 0..3 {
        let (send, other) = (
            scene.fanout.send(Arc::clone(&batch), OrderKey::EMPTY, OrderKey::EMPTY),
            next(&mut scene.queues[1]),
        );
        let (sent, (_, other)) = tokio::join!(send, other);
        sent.unwrap();
        answer(other);
    }
    for _ in 0..3 {
        let (_, delivery) = next(&mut scene.queues[0]).await;
        assert_eq!(delivery.batch.bytes(), batch.bytes());
        let refused = |batch: &Batch| batch.origin().unwrap().refused.clone();
        assert_eq!(refused(&delivery.batch), refused(&batch));
        answer(delivery);
    }
    assert_eq!(scene.acks.standing().frontier, 3);
}

#[tokio::test]
async fn a_lane_is_waited_for_while_the_others_have_work() {
    let mut scene = Scene::start(&[(Mode::Reliable, overflowing), (Mode::Reliable, overflowing)]);
    assert_eq!(scene.fill(2_500).await, 3, "both are full: the source waits");
    assert_eq!(scene.buffers[0].disk_bytes(), 0);
    answer(next(&mut scene.queues[1]).await.1);
    assert_eq!(scene.fill(2_500).await, 0, "one has room, and two to go on with");
    assert_eq!((scene.buffers[0].memory_bytes(), scene.buffers[0].disk_bytes()), (7_500, 0));
}

#[tokio::test]
async fn a_full_overflow_holds_the_source_back_and_says_so() {
    let full = |bounds: &mut Bounds| {
        overflowing(bounds);
        bounds.disk_bytes_max = 20_000;
    };
    let mut scene = Scene::start(&[(Mode::Reliable, full), (Mode::Reliable, overflowing)]);
    let other = healthy(scene.queues.remove(1));
    let mut stuck = scene.queues.remove(0);
    let buffer = Arc::clone(&scene.buffers[0]);
    let source = tokio::spawn(async move {
        for _ in 0..100 {
            scene.send(1_000).await;
        }
        scene.acks
    });
    until("the overflow to be full", || buffer.stuck().is_some()).await;
    assert!(!source.is_finished());
    let said = buffer.stuck().unwrap();
    assert!(said.contains("overflow is full") && said.contains("of 20000 bytes"), "{said}");
    assert!(buffer.disk_bytes() <= 20_000);
    for n in 0..100 {
        let (got, delivery) = next(&mut stuck).await;
        assert_eq!(got, n);
        answer(delivery);
    }
    assert_eq!(source.await.unwrap().standing().frontier, 100);
    assert_eq!(other.await.unwrap(), 100);
    assert_eq!(buffer.stuck(), None);
}

#[tokio::test]
async fn an_overflow_that_cannot_be_written_loses_nothing() {
    let mut scene = Scene::start(&[(Mode::Reliable, overflowing), (Mode::Reliable, overflowing)]);
    healthy(scene.queues.remove(1));
    std::fs::write(scene.folder.path().join("overflow"), "in the way").unwrap();
    for _ in 0..8 {
        scene.send(1_000).await;
    }
    until("the failure to be said", || scene.buffers[0].stuck().is_some()).await;
    assert!(scene.buffers[0].stuck().unwrap().contains("cannot be written"));
    std::fs::remove_file(scene.folder.path().join("overflow")).unwrap();
    for _ in 8..20 {
        scene.send(1_000).await;
    }
    for n in 0..20 {
        let (got, delivery) = next(&mut scene.queues[0]).await;
        assert_eq!(got, n);
        answer(delivery);
    }
    until("the other to have everything", || scene.acks.standing().frontier == 20).await;
}

#[tokio::test]
async fn a_damaged_overflow_ends_the_process_and_delivers_nothing_of_it() {
    let mut scene = Scene::start(&[(Mode::Reliable, overflowing), (Mode::Reliable, overflowing)]);
    healthy(scene.queues.remove(1));
    for _ in 0..12 {
        scene.send(1_000).await;
    }
    until("five on the disk", || scene.buffers[0].memory_bytes() == 7_500).await;
    let folder = scene.folder.path().join("overflow");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    for n in 0..7 {
        let (got, delivery) = next(&mut scene.queues[0]).await;
        assert_eq!(got, n);
        answer(delivery);
    }
    let said = scene.alarmed.recv().await.unwrap();
    assert!(said.starts_with("sinks.lane0: its overflow is damaged") && said.contains("checksum"), "{said}");
    assert!(scene.queues[0].try_recv().is_err());
    assert_eq!(scene.acks.standing().frontier, 7, "the other has all of it");
}

#[tokio::test]
async fn shedding_loses_counts_and_answers() {
    let mut scene = Scene::start(&[(Mode::Fast, small), (Mode::Reliable, overflowing)]);
    healthy(scene.queues.remove(1));
    for _ in 0..30 {
        scene.send(1_000).await;
    }
    assert!(scene.metrics.text().contains("pgcdc_events_dropped_total{adapter=\"lane0\"} 20"));
    for n in 0..10 {
        let (got, delivery) = next(&mut scene.queues[0]).await;
        assert_eq!(got, n);
        answer(delivery);
    }
    until("the other to have everything", || scene.acks.standing().frontier == 30).await;
}

#[tokio::test]
async fn failing_raises_the_alarm_and_waits_for_the_end() {
    let fails = |bounds: &mut Bounds| {
        small(bounds);
        bounds.fails = true;
    };
    let mut scene = Scene::start(&[(Mode::Reliable, fails)]);
    assert_eq!(scene.fill(1_000).await, 10);
    let said = scene.alarmed.recv().await.unwrap();
    assert!(said.starts_with("sinks.lane0: its queue is full and on_full is `fail`"), "{said}");
}

#[tokio::test]
async fn failing_comes_after_the_overflow() {
    let fails = |bounds: &mut Bounds| {
        overflowing(bounds);
        (bounds.fails, bounds.disk_bytes_max) = (true, 5_000);
    };
    let mut scene = Scene::start(&[(Mode::Reliable, fails)]);
    for _ in 0..11 {
        scene.send(1_000).await;
    }
    assert!(scene.alarmed.try_recv().is_err());
    let buffer = Arc::clone(&scene.buffers[0]);
    let (_, quiet) = tokio::sync::mpsc::channel(1);
    let mut alarmed = std::mem::replace(&mut scene.alarmed, quiet);
    until("four on the disk", || buffer.memory_bytes() == 7_500).await;
    let said = tokio::select! {
        () = async { loop { scene.send(1_000).await } } => unreachable!(),
        said = alarmed.recv() => said.unwrap(),
    };
    assert!(said.contains("its overflow is full") && said.contains("on_full is `fail`"), "{said}");
}

#[tokio::test]
async fn a_lane_too_many_batches_behind_holds_the_source_back_and_breaks_nothing() {
    const OPEN_MAX: u64 = 1 << 20;
    let acks = crate::ack::Acks::new(vec![
        ("a".into(), crate::source::NOTHING),
        ("b".into(), crate::source::NOTHING),
    ]);
    let mut first = acks.deliver(OrderKey::EMPTY, 1).unwrap();
    for _ in 1..OPEN_MAX {
        acks.deliver(OrderKey::EMPTY, 1).unwrap().remove(0).settle();
    }
    first.remove(0).settle();
    assert!(matches!(acks.deliver(OrderKey::EMPTY, 1), Err(pgcdc_core::tracker::Refused::Full { .. })));
    first.remove(0).settle();
    assert_eq!(acks.deliver(OrderKey::EMPTY, 1).unwrap().len(), 2, "refused for one is refused for all");
}
