//! kill -9 in turns: of pgcdc, and of a server.

use std::sync::Arc;

use super::cluster::Cluster;
use super::desk::Desk;
use super::manifest::Manifest;
use super::pgcdc::Pgcdc;
use super::writers::{Transaction, Writers};

/// Who dies next.
pub enum Victim<'a> {
    /// pgcdc, which is started again at once.
    Pgcdc,
    /// A server, which is, too.
    Server(&'a Arc<Cluster>),
}

/// Kills somebody each time that `step` more transactions are committed. Returns the pgcdc that runs now, what those
/// before it wrote to standard output, and what the writers did.
pub fn in_turns<'a>(
    (desk, manifest): (&Desk, &Manifest),
    mut pgcdc: Pgcdc,
    writers: Writers,
    (kills, step): (usize, usize),
    victim: impl Fn(usize) -> Victim<'a>,
) -> (Pgcdc, Vec<String>, Vec<Vec<Transaction>>) {
    let mut stdout = Vec::new();
    for kill in 1..=kills {
        writers.wait_committed(kill * step);
        match victim(kill) {
            Victim::Server(server) => {
                server.kill();
                server.start_again();
            }
            Victim::Pgcdc => {
                stdout.extend(pgcdc.kill().stdout);
                pgcdc = desk.run(manifest);
            }
        }
    }
    (pgcdc, stdout, writers.finish())
}
