//! What may be typed after `pgcdc dlq`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `pgcdc dlq …`.
#[derive(Clone, Debug, Subcommand)]
pub enum Dlq {
    /// Show refused changes, newest first
    List {
        /// Which queue
        #[command(flatten)]
        queue: Queue,
        /// Which letters
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Only what was not replayed
        #[arg(long)]
        pending: bool,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show everything that is kept of one refused change
    Show {
        /// The letter's or the event's id
        #[arg(value_name = "ID")]
        id: String,
        /// Which queue
        #[command(flatten)]
        queue: Queue,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Send refused changes to their sinks again, oldest first
    Replay {
        /// Which queue
        #[command(flatten)]
        queue: Queue,
        /// Which letters, of those not replayed
        #[command(flatten)]
        which: Which,
        /// At most so many; 0 is all
        #[arg(long, value_name = "N", default_value_t = 0)]
        limit: u32,
        /// Say what would be sent, and send nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove refused changes for good
    Purge {
        /// Which queue
        #[command(flatten)]
        queue: Queue,
        /// Which letters; all, if nothing is said
        #[command(flatten)]
        which: Which,
        /// Only what was replayed
        #[arg(long)]
        replayed: bool,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
}

/// Where the letters are.
#[derive(Clone, Debug, Default, Args)]
pub struct Queue {
    /// The manifest; --config or ./pgcdc.yaml if absent
    #[arg(long, value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Instead of a manifest: the database of a `pg_table` queue [env: PGCDC_DATABASE_URL]
    #[arg(long, value_name = "ENDPOINT", conflicts_with = "manifest")]
    pub db: Option<String>,
    /// Its table
    #[arg(long, value_name = "TABLE", conflicts_with = "manifest")]
    pub dlq_table: Option<String>,
    /// Where pgcdc keeps what must survive
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Which letters.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Of this sink, by its name in the manifest
    #[arg(long, value_name = "SINK")]
    pub adapter: Option<String>,
    /// First refused at this time or later
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    pub since: Option<String>,
    /// First refused at this time or earlier
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    pub until: Option<String>,
    /// This one, by the letter's or the event's id
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

/// `2026-11-22T16:00:00Z`, with a fraction or an offset if need be.
fn time(text: &str) -> Result<String, String> {
    if is_time(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    Err("wanted: a time such as 2026-11-22T16:00:00Z or 2026-11-22T16:00:00+01:00".to_owned())
}

fn is_time(text: &[u8]) -> bool {
    let like = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(at, shape)| match shape {
                b'0' => at.is_ascii_digit(),
                b'+' => matches!(at, b'+' | b'-'),
                b'T' => matches!(at, b'T' | b't' | b' '),
                other => at == other,
            })
    };
    let Some((head, mut rest)) = text.split_at_checked(19) else { return false };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    like(head, b"0000-00-00T00:00:00") && (matches!(rest, b"Z" | b"z") || like(rest, b"+00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for good in ["2026-11-22T16:00:00Z", "2026-11-22t16:00:00.123456z", "2026-11-22 16:00:00+01:00"] {
            assert!(time(good).is_ok(), "{good}");
        }
        for bad in ["", "yesterday", "2026-11-22", "2026-11-22T16:00:00", "2026-11-22T16:00:00.Z", "é"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
