//! The transform `rename_fields`: gives columns other names.
//!
//! In the row after and before the change; of a payload as a trigger makes it, in `row` and `old`; of any
//! other payload, keys at its top. All at once, so that two columns can swap names. What gets a name that
//! another column has takes its place.

use std::collections::BTreeMap;

use pgcdc_sdk::columns::{self, Edit};
use pgcdc_sdk::layout::Relation;
use pgcdc_sdk::layout::rewrite::{ColumnPlan, RelationPlan};
use pgcdc_sdk::object::Object;
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Config, Context, Error, Result, Transform};

/// Which columns, and what they are called from here on.
#[derive(Debug, Config)]
pub struct RenameFields {
    /// Old name and new name.
    mapping: BTreeMap<String, String>,
}

impl Transform for RenameFields {
    type Config = Self;

    async fn open(config: Self, _: &Context) -> Result<Self> {
        config.coherent()?;
        Ok(config)
    }

    async fn check(config: Self) -> Result<()> {
        config.coherent()
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        columns::edit(batch, self)
    }
}

impl RenameFields {
    fn coherent(&self) -> Result<()> {
        for (old, new) in &self.mapping {
            if new.is_empty() {
                return Err(Error::misconfigured(format!("mapping.{old}: a column has a name")));
            }
            if self.mapping.iter().any(|(other, name)| other != old && name == new) {
                return Err(Error::misconfigured(format!(
                    "mapping.{old}: two columns would be called `{new}`"
                )));
            }
        }
        Ok(())
    }

    /// The new name of what has one.
    fn renamed(&self, column: &str) -> Option<&String> {
        self.mapping.get(column).filter(|new| *new != column)
    }

    /// What becomes of a column beside these others.
    fn fate(&self, column: &str, others: &[&str]) -> ColumnPlan {
        let rename = self.renamed(column).cloned();
        let taken = |other: &&str| self.renamed(other).is_some_and(|new| new == column);
        let drop = rename.is_none() && others.iter().any(taken);
        ColumnPlan { rename, drop, ..ColumnPlan::default() }
    }
}

impl Edit for RenameFields {
    fn plan(&self, relation: &Relation<'_>) -> RelationPlan {
        let names: Vec<&str> = relation.columns().map(|column| column.name()).collect();
        let columns: Vec<ColumnPlan> = names.iter().map(|name| self.fate(name, &names)).collect();
        if columns.iter().all(|plan| *plan == ColumnPlan::default()) {
            return RelationPlan::default();
        }
        RelationPlan { columns, ..RelationPlan::default() }
    }

    fn object(&self, object: &mut Object<'_>) {
        object.rename(|key| self.renamed(key).cloned());
    }
}

pgcdc_sdk::connector! {
    transform: RenameFields,
    name: "rename_fields",
    delivery: "Every event passes, with the new names.",
}
