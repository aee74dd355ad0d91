//! Foreign bytes never panic, and what is printed reads back.

use proptest::prelude::*;

use super::{manifest, parsed_as, shipped, with_sink};
use crate::manifest::model::Connector;
use crate::manifest::tree::{Node, Text, Value};
use crate::manifest::{Description, print};

/// Bytes that have a chance to be YAML or TOML.
fn near_yaml() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "version: 1\n",
        "sinks:",
        "detectors:",
        "\n",
        "  ",
        "- ",
        "{ ",
        " }",
        "[ ",
        " ]",
        ", ",
        ": ",
        "use: wal",
        "config",
        "&a ",
        "*a",
        "\"",
        "'",
        "|\n",
        ">\n",
        "# x",
        "${A}",
        "${DATABASE_URL}",
        "{ a: ${PORT} }",
        "[ ${A:-x} ]",
        "$$",
        "\t",
        "? ",
        "!t ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "é",
        "\u{feff}",
        "= ",
        "[sinks.a]\n",
        "[[transforms]]\n",
        "\"\"\"",
        "0x1F",
        "1e400",
        "\u{85}",
        "\u{2028}",
        "<<",
        "\r\n",
        "\0",
    ]);
    prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

fn config_value() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|value| Node::nowhere(Value::Bool(value))),
        any::<i64>().prop_map(|value| Node::nowhere(Value::Integer(value))),
        any::<f64>()
            .prop_filter("JSON has no others", |value| value.is_finite())
            .prop_map(|value| Node::nowhere(Value::Float(value))),
        any::<String>().prop_map(|text| Node::nowhere(Value::Text(Text::plain(&text)))),
        "(yes|no|null|~|1_0|0x1|1e5|-|\\.|[-+]?[0-9.]{1,4}|[$]{1,3}[{]A[}])"
            .prop_map(|text| Node::text(&text)),
        Just(Node::nowhere(Value::Text(Text::from_variables("16", "${PORT}")))),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| Node::nowhere(Value::List(items))),
            prop::collection::btree_map("[a-z .:-]{1,8}", inner, 0..4).prop_map(|map| {
                let mut node = Node::nowhere(Value::Map(Vec::new()));
                map.into_iter().for_each(|(key, value)| node.set(&key, value));
                node
            }),
        ]
    })
}

/// A sink whose schema calls everything plain text, so that nothing is masked.
fn open_sink() -> Description {
    let json =
        br#"{"name":"stdout","kinds":["sink"],"api":"1","config":{"properties":{"x":{"type":"string"}}}}"#;
    Description::from_json(json).unwrap()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parsed_as("a.yaml", &bytes).map_err(|report| report.to_string());
        let _ = parsed_as("a.toml", &bytes).map_err(|report| report.to_string());
        let _ = Description::from_json(&bytes);
    }

    #[test]
    fn nearly_yaml_never_panics(text in near_yaml()) {
        let _ = parsed_as("a.yaml", text.as_bytes()).map_err(|report| report.to_string());
        let _ = parsed_as("a.toml", text.as_bytes()).map_err(|report| report.to_string());
    }

    #[test]
    fn broken_manifests_never_panic(at in 0_usize..1200, byte in any::<u8>()) {
        for (name, text) in [("a.yaml", include_str!("shop.yaml")), ("a.toml", include_str!("shop.toml"))] {
            let mut bytes = text.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(parsed) = parsed_as(name, &bytes) {
                let _ = crate::manifest::check::check(&parsed.manifest, &shipped::all(), &|_, _| Err("absent".to_owned()));
            }
            bytes.truncate(at);
            let _ = parsed_as(name, &bytes).map_err(|report| report.to_string());
        }
    }

    #[test]
    fn printed_configs_read_back(value in config_value()) {
        let mut before = manifest(&with_sink("    use: stdout\n"));
        let mut sink = Connector::shipped("audit", "stdout");
        sink.config.set("x", value);
        before.sinks[0].connector = sink;
        let known = [open_sink()];
        let printed = print::yaml(&before, &known);
        let after = manifest(&printed);
        // Maps inside are the operator's own and are masked: print again, and nothing moves.
        prop_assert_eq!(print::yaml(&after, &known), printed);
    }

    #[test]
    fn printed_texts_read_back(text in any::<String>(), odd in "[\\x00-\\x20\\x7f-\\xa0\u{2028}\u{feff}'\"#:,{}&*!|>%@`$\\\\-]{0,12}") {
        for text in [text, odd] {
            let mut before = manifest(&with_sink("    use: stdout\n"));
            before.sinks[0].connector.config.set("x", Node::text(&text));
            let after = manifest(&print::yaml(&before, &[open_sink()]));
            prop_assert_eq!(after, before);
        }
    }
}
