//! The transform `drop_columns`: removes columns from rows.
//!
//! From the row after and before the change; of a payload as a trigger makes it, from `row` and `old`; of
//! any other payload, keys at its top. What is not there is not missed.

use pgcdc_sdk::columns::{self, Edit};
use pgcdc_sdk::layout::Relation;
use pgcdc_sdk::layout::rewrite::{ColumnPlan, RelationPlan};
use pgcdc_sdk::object::Object;
use pgcdc_sdk::transform::Applied;
use pgcdc_sdk::{Batch, Config, Context, Result, Transform};

/// Which columns.
#[derive(Debug, Config)]
pub struct DropColumns {
    /// The names of the columns, of whatever table.
    #[config(min = 1)]
    columns: Vec<String>,
}

impl Transform for DropColumns {
    type Config = Self;

    async fn open(config: Self, _: &Context) -> Result<Self> {
        Ok(config)
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        columns::edit(batch, self)
    }
}

impl DropColumns {
    fn drops(&self, column: &str) -> bool {
        self.columns.iter().any(|dropped| dropped == column)
    }
}

impl Edit for DropColumns {
    fn plan(&self, relation: &Relation<'_>) -> RelationPlan {
        if !relation.columns().any(|column| self.drops(column.name())) {
            return RelationPlan::default();
        }
        let plan = |name: &str| ColumnPlan { drop: self.drops(name), ..ColumnPlan::default() };
        RelationPlan {
            columns: relation.columns().map(|column| plan(column.name())).collect(),
            ..RelationPlan::default()
        }
    }

    fn object(&self, object: &mut Object<'_>) {
        object.retain(|key| !self.drops(key));
    }
}

pgcdc_sdk::connector! {
    transform: DropColumns,
    name: "drop_columns",
    delivery: "Every event passes, without the columns.",
}
