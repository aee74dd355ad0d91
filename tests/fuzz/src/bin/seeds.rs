//! `fuzz-seeds FOLDER`: writes every target's seeds to `FOLDER/<target>/seed-<n>`.

use std::path::PathBuf;
use std::process::ExitCode;

use pgcdc_fuzz::{all, seeds};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: fuzz-seeds FOLDER");
        return ExitCode::FAILURE;
    };
    for target in all() {
        let folder = folder.join(target.name);
        let written = std::fs::create_dir_all(&folder).and_then(|()| {
            let mut seeds = seeds::of(target.name).into_iter().enumerate();
            seeds.try_for_each(|(n, seed)| std::fs::write(folder.join(format!("seed-{n}")), seed))
        });
        if let Err(error) = written {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
