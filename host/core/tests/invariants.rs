//! The invariants of `host/README.md` that the core alone can break, one test each, named after it. The simulator (`sim`) asserts
//! I1, I2, I3, I4 and I9 at every step of its runs; those that need a server or a sink are named in `host/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

#[allow(dead_code, reason = "shared with another test")]
#[path = "assembler/support.rs"]
mod support;

use pgcdc_core::acks::Acks;
use pgcdc_core::assembler::Settings;
use pgcdc_core::checkpoint::{LaneMark, PostgresIdentity};
use pgcdc_core::confirm::{HandedOn, Positions};
use pgcdc_core::error::{Action, Kind};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::{OrderKey, PostgresKey};
use pgcdc_core::owed::Owed;
use pgcdc_core::pgoutput::{Cell, Identity};
use pgcdc_core::resume::{Decision, ServerFacts, SlotFacts, Stored, decide};
use support::{Wire, assembler, fold, settings};

fn nothing() -> LaneMark {
    LaneMark::at(OrderKey::EMPTY)
}

/// Three rows of one record, then one more transaction.
fn wire() -> Wire {
    let mut wire = Wire::default();
    wire.begin(0x500, 7).table(1, "a", Identity::Default, &[("*id", 23)]);
    for id in [b"1", b"2", b"3"] {
        wire.insert(0x400, 1, &[Cell::Text(id)]);
    }
    wire.commit().begin(0x600, 8).insert(0x580, 1, &[Cell::Text(b"4")]).commit();
    wire
}

fn in_batches_of(batch_events: usize) -> support::Out {
    let settings = Settings { batch_events, ..settings() };
    fold(&mut assembler(settings), &wire().frames, || false).unwrap()
}

#[test]
fn i01_contiguous_ack() {
    let mut acks = Acks::new([("a".into(), nothing()), ("b".into(), nothing())]);
    let (mut handed, mut positions) = (HandedOn::default(), Positions::new(Lsn(10)));
    for n in 0..3 {
        positions.batch(Lsn(20 + n), true);
        acks.deliver(PostgresKey::row(Lsn(19 + n), Lsn(1), 1).to_order_key(), 1).unwrap();
        handed.handed_on(n, acks.delivered());
    }
    let mut storable = |acks: &Acks| positions.settled(handed.settled(acks.frontier()));
    for (lane, batch, expected) in [(0, 2, 10), (0, 0, 10), (1, 2, 10), (1, 1, 10), (1, 0, 20), (0, 1, 22)] {
        acks.settle(lane, batch).unwrap();
        assert_eq!(storable(&acks), Lsn(expected), "after lane {lane}, batch {batch}");
    }
}

#[test]
fn i02_one_confirmer_and_only_commit_ends() {
    let out = in_batches_of(1);
    let resumes: Vec<u64> = out.batches.iter().map(|batch| batch.resume.0).collect();
    assert!(resumes.iter().all(|resume| [1, 0x530, 0x630].contains(resume)), "{resumes:x?}");
    let mut positions = Positions::new(Lsn(1));
    for (n, batch) in out.batches.iter().filter(|batch| batch.events > 0).enumerate() {
        positions.batch(batch.resume, true);
        positions.settled(n as u64 + 1);
        assert_eq!(positions.status().confirmed, Lsn(1), "nothing but `stored` confirms");
    }
    positions.stored(Lsn(0x530));
    assert_eq!(positions.status().confirmed, Lsn(0x530));
}

#[test]
fn i03_skip_by_order_key() {
    let one_by_one = in_batches_of(1);
    let mark = LaneMark::at(one_by_one.batches[0].last_key);
    let whole = in_batches_of(100);
    let batch = &whole.batches[0];
    assert_eq!(mark.owed(&batch.first_key, &batch.last_key), Owed::Part);
    let owed = whole.events.iter().filter(|seen| !mark.covers(&seen.key)).count();
    assert_eq!(owed, 3, "the first three rows share an LSN, and one of them was had");
    let message = PostgresKey::message_outside(Lsn(0x500)).to_order_key();
    let had = LaneMark::at(message);
    assert!(whole.events.iter().all(|seen| !had.covers(&seen.key)), "a message shares the LSN of the commit");
}

#[test]
fn i04_a_position_is_bound_to_its_identity() {
    let identity = PostgresIdentity {
        system_identifier: 7,
        timeline: 1,
        database_oid: 5,
        database: "shop".into(),
        slot: "s".into(),
        publication_oid: 9,
        publication: "p".into(),
    };
    let stored = Stored { identity: identity.clone(), resume: Lsn(100), had: Lsn(100), reached: None };
    let slot = |confirmed| SlotFacts {
        confirmed: Some(Lsn(confirmed)),
        plugin: "pgoutput".into(),
        database_oid: 5,
        invalidated: None,
    };
    let start = |identity: &PostgresIdentity, confirmed| {
        let server = ServerFacts { identity: identity.clone(), end: Lsn(1_000), history: vec![] };
        decide(Some(&stored), Some(&slot(confirmed)), &server)
    };
    // The old position, also where the slot is behind it: never the greater of the two, never the slot's.
    assert_eq!(start(&identity, 40), Decision::Start { at: Lsn(100) });
    let halts = |identity: PostgresIdentity| matches!(start(&identity, 100), Decision::Halt(_));
    assert!(matches!(start(&identity, 101), Decision::Halt(_)));
    assert!(halts(PostgresIdentity { system_identifier: 8, ..identity.clone() }));
    assert!(halts(PostgresIdentity { timeline: 2, ..identity.clone() }));
    assert!(halts(PostgresIdentity { database_oid: 6, ..identity.clone() }));
    assert!(halts(PostgresIdentity { slot: "t".into(), ..identity.clone() }));
    assert!(halts(PostgresIdentity { publication_oid: 10, ..identity.clone() }));
    assert!(!halts(PostgresIdentity { publication: "renamed".into(), ..identity }));
}

#[test]
fn i09_stored_before_confirmed() {
    let mut positions = Positions::new(Lsn(10));
    positions.batch(Lsn(20), true);
    assert_eq!(positions.settled(1), Lsn(20));
    assert_eq!(positions.status().confirmed, Lsn(10), "settled is not stored");
    assert!(positions.stored(Lsn(20)));
    assert_eq!(positions.status().confirmed, Lsn(20));
}

#[test]
fn i10_unknown_is_tried_again_with_the_same_id() {
    assert_eq!(Kind::Timeout.policy().action, Action::Retry);
    assert_eq!(Kind::from_code("who-knows").policy().action, Action::Retry);
    let images = in_batches_of(1).images();
    assert_eq!(images, in_batches_of(3).images());
    assert_eq!(images, in_batches_of(100).images());
}

#[test]
fn i11_permanent_errors_stop() {
    for state in ["28P01", "28000", "42704", "55000", "58P01", "3D000", "42501"] {
        assert_eq!(Kind::from_sqlstate(state).policy().action, Action::Stop, "{state}");
    }
    for kind in [Kind::Denied, Kind::Unauthenticated, Kind::Misconfigured, Kind::Gone, Kind::Conflict] {
        assert_eq!(kind.policy().action, Action::Stop, "{kind:?}");
    }
}
