//! What a scenario does when its peer cannot be had on this machine: it says so, and is counted as skipped.

use std::io::Write;

/// Notes that the whole of `scenario` was skipped, and why. With `PGCDC_SKIPS` set, the line goes to that
/// file, too, for whoever counts.
pub fn skipped(scenario: &str, why: &str) {
    note(&format!("skipped: {scenario}: {why}"));
}

/// Notes that a scenario went on without a part of what it usually looks at.
pub fn without(part: &str, why: &str) {
    note(&format!("without: {part}: {why}"));
}

fn note(line: &str) {
    eprintln!("{line}");
    let Some(path) = std::env::var_os("PGCDC_SKIPS") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = written {
        panic!("cannot note a skipped scenario in {}: {error}", path.display());
    }
}
