//! The command line as an operator uses it.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::args::{Command, Invocation, parse};
use super::{describe, list, listen};
use crate::manifest::check::check;
use crate::manifest::description::Kind;
use crate::manifest::model::{Manifest, OnFull, Policy};
use crate::manifest::parse::{self as file, Format};
use crate::manifest::print;
use crate::manifest::ready::{Checked, EndpointAddress, SecretSource};
use crate::manifest::settings::BusMode;
use crate::manifest::tests::shipped::all;

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn typed(line: &str) -> Result<Invocation, String> {
    let argv = std::iter::once("pgcdc").chain(line.split_whitespace());
    parse(argv, &all()).map_err(|error| error.to_string())
}

fn built(line: &str, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Manifest, String> {
    let invocation = typed(&format!("listen {line}"))?;
    let Command::Listen(flags) = &invocation.command else { panic!("listen") };
    listen::manifest(flags, &invocation.global, &invocation.given, &all(), env)
}

fn checked(line: &str) -> Result<Checked, String> {
    let manifest = built(line, &nothing)?;
    check(&manifest, &all(), &|_, _| Err("absent".to_owned())).map_err(|report| report.to_string())
}

#[test]
fn fixed_commands() {
    let run = typed("run shop.yaml --log-level debug --state-dir /s").unwrap();
    let Command::Run(run_args) = &run.command else { panic!("run") };
    assert_eq!(run_args.manifest, Some(PathBuf::from("shop.yaml")));
    let layer = run_args.host.overrides(&run.global);
    assert_eq!(
        (layer.state_dir, layer.log.level.map(|level| level.as_str())),
        (Some("/s".into()), Some("debug"))
    );
    assert!(matches!(
        typed("checkpoint show m.yaml --source a").unwrap().command,
        Command::Checkpoint { .. }
    ));
    for line in [
        "version",
        "list --json",
        "status",
        "validate x.yaml",
        "add a.wasm",
        "init --table t",
        "completion bash",
    ] {
        typed(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    assert!(typed("run --log-level loud").unwrap_err().contains("possible values: trace, debug"));
    assert!(typed("listen --config x.yaml").unwrap_err().contains("a manifest is run with"));
}

#[test]
fn flags_become_configs() {
    let checked = checked(
        "--detector wal --db postgres://u@db/x --all-tables --heartbeat-interval 1m \
         -a webhook,file -u https://h/in --webhook-batch-events 10 --webhook-headers X-A=1 --webhook-headers X-B=2=3 \
         --file-path out.jsonl --file-max-size 1MiB --retries 3 --webhook-retries 7 \
         --webhook-on-full block --bus-mode fast --drop-columns a,b --filter-operations INSERT \
         --route webhook=pgcdc:a,pgcdc:b --route webhook=pgcdc:c --dlq none",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        checked.detectors[0].config,
        json!({"db": "db", "all_tables": true, "heartbeat_interval": "1m"})
    );
    let [webhook, file] = checked.sinks.as_slice() else { panic!("two sinks") };
    let config = json!({"url": "url", "encoding": "json", "in_flight": 16, "headers": {"X-A": "1", "X-B": "2=3"},
        "batch": {"events": 10, "bytes": 1_048_576}});
    assert_eq!(webhook.connector.config, config);
    assert_eq!(
        webhook.routes.as_deref().map(|routes| routes.join(" ")).as_deref(),
        Some("pgcdc:a pgcdc:b pgcdc:c")
    );
    assert_eq!((webhook.policy.retries, webhook.policy.on_full), (Some(7), Some(OnFull::Block)));
    assert_eq!(file.policy, Policy { retries: Some(3), ..Policy::default() });
    assert_eq!(file.connector.config["max_size"], 1_048_576);
    let transforms: Vec<_> =
        checked.transforms.iter().map(|each| (each.name.as_str(), each.config.to_string())).collect();
    let expected = [
        ("transforms.0", r#"{"columns":["a","b"]}"#.to_owned()),
        ("transforms.1", r#"{"operations":["INSERT"]}"#.to_owned()),
    ];
    assert_eq!(transforms, expected);
    assert!(checked.dlq.is_none());
}

#[test]
fn the_defaults_are_listen_notify_and_stdout() {
    let manifest = built("--db postgres://db/x -c a -c b,c --bus-mode reliable", &nothing).unwrap();
    assert_eq!(manifest.detectors[0].name.value, "listen_notify");
    assert_eq!(manifest.sinks[0].connector.name.value, "stdout");
    assert_eq!(manifest.settings.bus.mode, Some(BusMode::Reliable));
    let checked = checked("--db postgres://db/x -c a -c b,c").unwrap();
    assert_eq!(checked.detectors[0].config["channels"], json!(["a", "b", "c"]));
    let rewritten = built("--db postgres://db/x --all-tables", &nothing).unwrap();
    assert_eq!(rewritten.detectors[0].name.value, "wal");
}

#[test]
fn what_does_not_fit_is_named() {
    for (line, want) in [
        ("--db postgres://db/x -c a --file-path /x", "--file-path means nothing without --adapter file"),
        ("--db postgres://db/x --publication p", "--publication means nothing without --detector wal"),
        ("-a webhok", "--adapter: there is no sink `webhok`; did you mean `webhook`?"),
        ("-a stdout -a stdout", "--adapter names `stdout` twice"),
        ("--detector walt", "--detector: there is no source `walt`; did you mean `wal`?"),
        ("--dlq table", "--dlq: there is no dlq `table`; known here: stderr, pg_table"),
        ("--dlq-table x", "--dlq-table means nothing without --dlq pg_table"),
        ("--route stdou=a", "--route: there is no adapter `stdou`; did you mean `stdout`?"),
        ("--route stdout=", "--route stdout= names no channel: the sink would get nothing"),
        ("--route stdout", "--route needs SINK=CHANNEL,…"),
        ("--stdout-timeout x", "--stdout-timeout needs a duration of more than 0, such as 10s"),
        ("-a webhook --webhook-headers x", "--webhook-headers needs KEY=VALUE"),
    ] {
        let said = built(line, &nothing).unwrap_err();
        assert!(said.lines().any(|said| said == want), "{line}\n{said}");
    }
    let both = built("-a webhok --route x=y", &nothing).unwrap_err();
    assert_eq!(both.lines().count(), 2, "{both}");
}

#[test]
fn the_schema_speaks_of_flags() {
    for (line, want) in [
        ("-c a", "pgcdc listen: --db is required\n  help: The database."),
        ("--db postgres://db/x", "pgcdc listen: --channel is required\n  help: Channels."),
        ("--db x -c a", "pgcdc listen: --db must look like postgres://user@host[:port]/database"),
        (
            "--db postgres://d/x -c a -a file --file-path /x --file-max-files many",
            "pgcdc listen: --file-max-files must be a whole number, found text",
        ),
        (
            "--db postgres://d/x -c a -a webhook -u http://h --webhook-encoding xml",
            "pgcdc listen: --webhook-encoding must be one of json, json-array, json-lines",
        ),
    ] {
        assert_eq!(checked(line).unwrap_err(), want, "{line}");
    }
}

#[test]
fn the_environment_fills_in_and_stays_a_reference() {
    let env = |name: &str| match name {
        "PGCDC_DATABASE_URL" => Some(OsString::from("postgres://u:canary@db/x")),
        "PGCDC_SIGNING_KEY" => Some(OsString::from("canary")),
        "PGCDC_URL" => Some(OsString::from("https://h/canary")),
        "PGCDC_WEBHOOK_IN_FLIGHT" => Some(OsString::from("3")),
        "PGCDC_CHANNEL" => Some(OsString::from("a,b")),
        "PGCDC_FILE_PATH" => Some(OsString::from("/not/selected")),
        _ => None,
    };
    let manifest = built("-a webhook", &env).unwrap();
    let checked =
        check(&manifest, &all(), &|_, _| Err(String::new())).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(checked.detectors[0].config["channels"], json!(["a", "b"]));
    assert_eq!(checked.sinks[0].connector.config["signing_key"], "signing_key");
    assert_eq!(checked.sinks[0].connector.config["in_flight"], 3);
    assert!(
        matches!(&checked.secrets["signing_key"], SecretSource::Env(name) if name == "PGCDC_SIGNING_KEY")
    );
    let printed = print::yaml(&manifest, &all());
    assert!(!printed.contains("canary"), "{printed}");
    for piece in ["\"${PGCDC_DATABASE_URL}\"", "{ env: PGCDC_SIGNING_KEY }", "\"${PGCDC_URL}\""] {
        assert!(printed.contains(piece), "{printed}");
    }
    let read = file::bytes("printed.yaml", printed.as_bytes(), Format::Yaml, PathBuf::new(), &env);
    assert_eq!(read.unwrap_or_else(|report| panic!("{report}")).manifest, manifest);
}

#[test]
fn the_printed_manifest_reads_back() {
    let line = "--detector wal --db postgres://u@db/x?sslmode=disable --all-tables -a file,webhook --url https://u:canary@h/in \
        --file-path $HOME/x --signing-key canary --webhook-timeout 3s --route file=a --drop-columns no,1 --metrics-addr 127.0.0.1:1 --dlq pg_table --dlq-db postgres://d/y";
    let manifest = built(line, &nothing).unwrap();
    let printed = print::yaml(&manifest, &all());
    assert!(!printed.contains("canary"), "{printed}");
    assert!(!format!("{manifest:?}").contains("canary"));
    let read = file::bytes("printed.yaml", printed.as_bytes(), Format::Yaml, PathBuf::new(), &nothing);
    let read = read.unwrap_or_else(|report| panic!("{report}")).manifest;
    assert_eq!(print::yaml(&read, &all()), printed);
    let open = built("--db postgres://u@db/x -c a -a file --file-path $HOME/x --drop-columns no,1", &nothing)
        .unwrap();
    let printed = print::yaml(&open, &all());
    let read = file::bytes("printed.yaml", printed.as_bytes(), Format::Yaml, PathBuf::new(), &nothing);
    assert_eq!(read.unwrap_or_else(|report| panic!("{report}")).manifest, open);
}

#[test]
fn secrets_stay_out_of_errors() {
    let lines = [
        "postgres://u:canary@h/x",
        "--db postgres://u:canary@h/x extra:canary",
        "--singing-key=canary",
        "-a webhook --url canary://canary -c a --db canary",
        "-a webhook --signing-key canary --signing-key canary",
        "-a webhook --webhook-headers canary",
        "--db=postgres://h/canary --route canary=canary",
    ];
    for line in lines {
        let said = checked(line).map(|_| String::new()).unwrap_or_else(|error| error);
        let shown_name = line.contains("--route");
        assert!(!said.is_empty() && (shown_name || !said.contains("canary")), "{line}\n{said}");
    }
    for line in
        ["postgres://u:canary@h/x", "run --metrics-addr postgres://u:canary@h", "listen --retries canary@h"]
    {
        let said = typed(line).unwrap_err();
        assert!(said.contains("***") && !said.contains("canary"), "{line}\n{said}");
    }
    let invocation = typed("listen --signing-key canary -a webhook").unwrap();
    assert!(!format!("{invocation:?}").contains("canary"));
}

#[test]
fn endpoints_typed_as_flags_are_exact() {
    let checked = checked("--db postgres://u:p@db/x -c a -a file --file-path rel/out").unwrap();
    let EndpointAddress::Typed(path) = &checked.sinks[0].connector.grants.endpoints["path"].address else {
        panic!()
    };
    assert_eq!(path.expose(), "rel/out");
}

#[test]
fn help_lists_the_connectors_flags() {
    let help = typed("listen --help").unwrap_err();
    for piece in [
        "source wal:",
        "--db <ENDPOINT>",
        "sink webhook:",
        "-u, --url <URL>",
        "Where to post",
        "--signing-key <SECRET>",
        "[default: 100MB]",
    ] {
        assert!(help.contains(piece), "{piece}\n{help}");
    }
    let short = typed("listen -h").unwrap_err();
    assert!(short.contains("--file-path") && !short.contains("--file-rate-limit"), "{short}");
}

#[test]
fn list_and_describe() {
    let shown = list::render(&all(), Some(Kind::Dlq), false);
    assert_eq!(
        shown,
        "KIND  NAME      VERSION  DESCRIPTION\ndlq   pg_table  -        Letters to a table.\ndlq   stderr    -        Letters to standard error.\n"
    );
    let json: serde_json::Value = serde_json::from_str(&list::render(&all(), None, true)).unwrap();
    assert_eq!(json[0]["name"], "listen_notify");
    let shipped = all();
    let webhook = describe::render(describe::find(&shipped, "webhook", None).unwrap());
    for piece in [
        "webhook (sink)\n",
        "batch.events",
        "oneof:json,json-array,json-lines",
        "http endpoint",
        "crypto     signs",
        "--webhook-batch-events",
        "map of string",
    ] {
        assert!(webhook.contains(piece), "{piece}\n{webhook}");
    }
    assert!(
        describe::find(&shipped, "file", None)
            .unwrap_err()
            .contains("--kind with one of sink, checkpoint-store")
    );
    assert!(describe::find(&shipped, "file", Some(Kind::Sink)).is_ok());
    assert!(describe::find(&shipped, "webhok", None).unwrap_err().contains("did you mean `webhook`?"));
}

#[test]
fn flags_for_what_is_around_a_sink() {
    let line = "--detector wal --db postgres://db/x --all-tables -a webhook,file -u https://h/in --file-path x \
        --webhook-cb-reset 3s --webhook-cb-failures 4 --webhook-rate-limit 2.5 --webhook-rate-burst 9 \
        --file-cb-reset 3s --file-rate-limit 0 --dlq-window-size 20";
    let manifest = built(line, &nothing).unwrap();
    let [webhook, file] = manifest.sinks.as_slice() else { panic!("two sinks") };
    let breaker = webhook.policy.breaker.map(|breaker| (breaker.failures, breaker.reset.as_secs()));
    assert_eq!(breaker, Some((4, 3)));
    assert_eq!(
        (webhook.policy.rate_limit_per_second, webhook.policy.rate_burst_events),
        (Some(2.5), Some(9))
    );
    assert_eq!(file.policy.rate_limit_per_second, None);
    let window = manifest.dlq.as_ref().and_then(|dlq| dlq.window).unwrap();
    assert_eq!((window.size, window.threshold), (20, 10));
    let printed = print::yaml(&manifest, &all());
    let read = file::bytes("printed.yaml", printed.as_bytes(), Format::Yaml, PathBuf::new(), &nothing);
    let read = read.unwrap_or_else(|report| panic!("{report}")).manifest;
    assert_eq!(read.dlq, manifest.dlq);
    assert_eq!(read.sinks[0].policy, manifest.sinks[0].policy);
    assert!(built("-c a --db postgres://db/x --dlq none --dlq-window-size 2", &nothing).is_ok());
    let refused = checked("-c a --db postgres://db/x --dlq none --dlq-window-size 2").unwrap_err();
    assert!(refused.contains("would lose events"), "{refused}");
}
