//! Transforms of columns, wherever an event keeps them: in its rows; in `row` and `old` of a payload as a
//! trigger makes it; else at the top of a payload that is a JSON object.

use std::borrow::Cow;

use pgcdc_layout::rewrite::{FreeForm, Mapped, RelationPlan, Rewriter};
use pgcdc_layout::writer::BodyDef;
use pgcdc_layout::{Body, Column, Event, Kind, Relation, Type, View, WriteError, json};

use crate::object::{Object, text_of};
use crate::transform::{Applied, Failure};
use crate::{Batch, Error, Result};

/// What becomes of columns.
pub trait Edit {
    /// Of a relation's; asked once for each relation of a batch.
    fn plan(&self, relation: &Relation<'_>) -> RelationPlan;

    /// Of a value in a column that the plan maps.
    fn value<'a>(&self, _column: &Column<'_>, _text: &'a str) -> Mapped<'a> {
        Mapped::Same
    }

    /// Of the members of an object.
    fn object(&self, object: &mut Object<'_>);
}

/// Edits every event of a batch. A batch without anything to edit passes through without being rewritten.
///
/// # Errors
///
/// The host's, for a batch that it cannot read or build. An event that does not fit any more is a failure of that
/// event.
pub fn edit(batch: &Batch, edit: &impl Edit) -> Result<Applied> {
    let rows = batch.read()?;
    let view = rows.view();
    if !concerns(&view, edit) {
        return Applied::unchanged(batch);
    }
    let mut applied = Applied::default();
    let mut next = 0;
    while next < batch.count() {
        let (from, written) = (next, write(&view, edit, &mut next, &mut applied.failures));
        match written {
            Ok(Some(bytes)) => applied.batches.push(Batch::build(&bytes)?),
            Ok(None) if next > from => {}
            Ok(None) => return Err(Error::too_large("an event does not fit into a batch of its own")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(applied)
}

fn concerns(view: &View<'_>, edit: &impl Edit) -> bool {
    let relations = (0..view.relation_count()).filter_map(|index| view.relation(u32::try_from(index).ok()?));
    let planned = relations.map(|relation| edit.plan(&relation)).any(|plan| plan != RelationPlan::default());
    planned || view.events().any(|event| matches!(event.body(), Body::Json(_)))
}

/// Writes events from `next` on, until there are no more or the new batch is full.
fn write(
    view: &View<'_>,
    edit: &impl Edit,
    next: &mut u32,
    failures: &mut Vec<Failure>,
) -> Result<Option<Vec<u8>>, WriteError> {
    let mut rewriter = Rewriter::new(*view, |relation| edit.plan(relation))?;
    while let Some(event) = view.event(*next) {
        let done = match event.body() {
            Body::Json(payload) => match edited(payload, edit) {
                Some(payload) => {
                    let form = FreeForm { body: BodyDef::Json(&payload), rows: true, ..FreeForm::default() };
                    rewriter.free_form_with(&event, &form, |_, at, text| mapped(edit, &event, at, text))
                }
                None => rewriter.pass_with(&event, 0, |_, at, text| mapped(edit, &event, at, text)),
            },
            _ => rewriter.pass_with(&event, 0, |_, at, text| mapped(edit, &event, at, text)),
        };
        match done {
            Ok(()) => {}
            Err(WriteError::Full { .. }) => break,
            Err(error) => failures.push(Failure { index: *next, error: error.into() }),
        }
        *next += 1;
    }
    Ok(rewriter.finish())
}

fn mapped<'a>(edit: &impl Edit, event: &Event<'_>, column: usize, text: &'a str) -> Mapped<'a> {
    let column = event.relation().and_then(|relation| relation.column(column));
    column.map_or(Mapped::Same, |column| edit.value(&column, text))
}

/// A payload, edited; none if it has nothing to edit.
fn edited(payload: &str, edit: &impl Edit) -> Option<String> {
    let mut object = Object::parse(payload)?;
    if !is_row_event(&object) {
        edit.object(&mut object);
        return Some(object.to_json());
    }
    for side in ["row", "old"] {
        let Some(mut row) = object.get(side).and_then(Object::parse) else { continue };
        edit.object(&mut row);
        let row = row.to_json();
        object.replace(side, row);
    }
    Some(object.to_json())
}

/// Is this what a trigger makes of a row: `op`, `table`, and `row` as an object or null?
pub fn is_row_event(payload: &Object<'_>) -> bool {
    let is_row = |json: &str| json == "null" || json.starts_with('{');
    payload.text("op").is_some() && payload.text("table").is_some() && payload.get("row").is_some_and(is_row)
}

/// A column's value as the envelope prints it, a JSON string without its quotes.
pub fn printed<'a>(ty: Option<Type<'_>>, text: &'a str) -> Cow<'a, str> {
    match ty {
        None => Cow::Borrowed(text),
        Some(ty) if matches!(ty.kind(), Kind::Text | Kind::Int | Kind::Number) => Cow::Borrowed(text),
        Some(ty) => {
            let mut out = Vec::new();
            json::write_cell(&mut out, &ty, text.as_bytes());
            let out = String::from_utf8(out).unwrap_or_default();
            Cow::Owned(text_of(&out).unwrap_or(out))
        }
    }
}
