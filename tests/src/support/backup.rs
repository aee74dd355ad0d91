//! A copy of a server's data, taken and put back while it is down, as a backup of files is.

use std::path::PathBuf;
use std::process::Command;

use ::postgres::{Client, NoTls};

use super::cluster::Cluster;
use super::poll;

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
    replace(cluster);
    cluster.start_again();
}

/// The same, recovered to its end as from an archive, which begins a timeline. The server needs a `restore_command`.
#[track_caller]
pub fn put_back_on_a_new_timeline(cluster: &Cluster) {
    replace(cluster);
    let (data, _) = paths(cluster);
    // With the owner of what it stands beside.
    run(Command::new("cp").arg("-a").arg(data.join("PG_VERSION")).arg(data.join("recovery.signal")));
    cluster.start_again();
    // It may be read before its recovery has ended.
    poll::until("the end of the recovery", || {
        let mut client = Client::connect(&cluster.url("postgres"), NoTls).ok()?;
        let row = client.query_one("select pg_is_in_recovery()", &[]).ok()?;
        (!row.get::<_, bool>(0)).then_some(())
    });
}

fn replace(cluster: &Cluster) {
    let (data, backup) = paths(cluster);
    cluster.stop();
    run(Command::new("rm").arg("-rf").arg("--").arg(&data));
    run(Command::new("mv").arg(&backup).arg(&data));
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
