//! What is filled in from memory is what the row has, whatever came before; and it is bounded.

use std::collections::BTreeMap;

use pgcdc_core::assembler::{Assembler, Settings, ToastCounts, ToastLimits};
use pgcdc_core::pgoutput::{Cell, Identity};
use pgcdc_layout::Op;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Out, Wire, assembler, fold, settings};

const COLUMNS: &[(&str, u32)] = &[("*id", 23), ("title", 23), ("body", 25)];
const BODY: &str = "a body that is long enough to be stored out of line";

fn remembering(entries_max: usize, bytes_max: usize) -> Settings {
    Settings {
        toast_cache: Some(ToastLimits { entries_max, bytes_max }),
        max_event_bytes: 1_024,
        ..settings()
    }
}

fn plenty() -> Settings {
    remembering(1_000, 1 << 20)
}

fn text(value: &str) -> Cell<'_> {
    Cell::Text(value.as_bytes())
}

/// Transactions of one change each.
#[derive(Default)]
struct Story {
    wire: Wire,
    lsn: u64,
}

impl Story {
    fn told(identity: Identity) -> Story {
        let mut story = Story { lsn: 0x1000, ..Story::default() };
        story.describe(identity);
        story
    }

    fn describe(&mut self, identity: Identity) {
        self.step(|wire, _| {
            wire.table(1, "docs", identity, COLUMNS);
        });
    }

    fn step(&mut self, change: impl FnOnce(&mut Wire, u64)) {
        self.lsn += 0x100;
        self.wire.begin(self.lsn + 0x40, 1);
        change(&mut self.wire, self.lsn);
        self.wire.commit();
    }

    fn insert(&mut self, id: &str, body: &str) {
        self.step(|wire, lsn| {
            wire.insert(lsn, 1, &[text(id), text("0"), text(body)]);
        });
    }

    fn update(&mut self, id: &str, body: Cell<'_>) {
        self.step(|wire, lsn| {
            wire.change(lsn, b'U', 1, &[(b'N', &[text(id), text("1"), body])]);
        });
    }

    fn rekey(&mut self, from: &str, to: &str, body: Cell<'_>) {
        self.step(|wire, lsn| {
            let old = [text(from), Cell::Null, Cell::Null];
            wire.change(lsn, b'U', 1, &[(b'K', &old), (b'N', &[text(to), text("1"), body])]);
        });
    }

    fn delete(&mut self, id: &str) {
        self.step(|wire, lsn| {
            wire.change(lsn, b'D', 1, &[(b'K', &[text(id), Cell::Null, Cell::Null])]);
        });
    }

    fn truncate(&mut self) {
        self.step(|wire, lsn| {
            wire.truncate(lsn, &[1]);
        });
    }

    fn run(&self, settings: Settings) -> (Out, ToastCounts) {
        let mut assembler: Assembler = assembler(settings);
        let out = fold(&mut assembler, &self.wire.frames, || false).unwrap();
        let counts = assembler.toast_counts().unwrap_or_default();
        (out, counts)
    }

    /// The bodies that the updates show; null: none, and it is named as unchanged.
    fn bodies(&self) -> Vec<Value> {
        bodies(&self.run(plenty()).0)
    }
}

fn bodies(out: &Out) -> Vec<Value> {
    let updates = out.events.iter().filter(|seen| seen.op == Op::Update);
    updates
        .map(|seen| {
            let payload = &seen.json["payload"];
            let missing = payload["_unchanged_toast_columns"] == json!(["body"]);
            assert_eq!(payload["row"].get("body").is_none(), missing, "{payload}");
            payload["row"].get("body").cloned().unwrap_or_default()
        })
        .collect()
}

#[test]
fn an_unchanged_value_is_filled_in_and_the_id_is_the_same() {
    let mut story = Story::told(Identity::Default);
    story.insert("1", BODY);
    story.update("1", Cell::Unchanged);
    story.update("1", Cell::Unchanged);
    let (out, counts) = story.run(plenty());
    assert_eq!(bodies(&out), [json!(BODY), json!(BODY)]);
    assert_eq!((counts.hits, counts.misses, counts.entries), (2, 0, 1));
    let (plain, _) = story.run(Settings { toast_cache: None, ..plenty() });
    assert_eq!(bodies(&plain), [json!(null), json!(null)]);
    assert_eq!(plain.images(), out.images());
}

#[test]
fn a_value_that_is_not_known_is_never_kept_as_null() {
    let mut story = Story::told(Identity::Default);
    story.update("1", Cell::Unchanged);
    story.update("1", Cell::Unchanged);
    story.update("1", text(BODY));
    story.update("1", Cell::Unchanged);
    story.update("1", Cell::Null);
    story.update("1", Cell::Unchanged);
    let (out, counts) = story.run(plenty());
    let null = json!(null);
    assert_eq!(bodies(&out)[..2], [null.clone(), null.clone()]);
    assert_eq!(bodies(&out)[3], json!(BODY));
    assert_eq!(bodies(&out)[5], null);
    assert_eq!((counts.hits, counts.misses), (1, 3));
}

