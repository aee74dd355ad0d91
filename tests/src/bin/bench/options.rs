//! What to measure.

pub(crate) const USAGE: &str = "usage: bench [--quick] [--rows N] [--rounds N] [--only PART,PART…]
parts: throughput first latency idle policy hung large snapshot boundary, or one contender: pg_recvlogical stdout drop_columns drop_columns-linked
file webhook-batch webhook-single";

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rows: u64,
    pub(crate) rounds: u32,
    pub(crate) latency_seconds: u32,
    pub(crate) idle_seconds: u32,
    only: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { rows: 500_000, rounds: 5, latency_seconds: 20, idle_seconds: 20, only: Vec::new() };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} takes a value\n{USAGE}"));
            match argument.as_str() {
                "--quick" => {
                    options =
                        Self { rows: 50_000, rounds: 1, latency_seconds: 3, idle_seconds: 3, ..options };
                }
                "--rows" => options.rows = number(&value()?)?,
                "--rounds" => options.rounds = u32::try_from(number(&value()?)?).unwrap_or(u32::MAX),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                _ => return Err(format!("what is {argument}?\n{USAGE}")),
            }
        }
        Ok(options)
    }

    /// A part is wanted if it, or one of its contenders, is named, or nothing is.
    pub(crate) fn wants(&self, part: &str) -> bool {
        let others = ["first", "latency", "idle", "policy", "hung", "large", "snapshot", "boundary"];
        let inside = |name: &String| part == "throughput" && !others.contains(&name.as_str());
        self.only.is_empty() || self.only.iter().any(|name| name == part || inside(name))
    }

    pub(crate) fn wants_contender(&self, name: &str) -> bool {
        let all = self.only.is_empty() || self.only.iter().any(|only| only == "throughput");
        all || self.only.iter().any(|only| only == name)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.replace('_', "")
        .parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("{text} is no count\n{USAGE}"))
}
