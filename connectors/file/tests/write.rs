//! Lines end up in files, synced before they count, and old files are kept as many as wanted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use file::FileSink;
use pgcdc_sdk::layout::{Kind, Op};
use pgcdc_sdk::sink::{Outcome, WriteContext};
use pgcdc_sdk::{Batch, Context, Result, Sink, testing};

const T: testing::Table<'_> = testing::Table { name: "t", columns: &[("id", Kind::Int)] };

fn batch(ids: std::ops::Range<u32>) -> Batch {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    let rows: Vec<[Option<&str>; 1]> = ids.iter().map(|id| [Some(id.as_str())]).collect();
    let changes: Vec<_> = rows.iter().map(|row| (Op::Insert, None, Some(row.as_slice()))).collect();
    T.batch(&changes).unwrap()
}

fn open(config: &str) -> FileSink {
    testing::block_on(FileSink::open(testing::config(config).unwrap(), &Context::default())).unwrap()
}

fn write(sink: &FileSink, batch: &Batch) -> Result<Outcome> {
    testing::block_on(sink.write(batch, &WriteContext::default()))
}

fn ids(path: &str) -> Vec<u64> {
    let text = String::from_utf8(testing::file(path)).unwrap();
    let envelopes = text.lines().map(|line| testing_json(line)["payload"]["row"]["id"].as_u64().unwrap());
    envelopes.collect()
}

fn testing_json(line: &str) -> pgcdc_sdk::config::Json {
    line.parse().unwrap()
}

#[test]
fn what_counts_is_synced() {
    let sink = open(r#"{"path":"path"}"#);
    assert_eq!(write(&sink, &batch(0..3)).unwrap(), Outcome::Durable);
    assert_eq!(testing::file_synced("path"), testing::file("path"));
    assert_eq!(ids("path"), [0, 1, 2]);
    assert_eq!(write(&open(r#"{"path":"path"}"#), &batch(3..4)).unwrap(), Outcome::Durable);
    assert_eq!(ids("path"), [0, 1, 2, 3]);
}

#[test]
fn files_are_rotated_by_size_and_the_oldest_goes() {
    let one = batch(0..1).json_lines(0, 1).unwrap().len() as u64;
    let sink = open(&format!(r#"{{"path":"path","max_size":{},"max_files":2}}"#, 2 * one));
    write(&sink, &batch(0..5)).unwrap();
    assert_eq!((ids("path.2"), ids("path.1"), ids("path")), (vec![0, 1], vec![2, 3], vec![4]));
    write(&sink, &batch(5..7)).unwrap();
    assert_eq!((ids("path.2"), ids("path.1"), ids("path")), (vec![2, 3], vec![4, 5], vec![6]));
    assert_eq!(testing::metric("rotations_total"), Some(3.0));
}

#[test]
fn after_a_failure_it_goes_on_where_the_file_ends() {
    let sink = open(r#"{"path":"path"}"#);
    write(&sink, &batch(0..1)).unwrap();
    testing::fail_file("path", true);
    assert_eq!(write(&sink, &batch(1..2)).unwrap_err().code, "unavailable");
    assert_eq!(write(&sink, &batch(1..2)).unwrap_err().code, "unavailable");
    let torn = [testing::file("path"), b"{\"id\":".to_vec()].concat();
    testing::set_file("path", &torn);
    testing::fail_file("path", false);
    write(&sink, &batch(1..2)).unwrap();
    let text = String::from_utf8(testing::file("path")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "the torn line is cut off");
}
