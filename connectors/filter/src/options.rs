//! What an operator may say, and what it means.

use pgcdc_sdk::config::Json;
use pgcdc_sdk::{Config, Error, Result};
use regex_lite::{Regex, RegexBuilder};

/// A regular expression that takes more than this when compiled is refused.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// One condition; two are two filters, one behind the other.
#[derive(Debug, Config)]
pub struct Options {
    /// These operations pass, e.g. INSERT.
    #[config(default = [])]
    operations: Vec<String>,
    /// The field that is looked at.
    field: Option<String>,
    /// Passes what has this value there.
    equals: Option<Json>,
    /// Passes what has one of these values there.
    #[config(name = "in")]
    one_of: Option<Vec<Json>>,
    /// Passes what this regular expression matches there, in whatever part.
    regex: Option<String>,
}

/// The condition.
#[derive(Debug)]
pub(crate) enum Test {
    Operations(Vec<String>),
    Field(String, Value),
}

/// What a value is held against.
#[derive(Debug)]
pub(crate) enum Value {
    OneOf(Vec<String>),
    Regex(Regex),
}

impl Options {
    pub(crate) fn test(self) -> Result<Test> {
        let wrong = |what: &str| Err(Error::misconfigured(what));
        let operations: Vec<String> = self.operations.iter().map(|name| name.to_ascii_uppercase()).collect();
        let values = match (self.equals, self.one_of, self.regex) {
            (None, None, None) => None,
            (Some(value), None, None) => Some(Value::OneOf(vec![printed(&value)])),
            (None, Some(values), None) => Some(Value::OneOf(values.iter().map(printed).collect())),
            (None, None, Some(pattern)) => Some(Value::Regex(regex(&pattern)?)),
            _ => return wrong("say one of equals, in and regex; two conditions are two filters"),
        };
        match (operations.is_empty(), self.field, values) {
            (false, None, None) => Ok(Test::Operations(operations)),
            (true, Some(field), Some(value)) => Ok(Test::Field(field, value)),
            (false, _, _) => {
                wrong("operations and field are two conditions: two filters, one behind the other")
            }
            (true, None, _) => wrong("say which operations pass, or a field with equals, in or regex"),
            (true, Some(_), None) => wrong("field: say equals, in or regex, too"),
        }
    }
}

impl Value {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::OneOf(values) => values.iter().any(|value| value == text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

fn printed(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn regex(pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| Error::misconfigured(format!("regex: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgcdc_sdk::testing;

    #[test]
    fn one_condition_and_no_more() {
        let test = |json| testing::config::<Options>(json).unwrap().test();
        assert!(
            matches!(test(r#"{"operations":["insert"]}"#), Ok(Test::Operations(names)) if names == ["INSERT"])
        );
        assert!(matches!(test(r#"{"field":"a","equals":1}"#), Ok(Test::Field(..))));
        let bad = [
            "{}",
            r#"{"field":"a"}"#,
            r#"{"equals":1}"#,
            r#"{"field":"a","equals":1,"in":[2]}"#,
            r#"{"field":"a","regex":"("}"#,
            r#"{"field":"a","equals":1,"operations":["INSERT"]}"#,
        ];
        for bad in bad {
            assert_eq!(test(bad).unwrap_err().code, "misconfigured", "{bad}");
        }
    }
}
