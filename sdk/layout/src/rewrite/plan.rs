//! What becomes of a relation and its columns, decided once for all events of a batch.

use super::carry;
use crate::spec::Kind;
use crate::view::Relation;
use crate::writer::{BatchWriter, RelationDef, TypeDef, WriteError};

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnPlan {
    /// It goes.
    pub drop: bool,
    /// It gets another name.
    pub rename: Option<String>,
    /// Its values may change.
    pub map: bool,
    /// It becomes text, whatever it was: for values that its type does not have.
    pub text: bool,
}

/// What becomes of a relation. The default leaves everything as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelationPlan {
    /// Another channel.
    pub channel: Option<String>,
    /// Another name of the table.
    pub name: Option<String>,
    /// Its columns in order; those behind the last one stay as they are.
    pub columns: Vec<ColumnPlan>,
}

impl RelationPlan {
    /// Only what tells rows apart stays: the primary key, or else the replica identity, unless that is the whole row.
    pub fn key_only(relation: &Relation<'_>) -> Self {
        let has_primary = relation.columns().any(|column| column.primary());
        let is_key = |column: &crate::view::Column<'_>| match has_primary {
            true => column.primary(),
            false => column.identity() && relation.identity() != b'f',
        };
        let plan = |column| ColumnPlan { drop: !is_key(&column), ..ColumnPlan::default() };
        RelationPlan { columns: relation.columns().map(plan).collect(), ..RelationPlan::default() }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fate {
    pub(super) dropped: bool,
    pub(super) mapped: bool,
}

/// A relation of the old batch in the new one.
#[derive(Debug)]
pub(super) struct Table {
    /// Its index in the new batch.
    pub(super) index: u32,
    /// Whether its rows can be copied as they are.
    pub(super) whole: bool,
    /// How many columns are left.
    pub(super) width: usize,
    pub(super) fates: Vec<Fate>,
}

impl Table {
    pub(super) fn add(
        out: &mut BatchWriter,
        relation: &Relation<'_>,
        plan: &RelationPlan,
        text_type: &mut Option<u32>,
    ) -> Result<Table, WriteError> {
        let mut columns = Vec::with_capacity(relation.column_count());
        let mut fates = Vec::with_capacity(relation.column_count());
        for (n, column) in relation.columns().enumerate() {
            let Some(plan) = plan.columns.get(n) else {
                columns.push(carry::column_def(&column));
                fates.push(Fate::default());
                continue;
            };
            fates.push(Fate { dropped: plan.drop, mapped: plan.map });
            if plan.drop {
                continue;
            }
            let mut def = carry::column_def(&column);
            if let Some(name) = &plan.rename {
                def.name = name;
            }
            if plan.text && column.ty().is_some_and(|ty| ty.kind() != Kind::Text) {
                def.ty = text(out, text_type)?;
                def.typmod = -1;
            }
            columns.push(def);
        }
        let index = out.add_relation(&RelationDef {
            oid: relation.oid(),
            identity: relation.identity(),
            schema: relation.schema(),
            name: plan.name.as_deref().unwrap_or(relation.name()),
            channel: plan.channel.as_deref().unwrap_or(relation.channel()),
            columns: &columns,
        })?;
        let whole = fates.iter().all(|fate| !fate.dropped && !fate.mapped);
        Ok(Table { index, whole, width: columns.len(), fates })
    }
}

/// PostgreSQL's `text`, added when it is first needed.
fn text(out: &mut BatchWriter, known: &mut Option<u32>) -> Result<u32, WriteError> {
    const TEXT_OID: u32 = 25;
    if let Some(index) = known {
        return Ok(*index);
    }
    let index = out.add_type(&TypeDef::scalar(TEXT_OID, Kind::Text, "text"))?;
    Ok(*known.insert(index))
}