#[test]
fn a_changed_key_takes_the_values_along_and_leaves_nothing_behind() {
    let mut story = Story::told(Identity::Default);
    story.insert("1", BODY);
    story.rekey("1", "2", Cell::Unchanged);
    story.update("2", Cell::Unchanged);
    // Another row under the old key, of which nothing is known.
    story.update("1", Cell::Unchanged);
    assert_eq!(story.bodies(), [json!(BODY), json!(BODY), json!(null)]);
}

#[test]
fn what_was_deleted_truncated_or_described_anew_is_forgotten() {
    let ends: [fn(&mut Story); 3] =
        [|story| story.delete("1"), Story::truncate, |story| story.describe(Identity::Default)];
    for end in ends {
        let mut story = Story::told(Identity::Default);
        story.insert("1", BODY);
        end(&mut story);
        story.update("1", Cell::Unchanged);
        assert_eq!(story.bodies(), [json!(null)]);
    }
}

#[test]
fn an_insert_replaces_whatever_was_there() {
    let mut story = Story::told(Identity::Default);
    story.insert("1", BODY);
    story.insert("1", "short");
    story.update("1", Cell::Unchanged);
    assert_eq!(story.bodies(), [json!(null)]);
}

#[test]
fn a_row_that_was_refused_is_not_filled_in_from_before_it() {
    let large = "x".repeat(2_000);
    let mut story = Story::told(Identity::Default);
    story.insert("1", BODY);
    story.insert("2", BODY);
    story.update("1", text(&large));
    story.update("1", Cell::Unchanged);
    let (out, _) = story.run(plenty());
    assert_eq!((out.refused.len(), bodies(&out)), (1, vec![json!(null)]));

    let mut story = Story::told(Identity::Default);
    story.insert("1", BODY);
    story.update("1", Cell::Text(&[b'x', 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]));
    story.update("1", Cell::Unchanged);
    let (out, _) = story.run(plenty());
    assert_eq!((out.refused.len(), bodies(&out)), (1, vec![json!(null)]));
}

#[test]
fn rows_without_a_key_of_their_own_are_not_kept() {
    for identity in [Identity::Nothing, Identity::Full] {
        let mut story = Story::told(identity);
        story.insert("1", BODY);
        let (_, counts) = story.run(plenty());
        assert_eq!((counts.entries, counts.bytes), (0, 0), "{identity:?}");
    }
}

#[test]
fn a_part_of_the_key_that_was_not_sent_is_in_the_old_key() {
    let mut wire = Wire::default();
    wire.begin(0x500, 1).table(1, "t", Identity::Default, &[("*id", 25), ("n", 23), ("*name", 25)]);
    let (old, new) = ([text("a"), Cell::Null, text(BODY)], [text("b"), text("1"), Cell::Unchanged]);
    wire.change(0x400, b'U', 1, &[(b'K', &old), (b'N', &new)]);
    let out = fold(&mut assembler(settings()), &wire.commit().frames, || false).unwrap();
    assert_eq!(out.events[0].json["payload"]["row"], json!({"id": "b", "n": 1, "name": BODY}));
}

#[test]
fn what_is_known_in_part_is_filled_in_part_and_counts_as_a_miss() {
    let mut wire = Wire::default();
    wire.begin(0x500, 1).table(1, "t", Identity::Default, &[("*id", 23), ("a", 25), ("b", 25)]);
    let update = |wire: &mut Wire, lsn, a, b| {
        wire.change(lsn, b'U', 1, &[(b'N', &[text("1"), a, b])]);
    };
    update(&mut wire, 0x400, text(BODY), Cell::Unchanged);
    update(&mut wire, 0x410, Cell::Unchanged, Cell::Unchanged);
    update(&mut wire, 0x420, Cell::Unchanged, text("another body, as long as that"));
    update(&mut wire, 0x430, Cell::Unchanged, Cell::Unchanged);
    let mut assembler = assembler(plenty());
    let out = fold(&mut assembler, &wire.commit().frames, || false).unwrap();
    let rows: Vec<&Value> = out.events.iter().map(|seen| &seen.json["payload"]["row"]).collect();
    assert_eq!(rows[1], &json!({"id": 1, "a": BODY}));
    assert_eq!(out.events[1].json["payload"]["_unchanged_toast_columns"], json!(["b"]));
    assert_eq!(rows[3], &json!({"id": 1, "a": BODY, "b": "another body, as long as that"}));
    let counts = assembler.toast_counts().unwrap();
    assert_eq!((counts.hits, counts.misses, counts.entries), (2, 2, 1));
}

