//! `pgcdc checkpoint show|adopt|reset`: the hand tool for what is stored. It never runs beside the pipeline that owns it:
//! the slot, or the store's versions, would tell.

use std::process::ExitCode;

use pgcdc_core::checkpoint::{Checkpoint, Identity};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::snapshot::record::Token;

use super::args::{self, Checkpoint as Action, Stored};
use super::main::{block_on, read, workshop};
use crate::manifest::settings::Overrides;

/// Runs one of the three.
pub(super) fn command(action: Action, global: &args::Global) -> Result<ExitCode, String> {
    match action {
        Action::Show { of, json } => show(&of, global, json),
        Action::Adopt { of, yes } => change(&of, global, yes, Change::Adopt),
        Action::Reset { of, yes } => change(&of, global, yes, Change::Reset),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Adopt,
    Reset,
}

fn overrides(of: &Stored) -> Overrides {
    Overrides { state_dir: of.state_dir.clone(), ..Overrides::default() }
}

fn show(of: &Stored, global: &args::Global, json: bool) -> Result<ExitCode, String> {
    let (workshop, _) = workshop(&read(&of.manifest, global)?, &overrides(of))?;
    let stored = block_on(workshop.stored())?;
    for (name, bytes) in
        stored.into_iter().filter(|(name, _)| of.source.as_ref().is_none_or(|want| want == name))
    {
        if json {
            println!("{}", String::from_utf8_lossy(&bytes));
            continue;
        }
        let checkpoint = Checkpoint::decode(&bytes).map_err(|e| format!("{name}: {e}"))?;
        println!("{name}:");
        if let Identity::Postgres(id) = &checkpoint.identity {
            println!(
                "  database {} of system {}, timeline {}",
                id.database, id.system_identifier, id.timeline
            );
            println!("  slot {}, publication {}", id.slot, id.publication);
        }
        for (strand, at) in &checkpoint.strands {
            if let Some(token) = Token::decode(strand, &at.resume) {
                println!(
                    "  {strand}: {}, {} rows read",
                    if token.done { "done" } else { "in part" },
                    token.rows
                );
                continue;
            }
            let resume =
                Lsn::from_bytes(&at.resume).map_or_else(|| "unreadable".into(), |lsn| lsn.to_string());
            let strand = if strand.is_empty() { "wal" } else { strand };
            println!("  {strand}: resumes at {resume}");
            for (lane, mark) in &at.lanes {
                println!("    {lane}: done up to {}, {} ranges above", mark.mark.to_hex(), mark.done.len());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `reset` forgets the position: the next start is where the slot stands. `adopt` does the same, and says that what lies
/// between the stored position and the slot's is taken as lost.
fn change(of: &Stored, global: &args::Global, yes: bool, change: Change) -> Result<ExitCode, String> {
    let (workshop, _) = workshop(&read(&of.manifest, global)?, &overrides(of))?;
    let _alone = workshop.lock()?;
    let stored = match block_on(workshop.stored()) {
        Err(error) if change == Change::Reset && yes => {
            let aside = workshop.set_aside()?;
            if aside.is_empty() {
                return Err(error);
            }
            aside.iter().for_each(|path| println!("put aside: {}", path.display()));
            return Ok(ExitCode::SUCCESS);
        }
        stored => stored?,
    };
    let named: Vec<String> = stored
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| of.source.as_ref().is_none_or(|want| want == name))
        .collect();
    if named.is_empty() {
        return Err("nothing is stored for that source".into());
    }
    let meaning = match change {
        Change::Reset => {
            "forget the stored position and every sink's mark; the next start is where the slot stands"
        }
        Change::Adopt => {
            "go on where the slot stands; what lies between the stored position and the slot's is not delivered"
        }
    };
    if !yes {
        return Err(format!("this would {meaning}, for {}; repeat with --yes", named.join(", ")));
    }
    block_on(workshop.forget(&named))?;
    println!("done: {}", named.join(", "));
    Ok(ExitCode::SUCCESS)
}
