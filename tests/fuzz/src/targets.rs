//! One function a parser. A target returns if the bytes were refused in order, or taken and found to be what they say;
//! everything else is a panic.

use std::path::PathBuf;

use pgcdc_core::assembler::{Assembler, Fed, Settings, ToastLimits};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::checkpoint::Checkpoint;
use pgcdc_core::id::Origin;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::pgoutput::stream::{Bracket, Within};
use pgcdc_core::pgoutput::{Head, Message};
use pgcdc_layout::{View, json, rewrite, stamp};

use crate::host::manifest::parse::Format;
use crate::host::manifest::{Description, parse, print, quantity};
use crate::host::postgres::params::Params;
use crate::read_all::read_all;

/// A parser under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// As in `libfuzzer/targets`, and as the folder of its corpus.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
#[must_use]
pub fn all() -> [Target; 10] {
    [
        Target { name: "layout", run: layout },
        Target { name: "stamp", run: stamped },
        Target { name: "pgoutput", run: pgoutput },
        Target { name: "stream", run: stream },
        Target { name: "checkpoint", run: checkpoint },
        Target { name: "manifest_yaml", run: |bytes| manifest(bytes, Format::Yaml) },
        Target { name: "manifest_toml", run: |bytes| manifest(bytes, Format::Toml) },
        Target { name: "description", run: description },
        Target { name: "conninfo", run: conninfo },
        Target { name: "quantity", run: quantities },
    ]
}

/// Runs the target of that name, which there is.
pub fn run(name: &str, bytes: &[u8]) {
    let target = all().into_iter().find(|target| target.name == name);
    assert!(target.is_some(), "there is no target {name}");
    if let Some(target) = target {
        (target.run)(bytes);
    }
}

/// A batch from a guest.
fn layout(bytes: &[u8]) {
    read_all(&View::of_valid(bytes));
    let _ = json::lines(&View::of_valid(bytes), 1 << 20);
    let Ok(view) = View::parse(bytes) else { return };
    read_all(&view);
    if let Ok(lines) = json::lines(&view, 1 << 20) {
        let mut count = 0;
        for line in lines.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let read: Result<serde_json::Value, _> = serde_json::from_slice(line);
            assert!(read.is_ok(), "a line is no JSON");
            count += 1;
        }
        assert_eq!(count, view.event_count(), "one line an event");
    }
    let count = u32::try_from(view.event_count()).unwrap_or(u32::MAX);
    if let Ok(again) = rewrite::slice(&view, 1, count) {
        let again = View::parse(&again).map(|view| view.event_count());
        assert_eq!(again, Ok(view.event_count().saturating_sub(1)), "a slice is a batch");
    }
    let Ok(mut rewriter) = rewrite::Rewriter::new(view, |_| rewrite::RelationPlan::default()) else { return };
    let all_pass = view.events().all(|event| rewriter.pass(&event).is_ok());
    if let (true, Some(output)) = (all_pass, rewriter.finish()) {
        assert!(View::parse(&output).is_ok(), "what a rewriter makes is a batch");
    }
}

