//! A copy of a server's data, taken and put back while it is down, as a backup of files is.

use std::path::PathBuf;
use std::process::Command;

use super::cluster::Cluster;

fn paths(cluster: &Cluster) -> (PathBuf, PathBuf) {
    (cluster.folder().join("data"), cluster.folder().join("backup"))
}

/// Takes one; the server is stopped for it and started again.
#[track_caller]
pub fn take(cluster: &Cluster) {
    let (data, backup) = paths(cluster);
    cluster.stop();
    run(Command::new("cp").arg("-a").arg(&data).arg(&backup));
    cluster.start_again();
}

/// Puts back what was taken; all that came since is gone.
#[track_caller]
pub fn put_back(cluster: &Cluster) {
    let (data, backup) = paths(cluster);
    cluster.stop();
    run(Command::new("rm").arg("-rf").arg("--").arg(&data));
    run(Command::new("mv").arg(&backup).arg(&data));
    cluster.start_again();
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
