//! `pgcdc dlq list|show|purge`: what was refused, through the dead-letter component's own exports. `replay` is next door.
//!
//! Invariant: what a letter holds is printed without control characters, and never logged.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use super::args::Global;
use super::dlq_args::{Dlq as Action, Queue, Which};
use super::main::{block_on, read, workshop};
use super::table::{first_line, printable, table};
use crate::dlq::{Filter, Record};
use crate::manifest::Manifest;
use crate::manifest::model::{Connector, Dlq, Place};
use crate::manifest::settings::Overrides;
use crate::manifest::source::{At, Source, Span};
use crate::manifest::tree::Node;
use crate::pipeline::Workshop;

/// Longer errors are cut off in tables.
const ERROR_CHARS_MAX: usize = 60;

/// Runs one of the four.
pub(super) fn command(action: Action, global: &Global) -> Result<ExitCode, String> {
    match action {
        Action::List { queue, which, limit, pending, json } => {
            let filter = Filter { pending: pending.then_some(true), ..filter(&which) };
            list(&opened(&queue, global)?, filter, limit as usize, json)
        }
        Action::Show { id, queue, json } => show(&opened(&queue, global)?, &id, json),
        Action::Replay { queue, which, limit, dry_run } => {
            let workshop = opened(&queue, global)?;
            let filter = Filter { pending: Some(true), rows: true, order: Some("oldest"), ..filter(&which) };
            super::dlq_replay::command(&workshop, filter, limit as usize, dry_run)
        }
        Action::Purge { queue, which, replayed, force } => {
            let filter = Filter { pending: replayed.then_some(false), ..filter(&which) };
            purge(&opened(&queue, global)?, &filter, force)
        }
    }
}

fn filter(which: &Which) -> Filter {
    Filter {
        sink: which.adapter.clone(),
        since: which.since.clone(),
        until: which.until.clone(),
        id: which.id.clone(),
        ..Filter::default()
    }
}

/// The manifest's parts: of the file, or of one made from `--db`.
fn opened(queue: &Queue, global: &Global) -> Result<Workshop, String> {
    let mut flags = Overrides { state_dir: queue.state_dir.clone(), ..Overrides::default() };
    flags.log.level = global.log_level;
    flags.log.format = global.log_format;
    let manifest = match database(queue, global) {
        Some(db) => from_flags(&db, queue.dlq_table.as_deref()),
        None if queue.dlq_table.is_some() => return Err("--dlq-table needs --db".to_owned()),
        None => read(&queue.manifest, global)?,
    };
    Ok(workshop(&manifest, &flags)?.0)
}

/// `--db`; or its variable, if there is no manifest.
fn database(queue: &Queue, global: &Global) -> Option<String> {
    let named = queue.manifest.is_some() || global.config.is_some();
    let from_variable = || {
        let file = std::path::Path::new("pgcdc.yaml").exists() && queue.dlq_table.is_none();
        if named || file { None } else { std::env::var("PGCDC_DATABASE_URL").ok() }
    };
    queue.db.clone().or_else(from_variable)
}

fn from_flags(db: &str, dlq_table: Option<&str>) -> Manifest {
    let mut connector = Connector::shipped("dlq", "pg_table");
    connector.name = At::nowhere("dlq".to_owned());
    connector.config.set("db", Node::text(db));
    if let Some(dlq_table) = dlq_table {
        connector.config.set("table", Node::text(dlq_table));
    }
    Manifest {
        detectors: Vec::new(),
        transforms: Vec::new(),
        sinks: Vec::new(),
        dlq: Some(Dlq { connector, raw: false, window: None }),
        checkpoint: None,
        secrets: Vec::new(),
        settings: Overrides::default(),
        place: Place {
            source: Source::new("pgcdc dlq", ""),
            root: Node::empty_map(Span::default()),
            folder: std::path::PathBuf::new(),
            from_flags: true,
        },
    }
}

