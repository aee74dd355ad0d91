//! Which PostgreSQL: the server binaries of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb` and `postgres`: `$PGCDC_PG_BIN`, what `pg_config` says, or the newest of the
/// usual places.
///
/// # Errors
/// Where it was looked for, and the way out.
pub fn binaries() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("PGCDC_PG_BIN") {
        let folder = PathBuf::from(folder);
        return if complete(&folder) {
            Ok(folder)
        } else {
            Err(format!("PGCDC_PG_BIN is {}, which has no initdb and postgres", folder.display()))
        };
    }
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|o| PathBuf::from(String::from_utf8_lossy(&o.stdout).trim().to_owned()));
    let mut candidates: Vec<PathBuf> = configured.into_iter().collect();
    candidates.extend(usual_places());
    let found = candidates.iter().find(|folder| complete(folder)).cloned();
    found.ok_or_else(|| {
        "no PostgreSQL server binaries (initdb, postgres): run scripts/setup, or set PGCDC_PG_BIN to their folder"
            .to_owned()
    })
}

/// A PostgreSQL of this version or a later one: in `$PGCDC_PG17_BIN`, or among those of this machine.
///
/// # Errors
/// That there is none, and the way out.
pub fn binaries_from(version: u32) -> Result<PathBuf, String> {
    let named = std::env::var_os("PGCDC_PG17_BIN").map(PathBuf::from);
    let here =
        named.into_iter().chain(binaries().ok()).chain(usual_places()).filter(|folder| complete(folder));
    let fits = |folder: &PathBuf| version_of(folder).is_some_and(|found| found >= version);
    here.into_iter().find(fits).ok_or_else(|| {
        format!("no PostgreSQL {version} or later here: set PGCDC_PG17_BIN to the folder of its initdb and postgres")
    })
}

/// The major version of an installation.
fn version_of(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn complete(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"].iter().all(|name| folder.join(name).is_file())
}

/// Newest version first.
fn usual_places() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let homes = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
    ];
    for (home, prefix, inner) in homes {
        for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix(prefix).and_then(|rest| rest.parse::<u32>().ok());
            found.extend(version.map(|version| (version, entry.path().join(inner))));
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}
