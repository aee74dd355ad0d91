//! Foreign bytes: refused or safe to read, never a panic, never an endless loop, never a line that is not
//! JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/read_all.rs"]
mod read_all;
mod support;

use pgcdc_layout::*;
use proptest::collection::vec;
use proptest::prelude::*;
use read_all::read_all;
use support::model;

fn check(bytes: &[u8]) {
    read_all(&View::of_valid(bytes));
    let _ = json::lines(&View::of_valid(bytes), 1 << 20);
    let Ok(view) = View::parse(bytes) else { return };
    read_all(&view);
    let lines = json::lines(&view, 1 << 20).unwrap();
    for line in String::from_utf8(lines.bytes).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let count = view.event_count() as u32;
    let again = rewrite::slice(&view, 1, count).unwrap();
    assert_eq!(View::parse(&again).unwrap().event_count() as u32, count.saturating_sub(1));
    let mut rewriter = rewrite::Rewriter::new(view, |_| rewrite::RelationPlan::default()).unwrap();
    for event in view.events() {
        rewriter.pass(&event).unwrap();
    }
    if let Some(mut output) = rewriter.finish() {
        stamp::stamp(&view, &mut output, |id, _| id).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated(model in model(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = model.bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn mutated_words(model in model(), at in any::<prop::sample::Index>(), word in 0u32..600) {
        let mut bytes = model.bytes();
        let at = at.index(bytes.len() / 4) * 4;
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        check(&bytes);
    }

    #[test]
    fn mutated_header(model in model(), at in 0usize..28, word in prop_oneof![0u32..2000, any::<u32>()]) {
        let mut bytes = model.bytes();
        bytes[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
        check(&bytes);
    }

    #[test]
    fn truncated(model in model(), len in any::<prop::sample::Index>()) {
        let mut bytes = model.bytes();
        bytes.truncate(len.index(bytes.len()));
        prop_assert!(View::parse(&bytes).is_err());
        check(&bytes);
        if bytes.len() >= 12 {
            let len = bytes.len() as u32;
            bytes[8..12].copy_from_slice(&len.to_le_bytes());
            check(&bytes);
        }
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn a_stamped_batch_is_that_of_its_input(
        model in model(),
        other in model(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let input = model.bytes();
        let input = View::parse(&input).unwrap();
        let mut output = other.bytes();
        for (at, byte) in changes {
            let at = at.index(output.len());
            output[at] = byte;
        }
        if stamp::stamp(&input, &mut output, |id, n| id.map(|byte| byte.wrapping_add(n as u8))).is_ok() {
            let output = View::parse(&output).unwrap();
            prop_assert_eq!((output.strand(), output.resume()), (input.strand(), input.resume()));
            prop_assert_eq!((output.source(), output.flags()), (input.source(), input.flags()));
            for event in output.events() {
                let parent = input.event(event.input()).unwrap();
                let (mut key, mut parents) = (Vec::new(), Vec::new());
                event.order_key(&mut key);
                parent.order_key(&mut parents);
                prop_assert_eq!(key, parents);
                prop_assert_eq!(event.seq(), parent.seq());
                prop_assert!(event.id() == parent.id() || event.derived() > 0);
            }
        }
    }
}
