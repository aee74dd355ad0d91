//! Self-descriptions as components carry them.

use crate::manifest::Description;

const WAL: &str = r#"{"name":"wal","version":"0.1.0","description":"PostgreSQL's write-ahead log.","kinds":["source"],"api":"1.0.0-draft","layouts":[1],
 "config":{"type":"object","required":["db"],"properties":{
  "db":{"type":"string","format":"endpoint","endpoint":"postgres","flag":"db","description":"The database."},
  "publication":{"type":"string","flag":"publication","description":"The publication's name."},
  "all_tables":{"type":"boolean","default":false,"flag":"all-tables","description":"Publish every table."},
  "heartbeat_interval":{"type":"string","format":"duration","default":"30s","flag":"heartbeat-interval"}}},
 "capabilities":[{"interface":"wal","reason":"reads the log"}]}"#;

const LISTEN_NOTIFY: &str = r#"{"name":"listen_notify","description":"LISTEN and NOTIFY.","kinds":["source"],"api":"1.0.0-draft",
 "config":{"type":"object","required":["db","channels"],"properties":{
  "db":{"type":"string","format":"endpoint","endpoint":"postgres","flag":"db","description":"The database."},
  "channels":{"type":"array","items":{"type":"string"},"minItems":1,"flag":"channel","short":"c","description":"Channels."}}}}"#;

const STDOUT: &str = r#"{"name":"stdout","description":"JSON lines.","kinds":["sink"],"api":"1.0.0-draft",
 "capabilities":[{"interface":"console","reason":"writes to standard output"}],"delivery":"at least once"}"#;

const FILE: &str = r#"{"name":"file","description":"A file.","kinds":["sink"],"api":"1.0.0-draft",
 "config":{"type":"object","required":["path"],"properties":{
  "path":{"type":"string","format":"endpoint","endpoint":"file","description":"Where to write."},
  "max_size":{"type":"integer","format":"bytes","default":"100MB","minimum":1},
  "max_files":{"type":"integer","default":5,"minimum":0,"maximum":1000}}}}"#;

const WEBHOOK: &str = r#"{"name":"webhook","description":"Posts to a URL.","kinds":["sink"],"api":"1.0.0-draft",
 "config":{"type":"object","required":["url"],"properties":{
  "url":{"type":"string","format":"endpoint","endpoint":"http","flag":"url","short":"u","description":"Where to post.\nMore."},
  "signing_key":{"type":"string","secret":true,"flag":"signing-key"},
  "encoding":{"type":"string","enum":["json","json-array","json-lines"],"default":"json"},
  "headers":{"type":"object","additionalProperties":{"type":"string"}},
  "batch":{"type":"object","properties":{"events":{"type":"integer","minimum":1,"default":1},"bytes":{"format":"bytes","default":1048576}}},
  "in_flight":{"type":"integer","default":16,"minimum":1}}},
 "capabilities":[{"interface":"http","reason":"posts"},{"interface":"crypto","reason":"signs"}]}"#;

const KAFKA: &str = r#"{"name":"kafka","description":"Kafka.","kinds":["sink"],"api":"1.0.0-draft",
 "config":{"type":"object","properties":{
  "brokers":{"type":"array","items":{"type":"string","format":"endpoint","endpoint":"kafka"},"default":["localhost:9092"]},
  "sasl_password":{"type":"string","secret":true}}}}"#;

const MASK: &str = r#"{"name":"mask","description":"Hides values.","kinds":["transform"],"api":"1.0.0-draft",
 "config":{"type":"object","required":["fields"],"properties":{"fields":{"type":"array","minItems":1,"items":{"type":"object","required":["field"],
  "properties":{"field":{"type":"string","minLength":1},"mode":{"type":"string","enum":["hash","redact","zero","partial"],"default":"redact"},
   "key":{"type":"string","secret":true}}}}}}}"#;

const DROP_COLUMNS: &str = r#"{"name":"drop_columns","description":"Drops columns.","kinds":["transform"],"api":"1.0.0-draft",
 "config":{"type":"object","required":["columns"],"properties":{"columns":{"type":"array","items":{"type":"string"},"minItems":1}}}}"#;

const FILTER: &str = r#"{"name":"filter","description":"Drops events.","kinds":["transform"],"api":"1.0.0-draft",
 "config":{"type":"object","properties":{"operations":{"type":"array","items":{"type":"string","enum":["INSERT","UPDATE","DELETE","TRUNCATE"]}}}}}"#;

const STDERR: &str =
    r#"{"name":"stderr","description":"Letters to standard error.","kinds":["dlq"],"api":"1.0.0-draft"}"#;

const PG_TABLE: &str = r#"{"name":"pg_table","description":"Letters to a table.","kinds":["dlq"],"api":"1.0.0-draft",
 "config":{"type":"object","required":["db"],"properties":{"db":{"type":"string","format":"endpoint","endpoint":"postgres"},
  "table":{"type":"string","default":"pgcdc_dead_letters"}}}}"#;

const FILE_STORE: &str = r#"{"name":"file","description":"A file for checkpoints.","kinds":["checkpoint-store"],"api":"1.0.0-draft",
 "config":{"type":"object","properties":{"folder":{"type":"string","format":"endpoint","endpoint":"folder"}}}}"#;

/// A component that does not come with pgcdc.
pub(crate) const MINE: &str = r#"{"name":"mine","description":"A sink of somebody's.","kinds":["sink"],"api":"1.0.0-draft",
 "config":{"type":"object","properties":{"token":{"type":"string","secret":true},"depth":{"type":"integer"}}},
 "capabilities":[{"interface":"http","reason":"calls the API"}]}"#;

/// Everything that comes with pgcdc, for these tests.
pub(crate) fn all() -> Vec<Description> {
    let texts = [
        WAL,
        LISTEN_NOTIFY,
        STDOUT,
        FILE,
        WEBHOOK,
        KAFKA,
        MASK,
        DROP_COLUMNS,
        FILTER,
        STDERR,
        PG_TABLE,
        FILE_STORE,
    ];
    texts.iter().map(|text| Description::from_json(text.as_bytes()).unwrap()).collect()
}
