//! The steps, by their words. `N` is a number, `TEXT` is the rest of the line.

use super::Outcome;
use super::around::Around;
use super::world::World;
use crate::support::proxy::{Cut, Proxy};
use crate::support::receiver::Fault;
use crate::support::{backup, poll};

/// Forty transactions of one row.
const FILL: &str =
    "do $$ begin for n in 1..40 loop insert into filler default values; commit; end loop; end $$";

/// Takes one step.
pub(super) fn take(world: &mut World, step: &str) -> Outcome {
    let words: Vec<&str> = step.split_whitespace().collect();
    let number = |text: &str| {
        text.parse::<usize>().unwrap_or_else(|_| panic!("`{step}`: wanted: a number, not `{text}`"))
    };
    match words.as_slice() {
        ["server", "with", name, value] => world.set(name, value),
        ["proxy"] => world.proxy = Some(Proxy::start(world.cluster().port())),

        ["run"] => world.run(),
        ["start"] => world.start(),
        ["run", "with", count, "files"] => return run_in(world, Around::Files(number(count)), true),
        ["run", "under", inject] => return run_in(world, Around::Injected((*inject).to_owned()), true),
        ["start", "under", inject] => return run_in(world, Around::Injected((*inject).to_owned()), false),
        ["kill", "pgcdc"] => {
            let exit = world.pgcdc().kill();
            world.keep(exit);
        }
        ["stop", "pgcdc"] => {
            let exit = world.pgcdc().stop_clean();
            world.keep(exit);
        }

        ["write", count] => world.write(number(count)),
        ["finish", "writing"] => world.finish_writing(),
        ["slot", "moves"] => world.wait_confirmed_more(),
        ["slot", "is", "confirmed"] => {
            let slot = world.slot();
            world.db().wait_confirmed(&slot);
        }

        ["kill", "postgres"] => world.cluster().kill(),
        ["stop", "postgres"] => world.cluster().stop(),
        ["start", "postgres"] => world.cluster().start_again(),
        ["back", "up", "postgres"] => backup::take(&world.cluster()),
        ["restore", "postgres"] => backup::put_back(&world.cluster()),
        ["restore", "postgres", "on", "a", "new", "timeline"] => {
            backup::put_back_on_a_new_timeline(&world.cluster());
        }
        ["another", "postgres"] => world.another_server(),
        ["it", "reads"] => world.db().wait_streaming(),
        ["open", "transaction"] => world.open_transaction(),
        ["end", "transaction"] => world.transaction = None,
        ["terminate", "walsender"] => terminate(world),
        ["drop", "slot"] => drop_slot(world),
        ["make", "slot"] => {
            let slot = world.slot();
            world.db().execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
        }
        ["drop", "publication"] => world.db().execute("drop publication \"all\""),
        ["make", "publication"] => world.db().execute("create publication \"all\" for all tables"),
        ["rotate", "password"] => world.rotate_password(),
        ["fill", "wal"] => fill_wal(world),
        ["fill"] => (0..40).for_each(|_| world.db().execute(FILL)),

        ["cut", "at", "each", "of", count, "messages"] => {
            cuts(world, (0..number(count) as u64).map(Cut::AfterMessages));
        }
        ["cut", "at", count, "seeded", "bytes"] => cuts(world, seeded(number(count))),
        ["silence"] => proxy(world).silence(),
        ["half-open"] => proxy(world).half_open(),
        ["heal"] => proxy(world).heal(),

        ["webhook", "rejects", count] => world.webhook(number(count), &Fault::Reject(503)),
        ["webhook", "loses", count, "replies"] => world.webhook(number(count), &Fault::FailAfterWrite),
        ["webhook", "hangs", count] => world.webhook(number(count), &Fault::Hold),

        ["state", "on", "a", "small", "disk"] => {
            if let Err(why) = world.mount_small_disk() {
                return Outcome::Skipped(why);
            }
        }
        ["fill", "disk"] => world.fill_disk(),
        ["free", "disk"] => world.free_disk(),
        ["lose", "state"] => {
            let state = world.desk.path("state");
            std::fs::remove_dir_all(&state).unwrap_or_else(|error| panic!("{}: {error}", state.display()));
        }
        ["flip", "newest", "state"] => flip(world, &[newest(world)]),
        ["flip", "all", "state"] => flip(world, &["checkpoint.0", "checkpoint.1"]),
        ["flip", "each", "byte", "of", "the", "state"] => every_byte(world),

        ["it", "says", ..] => says(world, rest(step, "it says ")),
        ["it", "halts", "with", ..] => halts(world, rest(step, "it halts with ")),
        ["verify"] => world.verify(),
        _ => panic!("`{step}` is no step that src/scenario/steps.rs knows"),
    }
    Outcome::Done
}

/// Starts pgcdc in something; perhaps waits until it reads.
fn run_in(world: &mut World, around: Around, reads: bool) -> Outcome {
    if let Err(why) = around.possible() {
        return Outcome::Skipped(why);
    }
    world.around = around;
    if reads {
        world.run();
    } else {
        world.start();
    }
    world.around = Around::Nothing;
    Outcome::Done
}

fn rest<'a>(step: &'a str, words: &str) -> &'a str {
    step.strip_prefix(words).unwrap_or(step)
}

fn proxy(world: &World) -> &Proxy {
    world.proxy.as_ref().unwrap_or_else(|| panic!("there is no proxy: begin with `proxy`"))
}

