//! A canary in every place where a secret may stand, and everything that pgcdc may print of it.

use super::{checked, complaint, manifest, parsed_as, shipped, with_sink};
use crate::manifest::print;

/// Sound manifests with `canary` in secrets, endpoints, headers and comments.
const SOUND: [&str; 3] = [
    "    use: webhook\n    config: { url: \"https://u:canary@h.example/in?key=canary\", signing_key: canary }\n",
    "    use: webhook # canary\n    config:\n      url: https://h.example\n      signing_key: \"${HOOK_KEY}\"\n      headers: { Authorization: Bearer canary }\n",
    "    use: ./mine.wasm\n    config: { token: canary }\n    grants: { http: [ \"https://u:canary@h.example?canary\" ] }\n",
];

#[test]
fn sound_manifests_show_nothing() {
    for sink in SOUND {
        let text = with_sink(sink);
        let checked = checked(&text).unwrap_or_else(|report| panic!("{report}"));
        let manifest = manifest(&text);
        let printed = print::yaml(&manifest, &shipped::all());
        let endpoints = checked.sinks[0].connector.grants.endpoints.values();
        let shown: String = endpoints.map(|endpoint| format!("{:?}", endpoint.address)).collect();
        for output in [
            format!("{manifest:?}"),
            format!("{checked:?}"),
            printed.clone(),
            shown,
            checked.warnings.join("\n"),
            checked.sinks[0].connector.grants.endpoints.keys().cloned().collect(),
        ] {
            assert!(!output.contains("canary"), "{output}");
        }
        assert!(!checked.detectors[0].config.to_string().contains("canary"));
        let again = self::manifest(&printed);
        assert_eq!(print::yaml(&again, &shipped::all()), printed, "what is masked stays masked");
    }
}

#[test]
fn guests_never_see_a_secret() {
    let checked = checked(&with_sink(SOUND[0])).unwrap();
    let config = checked.sinks[0].connector.config.to_string();
    assert!(!config.contains("canary"), "{config}");
    assert_eq!(checked.sinks[0].connector.config["signing_key"], "sinks.audit.signing_key");
}

#[test]
fn complaints_show_nothing() {
    let lines = [
        "use: webhook, config: { url: canary, signing_key: [ canary ] }",
        "use: webhook, config: { url: 'https://canary@', key: canary }",
        "use: webhook, config: { url: 'https://h', signing_key: { env: canary } }",
        "use: webhook, config: { url: 'https://h', headers: canary }",
        "use: webhook, config: { url: 'https://h', signing_key:canary }",
        "use: webhook, config: { url: 'https://h', encoding: { signing_key: canary } }",
        "use: webhook, polcy: canary",
        "use: webhook, config: canary",
        "use: stdout, config: { password: canary }",
        "use: webhook, config: { url: 'https://h/${NOPE}canary' }",
        "use: webhook, config: { url: 'https://h', signing_key: 'canary${NOPE' }",
        "use: webhook, config: { url: 'https://h', signing_key: !!str canary }",
        "use: webhook, config: { signing_key: canary, signing_key: canary }",
        "use: webhook, config: { signing_key: canary ",
        "use: webhook, config: { signing_key: 'canary }",
    ];
    for line in lines {
        let said = complaint(&with_sink(&format!("    {{ {line} }}\n")));
        assert!(!said.is_empty() && !said.contains("canary"), "{line}\n{said}");
    }
    for toml in [
        "version = 1\nsecrets = { hook = \"canary\" }\n",
        "version = 1\n[sinks.a.config]\nsigning_key = canary\n",
        "version = 1\n[sinks.a.config]\nsigning_key = \"canary\n",
        "version = 1\n[sinks.a]\nkey = \"canary\"\n",
    ] {
        let said = parsed_as("a.toml", toml.as_bytes()).unwrap_err().to_string();
        assert!(!said.contains("canary"), "{said}");
    }
}
