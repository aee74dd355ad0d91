//! A config's schema and its decoding say the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![allow(dead_code, reason = "the fields are there for their schema")]

use std::collections::BTreeMap;
use std::time::Duration;

use pgcdc_sdk::config::{Json, Value};
use pgcdc_sdk::describe::{self, Description};
use pgcdc_sdk::{ByteSize, Config, Endpoint, Secret, testing};

/// Not in the schema: only fields are.
#[derive(Debug, Config)]
struct Options {
    /// Where
    /// to.
    ///
    /// Says "more".
    #[config(endpoint = "http", flag = "url", short = "u")]
    url: Endpoint,
    #[config(default = "10s")]
    timeout: Duration,
    #[config(default = "1MiB", min = 1)]
    size: ByteSize,
    #[config(default = 3, min = 1, max = 9)]
    count: u8,
    #[config(default = -1.5)]
    ratio: f64,
    offset: Option<i64>,
    key: Option<Secret>,
    #[config(default = "two_words")]
    choice: Choice,
    #[config(default = ["a", "b\"c"], max = 5)]
    names: Vec<String>,
    #[config(default = {})]
    headers: BTreeMap<String, String>,
    rules: Vec<Rule>,
    #[config(name = "in")]
    anything: Option<Json>,
    #[config(default = false)]
    r#type: bool,
}

#[derive(Debug, Config)]
struct Rule {
    field: String,
}

#[derive(Debug, PartialEq, Config)]
enum Choice {
    One,
    TwoWords,
    #[config(name = "3")]
    Three,
}

const DESCRIPTION: Description = Description {
    name: "x",
    version: "1",
    description: "",
    kind: "sink",
    config: Options::SCHEMA,
    capabilities: &[("http", "a\nreason"), ("log", "")],
    delivery: "",
    docs: "",
    example: "",
};

fn description() -> Json {
    const LENGTH: usize = describe::length(&DESCRIPTION);
    const JSON: [u8; LENGTH] = describe::json(&DESCRIPTION);
    str::from_utf8(&JSON).unwrap().parse().unwrap()
}

fn json(text: &str) -> Json {
    text.parse().unwrap()
}

#[test]
fn the_description_is_complete() {
    let description = description();
    let expected = [
        ("kinds", r#"["sink"]"#),
        ("layouts", "[1]"),
        ("api", r#""1.0.0-draft""#),
        ("capabilities", r#"[{"interface":"http","reason":"a\nreason"},{"interface":"log","reason":""}]"#),
    ];
    for (key, value) in expected {
        assert_eq!(description[key], json(value), "{key}");
    }
    assert_eq!(description["sdk"]["name"], "pgcdc-sdk");
}

#[test]
fn the_schema_has_everything_that_the_fields_say() {
    let config = description()["config"].clone();
    let expected = [
        (
            "url",
            r#"{"description":"Where to.\nSays \"more\".","type":"string","format":"endpoint","endpoint":"http",
                "flag":"url","short":"u"}"#,
        ),
        ("timeout", r#"{"type":"string","format":"duration","default":"10s"}"#),
        ("size", r#"{"type":"string","format":"bytes","default":"1MiB","minimum":1}"#),
        ("count", r#"{"type":"integer","default":3,"minimum":1,"maximum":9}"#),
        ("ratio", r#"{"type":"number","default":-1.5}"#),
        ("offset", r#"{"type":"integer"}"#),
        ("key", r#"{"type":"string","secret":true}"#),
        ("choice", r#"{"type":"string","enum":["one","two_words","3"],"default":"two_words"}"#),
        ("names", r#"{"type":"array","items":{"type":"string"},"default":["a","b\"c"],"maxItems":5}"#),
        ("headers", r#"{"type":"object","additionalProperties":{"type":"string"},"default":{}}"#),
        (
            "rules",
            r#"{"type":"array","items":{"type":"object","properties":{"field":{"type":"string"}},
                "required":["field"],"additionalProperties":false}}"#,
        ),
        ("in", "{}"),
        ("type", r#"{"type":"boolean","default":false}"#),
    ];
    let properties = config["properties"].as_object().unwrap();
    assert_eq!(properties.len(), expected.len());
    for (name, schema) in expected {
        assert_eq!(properties[name], json(schema), "{name}");
    }
    assert_eq!(config["required"], json(r#"["url","rules"]"#));
    assert_eq!(config["additionalProperties"], false);
}

#[test]
fn defaults_are_there_without_a_host() {
    let options: Options = testing::config(r#"{"url":"u","rules":[{"field":"a"}]}"#).unwrap();
    assert_eq!((options.timeout, options.size), (Duration::from_secs(10), ByteSize(1 << 20)));
    assert_eq!((options.count, options.choice), (3, Choice::TwoWords));
    assert_eq!(options.names, ["a", "b\"c"]);
    assert!(options.offset.is_none() && options.anything.is_none());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("", "config.url: expected a value"),
        ("[]", "config: expected names and values"),
        ("{", "config: not JSON"),
        (r#"{"url":1}"#, "config.url: expected a text"),
        (r#"{"url":"u","rules":[{"field":"a"},{}]}"#, "config.rules.1.field: expected a value"),
        (r#"{"url":"u","rules":[],"count":300}"#, "config.count: expected a whole number (u8)"),
        (r#"{"url":"u","rules":[],"choice":"four"}"#, "config.choice: expected one, two_words, 3"),
        (r#"{"url":"u","rules":[],"timeout":"soon"}"#, "config.timeout: expected a duration"),
        (r#"{"url":"u","rules":[],"headers":{"a":1}}"#, "config.headers.a: expected a text"),
    ];
    for (config, message) in cases {
        let error = testing::config::<Options>(config).unwrap_err();
        assert_eq!(error.code, "misconfigured", "{config}");
        assert!(error.message.starts_with(message), "{config}: {error}");
    }
}
