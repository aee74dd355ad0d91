//! What the sandbox is measured against does the same work: drop_columns and stdout, linked into the host, print
//! byte for byte what the components print, but for the moment of it.

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::repository::{pgcdc_binary, program};

/// Three kinds of change of 3,000 rows each, in many transactions.
const CHANGES: &str = "do $$ begin for block in 0 .. 29 loop
    insert into t select n, 'n', 's' || n from generate_series(block * 100 + 1, block * 100 + 100) n; commit;
    update t set secret = 'x' where id > block * 100; commit;
    delete from t where id > block * 100 + 50; commit;
    delete from t where id > block * 100; commit;
end loop; end $$";
const DROP: &str = "{ use: drop_columns, config: { columns: [note] } }";

fn wal(db: &Database, slot: &str) -> Manifest {
    Manifest::wal_of(&db.url(), &format!("publication: p, persistent_slot: true, slot_name: {slot}"))
}

/// Without the moment at which each of them saw it.
fn undated(lines: &[String]) -> Vec<String> {
    let undated = |line: &String| {
        let (before, rest) =
            line.split_once("\"created_at\":\"").unwrap_or_else(|| panic!("no created_at: {line}"));
        let (_, after) = rest.split_once('"').unwrap_or_default();
        format!("{before}{after}")
    };
    lines.iter().map(undated).collect()
}

#[test]
fn print_what_the_components_print() {
    let db = Database::create("linked");
    db.execute(
        "create table t (id int primary key, note text, secret text); alter table t replica identity full",
    );
    db.execute("create publication p for all tables");
    let slots = ["linked_component", "linked_native"];
    slots.iter().for_each(|slot| {
        db.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    });
    db.execute(CHANGES);
    let programs = [pgcdc_binary(), program("pgcdc-linked")];
    let [component, native] = [0, 1].map(|n| {
        let desk = Desk::new();
        desk.write("pgcdc.yaml", wal(&db, slots[n]).transform(DROP).stdout().text());
        let mut command = Pgcdc::command_of(&programs[n], desk.folder(), &[]);
        command.args(["run", "pgcdc.yaml"]);
        let pgcdc = Pgcdc::start_command(command);
        db.wait_confirmed(slots[n]);
        pgcdc.stop_clean()
    });
    assert!(component.stdout.len() >= 9_000, "{} lines", component.stdout.len());
    assert!(component.stdout.iter().all(|line| !line.contains("\"note\"")), "the column is gone");
    let (component_lines, native_lines) = (undated(&component.stdout), undated(&native.stdout));
    let different = component_lines.iter().zip(&native_lines).find(|(component, native)| component != native);
    assert_eq!((different, native_lines.len()), (None, component_lines.len()));
    let counted =
        |exit: &str| exit.lines().find_map(|line| line.strip_prefix("linked calls: ").map(str::to_owned));
    assert_eq!(counted(&component.stderr), None, "the program that ships has nothing linked");
    let calls = counted(&native.stderr).unwrap_or_else(|| panic!("not linked:\n{}", native.stderr));
    assert!(!calls.starts_with("0 ") && !calls.contains(" 0 of stdout"), "{calls}");
}
