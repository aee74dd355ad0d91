//! A component file that is none, or is damaged, is refused by name and never runs.

use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::peers;
use pgcdc_tests::support::pgcdc::Exit;
use pgcdc_tests::support::repository::component;

/// A pipeline with this file as its sink.
fn run(name: &str, content: &[u8]) -> Exit {
    let desk = Desk::new();
    desk.write(name, content);
    let manifest = format!(
        "version: 1\nstate_dir: ./state\ndetectors:\n  shop:\n    use: wal\n    \
         config: {{ db: \"postgres://u:p@127.0.0.1:1/d\", all_tables: true }}\nsinks:\n  mine:\n    use: ./{name}\n"
    );
    desk.run_text(&manifest, &[]).wait()
}

#[test]
fn what_is_no_component_is_refused_with_what_was_expected() {
    run("mine.wasm", b"").assert_refused(&["mine.wasm"]);
    run("mine.wasm", b"#!/bin/sh\necho gotcha\n").assert_refused(&["mine.wasm"]);
    run("mine.wasm", b"\0asm\x01\0\0\0").assert_refused(&["mine.wasm", "component"]);
    run("mine.wasm", b"\0asm\x0d\0\x01\0").assert_refused(&["mine.wasm"]);
}

#[test]
fn native_code_is_never_loaded() {
    let elf = [b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 4096]].concat();
    run("mine.cwasm", &elf).assert_refused(&["mine.cwasm"]);
    run("mine.wasm", &elf).assert_refused(&["mine.wasm"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let desk = Desk::new();
    let manifest = "version: 1\ndetectors:\n  a: { use: ./nowhere.wasm }\nsinks:\n  out: { use: stdout }\n";
    desk.run_text(manifest, &[]).wait().assert_refused(&["nowhere.wasm"]);
}

#[test]
fn a_truncated_component_is_refused_at_whatever_length() {
    let Some(whole) = component("stdout").and_then(|path| std::fs::read(path).ok()) else {
        return peers::skipped("a_truncated_component", "no stdout.wasm; `make build` makes it");
    };
    for part in 1..16 {
        run("mine.wasm", &whole[..whole.len() * part / 16]).assert_refused(&["mine.wasm"]);
    }
    run("mine.wasm", &whole[..whole.len() - 1]).assert_refused(&["mine.wasm"]);
}

#[test]
fn a_pin_that_does_not_fit_is_refused() {
    let Some(path) = component("stdout") else {
        return peers::skipped("a_pin_that_does_not_fit", "no stdout.wasm; `make build` makes it");
    };
    let desk = Desk::new();
    desk.write("mine.wasm", std::fs::read(path).unwrap());
    let wrong = "0123456789abcdef".repeat(4);
    let manifest = format!(
        "version: 1\nstate_dir: ./state\ndetectors:\n  shop:\n    use: wal\n    \
         config: {{ db: \"postgres://u:p@127.0.0.1:1/d\", all_tables: true }}\n\
         sinks:\n  mine:\n    use: ./mine.wasm\n    sha256: {wrong}\n"
    );
    desk.run_text(&manifest, &[]).wait().assert_refused(&["mine.wasm", "sha256"]);
}

#[test]
fn a_flipped_bit_never_brings_the_reader_down() {
    let Some(whole) = component("stdout").and_then(|path| std::fs::read(path).ok()) else {
        return peers::skipped("a_flipped_bit", "no stdout.wasm; `make build` makes it");
    };
    let desk = Desk::new();
    for step in 0..40 {
        let mut flipped = whole.clone();
        let at = (whole.len() - 1) * step / 39;
        flipped[at] ^= 1 << (step % 8);
        desk.write("mine.wasm", &flipped);
        let exit = desk.start(&["describe", "mine.wasm"], &[]).wait();
        assert!(matches!(exit.code(), Some(0 | 1)), "bit {step} at byte {at}: {exit:?}");
        assert!(!exit.stderr.contains("panicked at"), "bit {step} at byte {at}: {exit:?}");
    }
}
