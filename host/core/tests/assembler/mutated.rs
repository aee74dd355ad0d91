//! Bytes that no server sends: never a panic, always an error or a valid batch.

use pgcdc_core::assembler::{Settings, ToastLimits};
use pgcdc_core::pgoutput::{Head, Message};
use proptest::prelude::*;

use crate::recorded::all;
use crate::support::{assembler, fold, settings};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutated_messages_never_panic(
        which: prop::sample::Index,
        at: prop::sample::Index,
        new in any::<[u8; 4]>(),
        len in 0_usize..=4,
        cut: Option<prop::sample::Index>,
    ) {
        let mut data = which.get(&all()).1.clone();
        let at = at.index(data.len());
        for (old, new) in data[at..].iter_mut().zip(&new[..len]) {
            *old = *new;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        if let Ok(message) = Message::decode(&data) {
            let mut again = Vec::new();
            message.encode(&mut again);
            prop_assert!(Message::decode(&again).is_ok());
        }
        if let Err(error) = Message::decode(&data) {
            prop_assert!(error.offset <= data.len());
        }
        let _ = Head::decode(&data);
    }

    #[test]
    fn arbitrary_bytes_never_panic(data: Vec<u8>) {
        let _ = Message::decode(&data);
        let _ = Head::decode(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Batches are checked by `fold`.
    #[test]
    fn a_mutated_stream_gives_an_error_or_valid_batches(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        dropped: Option<prop::sample::Index>,
    ) {
        let mut frames = all();
        for (which, at, new) in changes {
            let which = which.index(frames.len());
            let data = &mut frames[which].1;
            let at = at.index(data.len());
            data[at] = new;
        }
        if let Some(dropped) = dropped {
            frames.remove(dropped.index(frames.len()));
        }
        let toast_cache = Some(ToastLimits { entries_max: 4, bytes_max: 4_096 });
        let settings = Settings { schema_events: true, toast_cache, ..settings() };
        let _ = fold(&mut assembler(settings), &frames, || false);
    }
}
