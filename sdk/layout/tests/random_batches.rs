//! Random batches: what was written is what is read, and what is printed is what the slow model prints.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod slow;
mod support;

use pgcdc_layout::{View, json, rewrite};
use proptest::prelude::*;
use support::{model, values};

fn time(at_us: i64) -> String {
    let mut out = Vec::new();
    json::write_time(&mut out, at_us);
    String::from_utf8(out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(model in model()) {
        let bytes = model.bytes();
        let view = View::parse(&bytes).unwrap();
        prop_assert_eq!(view.event_count(), model.changes.len());
        prop_assert_eq!((view.flags(), view.detected_us()), (model.flags, model.detected_us));
        for (event, change) in view.events().zip(&model.changes) {
            let table = &model.tables[change.table];
            prop_assert_eq!((event.id(), event.key(), event.op()), (change.id, &change.key[..], change.op));
            prop_assert_eq!(event.channel(), &table.channel);
            let names: Vec<_> = event.relation().unwrap().columns().map(|column| column.name()).collect();
            prop_assert_eq!(names, table.columns.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>());
            prop_assert_eq!(values(event.after()), change.after.clone());
            prop_assert_eq!(values(event.before()), change.before.clone());
            let after = event.after();
            for (n, cell) in after.iter().flat_map(|row| row.iter()).enumerate() {
                prop_assert_eq!(after.unwrap().get(n), cell);
            }
        }
    }

    #[test]
    fn lines_are_those_of_the_slow_model(model in model()) {
        let bytes = model.bytes();
        let view = View::parse(&bytes).unwrap();
        let lines = json::lines(&view, json::LINES_BYTES_MAX).unwrap();
        let text = String::from_utf8(lines.bytes).unwrap();
        let mut start = 0;
        for (change, end) in model.changes.iter().zip(lines.ends) {
            let line = &text[start..end as usize];
            prop_assert_eq!(line, slow::line(&model, change, time) + "\n");
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{}", line);
            start = end as usize;
        }
        prop_assert_eq!(start, text.len());
    }

    #[test]
    fn a_limit_holds(model in model(), bytes_max in 0usize..2000) {
        let bytes = model.bytes();
        match json::lines(&View::parse(&bytes).unwrap(), bytes_max) {
            Ok(lines) => prop_assert!(lines.bytes.len() <= bytes_max),
            Err(error) => prop_assert!((error.event as usize) < model.changes.len()),
        }
    }

    #[test]
    fn a_subset_prints_the_same_lines(model in model(), mask in any::<u8>()) {
        let bytes = model.bytes();
        let view = View::parse(&bytes).unwrap();
        let all = json::lines(&view, usize::MAX).unwrap();
        let line = |n: u32| {
            let start = if n == 0 { 0 } else { all.ends[n as usize - 1] };
            &all.bytes[start as usize..all.ends[n as usize] as usize]
        };
        let indexes: Vec<u32> = (0..view.event_count() as u32).filter(|n| mask >> n & 1 == 1).collect();
        let subset = rewrite::select(&view, &indexes).unwrap();
        let lines = json::lines(&View::parse(&subset).unwrap(), usize::MAX).unwrap();
        prop_assert_eq!(lines.bytes, indexes.iter().map(|n| line(*n)).collect::<Vec<_>>().concat());
    }
}
