//! `pgcdc doctor`: looks at a database the way pgcdc will use it, and says what is wrong, why, and what to type.
//!
//! The exit code is 1 if something keeps pgcdc from reading; warnings leave it at 0.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Global;
use super::database::{Target, targets};
use super::doctor_judge::{Finding, Level, Wanted, judge, unreachable};
use super::doctor_tables::role_sql;
use super::main::block_on;
use super::slot_args::Doctor as Options;
use super::table::printable;
use crate::wal::health_facts::examine;

/// For one database.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// What the role is called in the SQL that is printed.
const ROLE: &str = "pgcdc";

/// What was found out about one database.
struct Report {
    name: Option<String>,
    database: String,
    findings: Vec<Finding>,
    role_sql: Option<String>,
}

/// Looks, and prints.
pub(super) fn command(options: &Options, global: &Global) -> Result<ExitCode, String> {
    let targets = targets(options.db.as_deref(), &options.manifest, global)?;
    let reports = block_on(async {
        let mut reports = Vec::with_capacity(targets.len());
        for target in &targets {
            reports.push(look(target, options).await);
        }
        Ok(reports)
    })?;
    let worst = reports.iter().flat_map(|report| &report.findings).map(|finding| finding.level).max();
    if options.json {
        println!("{}", as_json(&reports, worst.unwrap_or(Level::Ok)));
    } else {
        reports.iter().for_each(|report| print!("{}", render(report)));
    }
    Ok(if worst == Some(Level::Problem) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn look(target: &Target, options: &Options) -> Report {
    let wanted = wanted(target, options);
    let examined =
        tokio::time::timeout(LOOK_MAX, examine(&target.params, wanted.publication.as_deref())).await;
    let (findings, role_sql) = match examined {
        Ok(Ok(seen)) => (judge(&seen, &wanted), Some(role_sql(&seen, &wanted, ROLE))),
        Ok(Err(error)) => (vec![unreachable(&error)], None),
        Err(_) => {
            let late = crate::postgres::Error::Timeout {
                place: target.params.to_string(),
                doing: "looking at the server",
                after_ms: LOOK_MAX.as_millis() as u64,
            };
            (vec![unreachable(&late)], None)
        }
    };
    Report { name: target.name.clone(), database: target.params.to_string(), findings, role_sql }
}

/// What the manifest says is to be read, or the flags.
fn wanted(target: &Target, options: &Options) -> Wanted {
    let application = target.params.application_name.clone();
    if let Some(source) = &target.options {
        return Wanted {
            publication: source.publication_name(),
            all_tables: source.all_tables,
            slot: source.kept_slot(),
            failover: source.failover,
            application,
        };
    }
    let publication = options.publication.clone();
    let by_name = publication.as_ref().map(|name| format!("{}{name}", crate::wal::health::PREFIX));
    Wanted {
        slot: options.slot_name.clone().or(by_name),
        publication,
        all_tables: false,
        failover: false,
        application,
    }
}

fn render(report: &Report) -> String {
    let mut out = match &report.name {
        Some(name) => format!("{}: {}\n\n", printable(name), printable(&report.database)),
        None => format!("{}\n\n", printable(&report.database)),
    };
    for finding in &report.findings {
        out.push_str(&format!(
            "{:<8} {}: {}\n",
            finding.level.as_str(),
            finding.check,
            printable(&finding.found)
        ));
        if let Some(remedy) = &finding.remedy {
            out.push_str(&format!("         next: {}\n", printable(remedy)));
        }
        if let Some(sql) = &finding.sql {
            out.push_str(&format!("         sql:  {}\n", printable(sql)));
        }
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    out.push_str(&format!("\n{} problems, {} warnings\n", count(Level::Problem), count(Level::Warning)));
    if let Some(sql) = &report.role_sql {
        out.push_str("\nA role that can do no more than it must:\n\n");
        sql.lines().for_each(|line| out.push_str(&format!("  {}\n", printable(line))));
    }
    out.push('\n');
    out
}

fn as_json(reports: &[Report], worst: Level) -> Value {
    let one = |report: &Report| {
        json!({
            "detector": report.name,
            "database": report.database,
            "findings": report.findings,
            "role_sql": report.role_sql,
        })
    };
    json!({ "worst": worst, "databases": reports.iter().map(one).collect::<Vec<_>>() })
}
