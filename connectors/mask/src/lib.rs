//! The transform `mask`: hides the values of columns.
//!
//! In the row after and before the change; of a payload as a trigger makes it, in `row` and `old`; of any
//! other payload, at its top. NULL stays NULL, and a value that the source did not send stays unsent. What was masked
//! is text from then on, but for the mode `zero`; it is made of the value as the envelope would print it. A mode that is not known is refused, so that nothing
//! leaves unmasked.

mod digest;
mod rule;

use digest::Digests;
use pgcdc_sdk::columns::{self, Edit};
use pgcdc_sdk::layout::Relation;
use pgcdc_sdk::layout::rewrite::{ColumnPlan, Mapped, RelationPlan};
use pgcdc_sdk::object::{Object, quoted, text_of};
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Config, Context, Error, Result, Transform};
pub use rule::{Mode, Rule};

/// Which columns, and how.
#[derive(Debug, Config)]
pub struct Options {
    /// One entry for each column.
    #[config(min = 1)]
    fields: Vec<Rule>,
}

/// The rules at work.
#[derive(Debug)]
pub struct Mask {
    rules: Vec<Rule>,
}

impl Transform for Mask {
    type Config = Options;

    async fn open(options: Options, _: &Context) -> Result<Self> {
        coherent(&options)?;
        Ok(Self { rules: options.fields })
    }

    async fn check(options: Options) -> Result<()> {
        coherent(&options)
    }

    /// Keys never enter a component, so that keyed digests are the host's work: a first pass over the batch
    /// collects what is to be digested, and one call has it done.
    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        let digests = Digests::default();
        if self.rules.iter().any(Rule::is_keyed) {
            columns::edit(batch, &Pass { rules: &self.rules, digests: &digests, collects: true })?;
            digests.resolve(&self.rules)?;
        }
        columns::edit(batch, &Pass { rules: &self.rules, digests: &digests, collects: false })
    }
}

fn coherent(options: &Options) -> Result<()> {
    for (at, rule) in options.fields.iter().enumerate() {
        let here = format!("fields.{at}");
        if rule.key.is_some() && rule.mode != Mode::Hash {
            return Err(Error::misconfigured(format!("{here}.key: only the mode `hash` takes a key")));
        }
        if options.fields[..at].iter().any(|other| other.field == rule.field) {
            return Err(Error::misconfigured(format!("{here}.field: `{}` has a rule already", rule.field)));
        }
    }
    Ok(())
}

/// One pass over a batch.
struct Pass<'r> {
    rules: &'r [Rule],
    digests: &'r Digests,
    collects: bool,
}

impl Pass<'_> {
    fn rule(&self, column: &str) -> Option<(usize, &Rule)> {
        self.rules.iter().enumerate().find(|(_, rule)| rule.field == column)
    }

    fn masked(&self, at: usize, rule: &Rule, text: &str) -> String {
        match (rule.is_keyed(), self.collects) {
            (true, true) => {
                self.digests.want(at, text);
                String::new()
            }
            (true, false) => self.digests.get(at, text),
            (false, _) => rule.masked(text),
        }
    }
}

impl Edit for Pass<'_> {
    fn plan(&self, relation: &Relation<'_>) -> RelationPlan {
        let of = |column: pgcdc_sdk::layout::Column<'_>| match self.rule(column.name()) {
            Some((_, rule)) => {
                ColumnPlan { map: true, text: rule.makes_text(column.ty()), ..ColumnPlan::default() }
            }
            None => ColumnPlan::default(),
        };
        let columns: Vec<ColumnPlan> = relation.columns().map(of).collect();
        if columns.iter().all(|plan| !plan.map) {
            return RelationPlan::default();
        }
        RelationPlan { columns, ..RelationPlan::default() }
    }

    fn value<'a>(&self, column: &pgcdc_sdk::layout::Column<'_>, text: &'a str) -> Mapped<'a> {
        match self.rule(column.name()) {
            Some((_, rule)) if rule.mode == Mode::Zero => {
                Mapped::Value(rule::zero_of(column.ty(), text).into())
            }
            Some((at, rule)) => {
                Mapped::Value(self.masked(at, rule, &columns::printed(column.ty(), text)).into())
            }
            None => Mapped::Same,
        }
    }

    fn object(&self, object: &mut Object<'_>) {
        for (at, rule) in self.rules.iter().enumerate() {
            let Some(json) = object.get(&rule.field).filter(|json| *json != "null") else { continue };
            let masked = match rule.mode {
                Mode::Zero => rule::zero_of_json(json).to_owned(),
                _ => quoted(&self.masked(at, rule, &text_of(json).unwrap_or_else(|| json.to_owned()))),
            };
            object.replace(&rule.field, masked);
        }
    }
}

pgcdc_sdk::connector! {
    transform: Mask,
    name: "mask",
    delivery: "Every event passes, with the values hidden.",
    capabilities: { crypto: "digests values under a key that stays in the host" },
}