fn terminate(world: &mut World) {
    let slot = world.slot();
    let sql = format!(
        "select pg_terminate_backend(active_pid)::text from pg_replication_slots where slot_name = '{slot}'"
    );
    let db = world.db();
    poll::until("a walsender to terminate", || db.text(&sql).filter(|done| done == "true"));
}

/// In one statement with the end of its reader, which would take it again at once otherwise.
fn drop_slot(world: &mut World) {
    let slot = world.slot();
    let db = world.db();
    poll::until("the slot to be dropped", || {
        let mut client = db.connect();
        let terminate = format!(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{slot}'"
        );
        let drop = format!("select pg_drop_replication_slot('{slot}')");
        client.batch_execute(&terminate).ok()?;
        client.batch_execute(&drop).ok()
    });
}

/// More WAL than any slot may keep here, and the checkpoints that throw it away.
fn fill_wal(world: &mut World) {
    let slot = world.slot();
    let db = world.db();
    let status = format!("select wal_status from pg_replication_slots where slot_name = '{slot}'");
    poll::until("the slot to be lost", || {
        let mut client = db.connect();
        for sql in [
            "select pg_logical_emit_message(false, 'filler', repeat('x', 4000000))",
            "select pg_switch_wal()",
            "checkpoint",
        ] {
            client.batch_execute(sql).ok()?;
        }
        (db.text(&status).as_deref() == Some("lost")).then_some(())
    });
}

fn seeded(count: usize) -> impl Iterator<Item = Cut> {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    (0..count).map(move |n| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Half of them in the first exchanges, where messages are small.
        Cut::AfterBytes(1 + random % if n % 2 == 0 { 1_500 } else { 40_000 })
    })
}

/// One life for each cut, since a process that fails again and again waits longer and longer.
fn cuts(world: &mut World, cuts: impl Iterator<Item = Cut>) {
    let mut made = proxy(world).cuts();
    let (mut reached, mut asked) = (0, 0);
    for cut in cuts {
        asked += 1;
        proxy(world).cut(cut);
        // Enough for the cut to fall into; the writers' own changes are somewhere among them.
        world.db().execute(FILL);
        world.start();
        world.write(1);
        let slot = world.slot();
        let goal = world.db().text("select pg_current_wal_flush_lsn()::text").unwrap_or_default();
        let sql = format!(
            "select 'yes' from pg_replication_slots where slot_name = '{slot}' and confirmed_flush_lsn >= '{goal}'"
        );
        let mut client = world.db().connect();
        let db_done = move || client.query_opt(&sql, &[]).is_ok_and(|row| row.is_some());
        if proxy(world).wait_cut(made + 1, db_done) {
            made += 1;
            reached += 1;
        }
        let exit = world.pgcdc().kill();
        assert!(!exit.stderr.contains("panicked"), "{cut:?}: {}", exit.stderr);
        world.keep(exit);
    }
    println!("{reached} of {asked} cuts were reached");
    assert!(reached * 2 > asked, "only {reached} of {asked} cuts were reached");
}

/// The file of the state with the higher generation: eight bytes, little-endian, from byte 8 on.
fn newest(world: &World) -> &'static str {
    let generation = |name: &str| {
        let content = std::fs::read(world.desk.path("state").join(name)).unwrap_or_default();
        content.get(8..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    if generation("checkpoint.0") > generation("checkpoint.1") { "checkpoint.0" } else { "checkpoint.1" }
}

fn flip(world: &World, names: &[&str]) {
    for name in names {
        let path = world.desk.path("state").join(name);
        let mut content = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let middle = content.len() / 2;
        content[middle] ^= 1;
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// `checkpoint show` reads what is whole, whichever byte is not: the generation before, and never another one, and
/// never nothing.
fn every_byte(world: &World) {
    let name = newest(world);
    let path = world.desk.path("state").join(name);
    let content = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let show = || world.desk.start(&["checkpoint", "show", "pgcdc.yaml", "--json"], &[]).wait();
    let whole = show();
    assert_eq!((whole.code(), whole.stdout.len()), (Some(0), 1), "{}", whole.stderr);
    let mut known: Option<Vec<String>> = None;
    let body =
        56 + content.get(16..24).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes) as usize;
    // A prime stride meets every field of the head and every part of the body; the store's own test flips every bit.
    let places = (0..56).step_by(5).chain((56..body.min(content.len())).step_by(37));
    for at in places {
        let mut bad = content.clone();
        bad[at] ^= 0x20;
        std::fs::write(&path, bad).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let shown = show();
        assert_eq!(shown.code(), Some(0), "byte {at}: {}", shown.stderr);
        assert_ne!(shown.stdout, whole.stdout, "byte {at} was flipped, and nobody noticed");
        let before = known.get_or_insert_with(|| shown.stdout.clone());
        assert_eq!(shown.stdout, *before, "byte {at}");
        assert_eq!(shown.stdout.len(), 1, "byte {at}: nothing is stored any more");
    }
    std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn says(world: &mut World, text: &str) {
    let pgcdc = world.pgcdc.as_ref().unwrap_or_else(|| panic!("pgcdc does not run"));
    pgcdc.stderr().wait_line(0, text);
}

/// It ends by itself with exit 1 and these words, and nothing is confirmed behind them.
fn halts(world: &mut World, text: &str) {
    let exit = world.pgcdc().wait();
    let exit = world.keep(exit);
    exit.assert_refused(&[text]);
    world.judged = true;
}
