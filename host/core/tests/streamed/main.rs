//! Transactions in pieces against a server that makes them up: whatever is interleaved, rolled back or described anew, what
//! comes out is what comes out of the same history sent whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

mod driver;
mod server;
#[path = "../assembler/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the assembler")]
mod support;

use proptest::prelude::*;

use crate::driver::{in_pieces, whole};
use crate::server::{Act, Mode, histories};
use crate::support::{Out, settings};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_comes_in_pieces_comes_out_whole(acts in histories(), tx_markers: bool) {
        let settings = pgcdc_core::assembler::Settings { max_event_bytes: 1_024, tx_markers, ..settings() };
        let expected = whole(&server::send(&acts, Mode::Whole), settings.clone());
        let out = in_pieces(&server::send(&acts, Mode::Pieces), settings);
        prop_assert!(out.ascends());
        prop_assert_eq!(&out.events, &expected.events);
        let refused = |out: &Out| -> Vec<_> {
            out.refused.iter().map(|refused| (refused.key, refused.id, refused.reason.to_string())).collect()
        };
        prop_assert_eq!(refused(&out), refused(&expected));
        prop_assert_eq!(out.batches.last().map(|b| b.resume), expected.batches.last().map(|b| b.resume));
    }

    /// A row that does not have the columns of its table's description is an error.
    #[test]
    fn rows_find_their_description_though_others_change_the_table_without_a_lock(acts in histories()) {
        let acts: Vec<Act> = acts.into_iter().map(Act::without_lock).collect();
        let expected = whole(&server::send(&acts, Mode::Whole), settings());
        let out = in_pieces(&server::send(&acts, Mode::Pieces), settings());
        prop_assert_eq!(out.images(), expected.images());
    }

    /// Bytes of the stream changed, left out or swapped: an error or batches, never a panic.
    #[test]
    fn a_mutated_stream_never_panics(
        acts in histories(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..4),
        swap in any::<(prop::sample::Index, prop::sample::Index)>(),
        dropped: Option<prop::sample::Index>,
    ) {
        let mut frames = server::send(&acts, Mode::Pieces);
        prop_assume!(!frames.is_empty());
        for (which, at, new) in changes {
            let which = which.index(frames.len());
            let data = &mut frames[which].1;
            let at = at.index(data.len());
            data[at] = new;
        }
        let (a, b) = (swap.0.index(frames.len()), swap.1.index(frames.len()));
        frames.swap(a, b);
        if let Some(dropped) = dropped {
            frames.remove(dropped.index(frames.len()));
        }
        let _ = driver::try_in_pieces(&frames, settings(), false);
    }
}
