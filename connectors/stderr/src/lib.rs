//! The dead-letter queue `stderr`: one JSON line a letter to the standard error.
//!
//! Not durable, and it says so: nothing can be listed, replayed or purged here.

use pgcdc_sdk::dlq::Letter;
use pgcdc_sdk::{Context, Dlq, Result, console};

/// Has no state and no options.
#[derive(Debug)]
pub struct Stderr;

impl Dlq for Stderr {
    type Config = ();

    async fn open(_: (), _: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn put(&self, letters: Vec<Letter>) -> Result<()> {
        console::write(console::Stream::Stderr, lines(&letters)).await
    }
}

/// One line each, whatever white space the JSON has.
fn lines(letters: &[Letter]) -> String {
    let mut out = String::new();
    for letter in letters {
        out.extend(
            letter.meta.chars().map(|letter| if matches!(letter, '\n' | '\r') { ' ' } else { letter }),
        );
        out.push('\n');
    }
    out
}

pgcdc_sdk::connector! {
    dlq: Stderr,
    name: "stderr",
    delivery: "Not durable: a letter is kept by whoever keeps this process's standard error.",
    capabilities: { console: "prints letters to the standard error" },
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::testing;

    #[test]
    fn a_letter_is_one_line() {
        let letter = |meta: &str| Letter { id: "1".into(), meta: meta.into(), rows: Vec::new() };
        testing::block_on(Stderr.put(vec![letter("{\"a\":\r\n1}"), letter("{}")])).unwrap();
        assert_eq!(testing::take_printed("stderr"), "{\"a\":  1}\n{}\n");
    }
}