#[test]
fn no_more_is_kept_than_was_allowed_and_the_oldest_goes_first() {
    let mut story = Story::told(Identity::Default);
    for id in ["1", "2", "3"] {
        story.insert(id, BODY);
    }
    story.update("1", Cell::Unchanged);
    story.insert("4", BODY);
    for id in ["1", "2", "3", "4"] {
        story.update(id, Cell::Unchanged);
    }
    let (out, counts) = story.run(remembering(3, 1 << 20));
    assert_eq!(bodies(&out), [json!(BODY), json!(BODY), json!(null), json!(BODY), json!(BODY)]);
    assert_eq!((counts.evictions, counts.entries), (1, 3));
    let (_, counts) = story.run(remembering(100, 600));
    assert!(counts.bytes <= 600 && counts.entries == 2 && counts.evictions == 2, "{counts:?}");
    let (_, counts) = story.run(remembering(100, 100));
    assert_eq!((counts.entries, counts.bytes), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, String),
    Title(u8),
    Body(u8, String),
    Null(u8),
    Rekey(u8, u8),
    Delete(u8),
    Truncate,
    Describe,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..4_u8;
    let body = prop_oneof![4 => "[a-z]{12,40}", 1 => "[a-z]{1,9}", 1 => "[a-z]{1100}"];
    prop_oneof![
        4 => (id.clone(), body.clone()).prop_map(|(id, body)| Step::Insert(id, body)),
        6 => id.clone().prop_map(Step::Title),
        2 => (id.clone(), body).prop_map(|(id, body)| Step::Body(id, body)),
        1 => id.clone().prop_map(Step::Null),
        1 => (id.clone(), id.clone()).prop_map(|(from, to)| Step::Rekey(from, to)),
        1 => id.prop_map(Step::Delete),
        1 => Just(Step::Truncate),
        1 => Just(Step::Describe),
    ]
}

/// Plays the steps that make sense on a table, and writes what a server would send of them.
fn play(steps: &[Step]) -> (Story, Vec<Option<String>>) {
    let mut story = Story::told(Identity::Default);
    let mut table: BTreeMap<u8, Option<String>> = BTreeMap::new();
    let mut truth = Vec::new();
    // What is short is in the row and sent whenever that is.
    fn cell(body: &Option<String>) -> Cell<'_> {
        match body {
            None => Cell::Null,
            Some(body) if body.len() < 12 => text(body),
            Some(_) => Cell::Unchanged,
        }
    }
    for step in steps {
        match step {
            Step::Insert(id, body) if !table.contains_key(id) => {
                story.insert(&id.to_string(), body);
                table.insert(*id, Some(body.clone()));
            }
            Step::Title(id) => {
                let Some(body) = table.get(id) else { continue };
                story.update(&id.to_string(), cell(body));
                truth.push(body.clone());
            }
            Step::Body(id, new) => {
                let Some(body) = table.get_mut(id) else { continue };
                story.update(&id.to_string(), text(new));
                *body = Some(new.clone());
                // Of more than `max_event_bytes` no event is made.
                if new.len() < 1_000 {
                    truth.push(body.clone());
                }
            }
            Step::Null(id) => {
                let Some(body) = table.get_mut(id) else { continue };
                story.update(&id.to_string(), Cell::Null);
                *body = None;
                truth.push(None);
            }
            Step::Rekey(from, to) if !table.contains_key(to) => {
                let Some(body) = table.remove(from) else { continue };
                story.rekey(&from.to_string(), &to.to_string(), cell(&body));
                truth.push(body.clone());
                table.insert(*to, body);
            }
            Step::Delete(id) if table.remove(id).is_some() => story.delete(&id.to_string()),
            Step::Truncate => {
                story.truncate();
                table.clear();
            }
            Step::Describe => story.describe(Identity::Default),
            _ => {}
        }
    }
    (story, truth)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_filled_in_is_true(
        steps in prop::collection::vec(step(), 0..60),
        entries_max in 1_usize..6,
        bytes_max in 100_usize..2_000,
    ) {
        let (story, truth) = play(&steps);
        let (out, counts) = story.run(remembering(entries_max, bytes_max));
        let updates: Vec<_> = out.events.iter().filter(|seen| seen.op == Op::Update).collect();
        prop_assert_eq!(updates.len(), truth.len());
        for (seen, body) in updates.iter().zip(&truth) {
            let payload = &seen.json["payload"];
            if let Some(shown) = payload["row"].get("body") {
                prop_assert_eq!(shown, &json!(body));
            } else {
                prop_assert_eq!(&payload["_unchanged_toast_columns"], &json!(["body"]));
            }
        }
        prop_assert!(counts.entries <= entries_max && counts.bytes <= bytes_max);
        let (plain, _) = story.run(Settings { toast_cache: None, ..plenty() });
        prop_assert_eq!(plain.images(), out.images());
    }
}
