//! What a filter asks, as the conditions of a statement. Pure.

use pgcdc_sdk::postgres::Param;
use pgcdc_sdk::{Error, Result};
use serde::Deserialize;

/// A filter as the host writes it; what it does not name is not asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    sink: Option<String>,
    since: Option<String>,
    until: Option<String>,
    id: Option<String>,
    pending: Option<bool>,
    pub(crate) limit: Option<u32>,
    after: Option<String>,
    order: Option<Order>,
    /// With the letters' rows.
    pub(crate) rows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Newest,
    Oldest,
}

impl Filter {
    /// Reads one; what is not understood is refused, because a condition that is not asked names too many letters.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        // A list would be read as the fields in their order.
        if !json.trim_start().starts_with('{') {
            return Err(Error::invalid("filter: it is no JSON object"));
        }
        serde_json::from_str(json).map_err(|error| Error::invalid(format!("filter: {error}")))
    }

    /// What follows `where`, with its parameters from `$1` on. Always true of some letter: never empty.
    pub(crate) fn conditions(&self, table: &str) -> (String, Vec<Param<'static>>) {
        let (mut conditions, mut params) = (vec!["true".to_owned()], Vec::new());
        let mut ask = |condition: &str, value: &Option<String>| {
            if let Some(value) = value {
                params.push(Param::from(value.as_str()));
                conditions.push(condition.replace("{}", &format!("${}", params.len())));
            }
        };
        ask("adapter = {}", &self.sink);
        ask("created_at >= {}::timestamptz", &self.since);
        ask("created_at <= {}::timestamptz", &self.until);
        ask("{} in (letter, event_id)", &self.id);
        let beyond = if self.oldest_first() { ">" } else { "<" };
        ask(&format!("id {beyond} (select id from {table} where letter = {{}})"), &self.after);
        match self.pending {
            Some(true) => conditions.push("replayed_at is null".to_owned()),
            Some(false) => conditions.push("replayed_at is not null".to_owned()),
            None => {}
        }
        (conditions.join(" and "), params)
    }

    /// What follows `order by`.
    pub(crate) fn order(&self) -> &'static str {
        if self.oldest_first() { "id" } else { "id desc" }
    }

    fn oldest_first(&self) -> bool {
        self.order == Some(Order::Oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_asked_and_nothing_is_pasted() {
        let filter =
            r#"{"sink":"a'b","until":"2026-01-01T00:00:00Z","pending":true,"order":"oldest","after":"x"}"#;
        let (conditions, params) = Filter::parse(filter).unwrap().conditions("t");
        assert_eq!(
            conditions,
            "true and adapter = $1 and created_at <= $2::timestamptz \
             and id > (select id from t where letter = $3) and replayed_at is null"
        );
        assert_eq!(params.len(), 3);
        let (conditions, params) = Filter::parse("").unwrap().conditions("t");
        assert!(conditions == "true" && params.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [r#"{"adapter":"a"}"#, "[]", r#"{"order":"random"}"#, "{"] {
            assert_eq!(Filter::parse(bad).unwrap_err().code, "invalid", "{bad}");
        }
    }
}