fn list(workshop: &Workshop, filter: Filter, limit: usize, json: bool) -> Result<ExitCode, String> {
    let (letters, more) = block_on(async {
        let letters = workshop.letters().await?;
        letters.list(filter, limit).await.map_err(|e| format!("dlq: {e}"))
    })?;
    let records = letters.iter().map(Record::of).collect::<Result<Vec<Record>, String>>()?;
    if json {
        println!("{}", serde_json::to_string(&records).map_err(|e| e.to_string())?);
    } else {
        print!("{}", render(&records));
    }
    if more {
        eprintln!("there are more: raise --limit, or narrow it down with --adapter, --since, --until");
    }
    Ok(ExitCode::SUCCESS)
}

fn render(records: &[Record]) -> String {
    if records.is_empty() {
        return "no letters\n".to_owned();
    }
    let rows = records.iter().map(|record| {
        let error = first_line(&record.error);
        let short = match error.char_indices().nth(ERROR_CHARS_MAX) {
            Some((at, _)) => format!("{}…", &error[..at]),
            None => error,
        };
        let replayed = record.replayed_at.clone().unwrap_or_default();
        [record.event_id.clone(), record.adapter.clone(), short, record.created_at.clone(), replayed]
    });
    table(["EVENT_ID", "ADAPTER", "ERROR", "CREATED_AT", "REPLAYED_AT"], rows)
}

fn show(workshop: &Workshop, id: &str, json: bool) -> Result<ExitCode, String> {
    let letter = block_on(async {
        let letters = workshop.letters().await?;
        letters.get(id).await.map_err(|e| format!("dlq: {e}"))
    })?;
    let letter = letter.ok_or_else(|| "there is no letter of that id; see `pgcdc dlq list`".to_owned())?;
    let record = Record::of(&letter)?;
    if json {
        println!("{}", serde_json::to_string(&record).map_err(|e| e.to_string())?);
        return Ok(ExitCode::SUCCESS);
    }
    let raw = |json: &Option<Box<serde_json::value::RawValue>>| {
        json.as_ref().map(|json| json.get().to_owned()).unwrap_or_default()
    };
    let rows = [
        ("id", record.id.clone()),
        ("event", record.event_id.clone()),
        ("adapter", record.adapter.clone()),
        ("channel", record.channel.clone()),
        ("position", record.position.clone()),
        ("transform", record.transform.clone().unwrap_or_default()),
        ("error", record.error.clone()),
        ("created_at", record.created_at.clone()),
        ("replayed_at", record.replayed_at.clone().unwrap_or_default()),
        ("kept for replay", if letter.rows.is_empty() { "no".into() } else { "yes".into() }),
        ("change", raw(&record.named)),
        ("payload", raw(&record.payload)),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        println!("{name}: {}", printable(value));
    }
    Ok(ExitCode::SUCCESS)
}

fn purge(workshop: &Workshop, filter: &Filter, force: bool) -> Result<ExitCode, String> {
    if !force && !agreed(filter)? {
        return Err("nothing was removed; --force does not ask".to_owned());
    }
    let removed = block_on(async {
        let letters = workshop.letters().await?;
        letters.purge(filter).await.map_err(|e| format!("dlq: {e}"))
    })?;
    println!("removed: {removed}");
    Ok(ExitCode::SUCCESS)
}

fn agreed(filter: &Filter) -> Result<bool, String> {
    let part = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let mut parts: Vec<String> = [
        part("of sink", &filter.sink),
        part("since", &filter.since),
        part("until", &filter.until),
        part("with the id", &filter.id),
    ]
    .into_iter()
    .flatten()
    .collect();
    if filter.pending == Some(false) {
        parts.push("replayed".to_owned());
    }
    let which =
        if parts.is_empty() { "every letter".to_owned() } else { format!("letters {}", parts.join(", ")) };
    eprint!("Remove {} for good? [y/N] ", printable(&which));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| e.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