/// A transform's input and its output: the length of the first in two bytes, then both.
fn stamped(bytes: &[u8]) {
    let Some((input, output)) = split(bytes) else { return };
    let Ok(input) = View::parse(input) else { return };
    let mut output = output.to_vec();
    let id = |id: [u8; 16], n| id.map(|byte| byte.wrapping_add(u8::try_from(n % 251).unwrap_or(0)));
    if stamp::stamp(&input, &mut output, id).is_err() {
        return;
    }
    let output = View::parse(&output);
    assert!(output.is_ok(), "what was stamped is a batch");
    let Ok(output) = output else { return };
    assert_eq!((output.strand(), output.resume()), (input.strand(), input.resume()));
    for event in output.events() {
        let parent = input.event(event.input());
        assert!(parent.is_some(), "an event has a parent");
        let Some(parent) = parent else { continue };
        let (mut own, mut parents) = (Vec::new(), Vec::new());
        event.order_key(&mut own);
        parent.order_key(&mut parents);
        assert_eq!(own, parents, "an event keeps its parent's place");
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// A message of the server's.
fn pgoutput(bytes: &[u8]) {
    let _ = Head::decode(bytes);
    let _ = Within::read(bytes);
    if let Ok(Some(bracket)) = Bracket::decode(bytes) {
        let mut again = Vec::new();
        bracket.encode(&mut again);
        assert_eq!(again, bytes, "what is around a piece is told again byte for byte");
    }
    match Message::decode(bytes) {
        Ok(message) => {
            let mut again = Vec::new();
            message.encode(&mut again);
            assert!(Message::decode(&again).is_ok(), "what was decoded can be told again");
        }
        Err(malformed) => assert!(malformed.offset <= bytes.len(), "an offset lies inside"),
    }
}

/// Messages after each other: the frame's LSN in eight bytes, the length in two, the message.
fn stream(mut bytes: &[u8]) {
    let mut settings = Settings::new(Origin { system_identifier: 7, database_oid: 5 });
    settings.schema_events = true;
    settings.toast_cache = Some(ToastLimits { entries_max: 4, bytes_max: 4_096 });
    let Ok(mut assembler) = Assembler::new(settings, TypeCatalog::new(), Lsn(1)) else { return };
    while let Some((lsn, rest)) = bytes.split_first_chunk::<8>() {
        let Some((message, rest)) = split(rest) else { break };
        bytes = rest;
        loop {
            match assembler.feed(Lsn(u64::from_be_bytes(*lsn)), message, 0) {
                Ok(Fed::Taken) => break,
                Ok(Fed::NeedTypes(oids)) => assembler.learn_types(&oids, Vec::new()),
                Ok(Fed::Full) => taken(&mut assembler),
                // The session ends with the first error.
                Err(_) => return,
            }
        }
        if assembler.is_full() {
            taken(&mut assembler);
        }
    }
    taken(&mut assembler);
    assert!(assembler.is_empty(), "nothing stays behind");
}

fn taken(assembler: &mut Assembler) {
    let Some(finished) = assembler.take_batch() else { return };
    let view = View::parse(&finished.bytes);
    assert!(view.is_ok(), "what was assembled is a batch");
    let Ok(view) = view else { return };
    assert_eq!(u32::try_from(view.event_count()), Ok(finished.events), "events are counted");
    if let Ok(lines) = json::lines(&view, usize::MAX) {
        assert_eq!(lines.ends.len(), view.event_count(), "one line an event");
    }
}

/// What the store gives back.
fn checkpoint(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::decode(bytes) else { return };
    for strand in checkpoint.strands.values() {
        for lane in strand.lanes.values() {
            assert!(!lane.covers(&OrderKey::EMPTY), "an event without a key was never delivered");
            assert!(lane.mark.is_empty() || lane.covers(&lane.mark), "a mark covers itself");
            for range in &lane.done {
                assert!(lane.covers(&range.first) && lane.covers(&range.last), "what is done is covered");
            }
        }
    }
    if let Ok(again) = checkpoint.encode() {
        assert_eq!(Checkpoint::decode(&again).ok().as_ref(), Some(&checkpoint), "stored and read again");
    }
}

/// The operator's file.
fn manifest(bytes: &[u8], format: Format) {
    let lookup = |name: &str| (name == "SET").then(|| "value".into());
    match parse::bytes("fuzz", bytes, format, PathBuf::new(), &lookup) {
        Ok(parsed) => {
            let printed = print::yaml(&parsed.manifest, &[]);
            assert!(printed.starts_with("version:"), "a manifest is printed as one");
        }
        Err(report) => {
            let said = report.to_string();
            assert!(said.contains("fuzz"), "a complaint names the file: {said}");
        }
    }
}

/// What a stranger's component says of itself.
fn description(bytes: &[u8]) {
    if let Err(why) = Description::from_json(bytes) {
        assert!(!why.is_empty(), "a refusal has a reason");
    }
}

/// Where a PostgreSQL is. No answer shows the password.
fn conninfo(bytes: &[u8]) {
    const PASSWORD: &str = "sesame-canary";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Params::parse(text);
    let shown = match Params::parse(&format!("password={PASSWORD} {text}")) {
        Ok(params) => format!("{params:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(PASSWORD), "a password is shown");
}

/// Durations and sizes; what is shown means what was read.
fn quantities(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(duration) = quantity::duration(text) {
        assert_eq!(quantity::duration(&quantity::show_duration(duration)), Some(duration));
    }
    if let Some(size) = quantity::bytes(text) {
        assert_eq!(quantity::bytes(&quantity::show_bytes(size)), Some(size));
    }
    let _ = text.parse::<Lsn>();
}
