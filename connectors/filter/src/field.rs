//! Finding what a condition is about. Pure.

use pgcdc_sdk::columns::{is_row_event, printed};
use pgcdc_sdk::layout::{Cell, Event};
use pgcdc_sdk::object::{Object, text_of};

use crate::options::Value;

/// Does the row have such a value?
pub(crate) fn of_row(event: &Event<'_>, name: &str, value: &Value) -> bool {
    let Some(relation) = event.relation() else { return false };
    let Some(index) = relation.column_index(name) else { return false };
    let ty = relation.column(index).and_then(|column| column.ty());
    let after = event.after().map(|row| row.get(index));
    let before = event.before().map(|row| row.get(index));
    // An unchanged value is the one before.
    let cell = match (after, before) {
        (Some(Cell::Unchanged) | None, Some(cell)) => cell,
        (Some(cell), _) => cell,
        (None, None) => return false,
    };
    match cell {
        Cell::Value(text) => value.matches(&printed(ty, text)),
        Cell::Unchanged => true,
        Cell::Absent if matches!(after, Some(Cell::Unchanged)) => true,
        Cell::Null | Cell::Absent => false,
    }
}

/// Does the payload have such a value? One that is not an object passes.
pub(crate) fn of_payload(payload: &str, name: &str, value: &Value) -> bool {
    let Some(object) = Object::parse(payload) else { return true };
    let in_row = if is_row_event(&object) { object.get("row").and_then(Object::parse) } else { None };
    let found = in_row.as_ref().and_then(|row| row.get(name)).or_else(|| object.get(name));
    found.is_some_and(|json| {
        json != "null" && value.matches(&text_of(json).unwrap_or_else(|| json.to_owned()))
    })
}
