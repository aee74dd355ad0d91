//! Every file of `tests/scenario/`, each a test of its name.

use pgcdc_tests::scenario::{Script, folder, run};

macro_rules! scenarios {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*
    };
}

scenarios! {
    cut_at_bytes
    cut_at_messages
    disk_fails
    disk_full
    disk_slow
    few_files
    half_open
    password_rotated
    postgres_another
    postgres_killed
    postgres_restored
    postgres_stopped
    postgres_stopped_while_idle
    publication_after_slot
    publication_recreated_while_down
    publication_recreated_while_up
    silent_drop
    sink_hangs
    sink_loses_replies
    sink_rejects
    slot_dropped_while_down
    slot_dropped_while_up
    slot_invalidated
    slot_recreated
    slot_waits_for_transaction
    state_all_damaged
    state_every_byte
    state_lost
    state_newest_damaged
    timeline_left_before
    timeline_moves_on
    walsender_terminated
}

#[test]
fn every_file_is_run_and_says_what_must_come_of_it() {
    let files = std::fs::read_dir(folder()).unwrap_or_else(|error| panic!("{}: {error}", folder().display()));
    let mut names: Vec<String> = files
        .map_while(Result::ok)
        .filter(|file| file.file_name() != "README.md")
        .map(|file| {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let name = file.file_name().to_string_lossy().into_owned();
            let script = Script::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(script.about.ends_with('.'), "{name}: the comment is no sentence");
            name.strip_suffix(".yaml").unwrap_or_else(|| panic!("{name} is no .yaml")).to_owned()
        })
        .collect();
    names.sort_unstable();
    assert_eq!(names, NAMES);
}
