//! What fuzzing starts from: what a PostgreSQL was recorded to send, what is made of it, and files of our own.

use std::collections::BTreeMap;

use pgcdc_core::assembler::{Assembler, Fed, Settings};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::checkpoint::{Checkpoint, DoneRange, Identity, LaneMark, PostgresIdentity, Strand};
use pgcdc_core::id::Origin;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;
use pgcdc_layout::{View, rewrite};

const CAPTURES: [&str; 2] = [
    include_str!("../../../host/core/tests/recorded/pg15_changes.txt"),
    include_str!("../../../host/core/tests/recorded/pg15_types.txt"),
];
const YAML: &str = include_str!("../../../host/src/manifest/tests/shop.yaml");
const TOML: &str = include_str!("../../../host/src/manifest/tests/shop.toml");
const CONNINFO: [&str; 6] = [
    "postgres://ada:secret@[::1]:5432,db.example.com:5433/shop?sslmode=verify-full&application_name=a%20b",
    "postgresql:///shop?host=/var/run/postgresql&connect_timeout=3",
    "host=127.0.0.1,::1 port=5432,5433 user=ada dbname='my shop' target_session_attrs=read-write",
    "user='it\\'s' sslrootcert=/etc/ca.pem channel_binding=require options='-c x=y'",
    "postgres://localhost",
    "keepalives_idle=30 tcp_user_timeout=5000 sslmode=disable",
];
const DESCRIPTION: &str = r#"{"pgcdc":1,"name":"x","version":"1.0.0","kinds":["sink"],"delivery":"once",
"config":{"type":"object","properties":{"url":{"type":"string","format":"endpoint"}},"required":["url"]},
"capabilities":[{"interface":"http","reason":"posts"}]}"#;
const QUANTITIES: [&str; 8] = ["1s", "250ms", "1h30m", "1.5s", "64MiB", "0", "10GB", "0/16B6C50"];

/// A target's seeds.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "pgoutput" => captures().into_iter().flatten().map(|(_, message)| message).collect(),
        "stream" => captures().iter().map(|frames| streamed(frames)).collect(),
        "layout" => captures().iter().flat_map(|frames| batches(frames)).collect(),
        "stamp" => {
            captures().iter().flat_map(|frames| batches(frames)).filter_map(|batch| pair(&batch)).collect()
        }
        "checkpoint" => checkpoint().encode().into_iter().collect(),
        "manifest_yaml" => texts(&[YAML]),
        "manifest_toml" => texts(&[TOML]),
        "description" => texts(&[DESCRIPTION]),
        "conninfo" => texts(&CONNINFO),
        "quantity" => texts(&QUANTITIES),
        _ => Vec::new(),
    }
}

type Frame = (Lsn, Vec<u8>);

/// `lsn xid hex`, a message a line.
fn captures() -> Vec<Vec<Frame>> {
    let frame = |line: &str| {
        let mut fields = line.split(' ');
        let lsn = fields.next()?.parse().ok()?;
        let message = data_encoding::HEXLOWER.decode(fields.nth(1)?.as_bytes()).ok()?;
        Some((lsn, message))
    };
    CAPTURES.iter().map(|capture| capture.lines().filter_map(frame).collect()).collect()
}

fn streamed(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (lsn, message) in frames {
        bytes.extend_from_slice(&lsn.0.to_be_bytes());
        put(&mut bytes, message);
    }
    bytes
}

/// Bytes behind their length.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// One batch a transaction.
fn batches(frames: &[Frame]) -> Vec<Vec<u8>> {
    let settings = Settings::new(Origin { system_identifier: 7, database_oid: 5 });
    let Ok(mut assembler) = Assembler::new(settings, TypeCatalog::new(), Lsn(1)) else { return Vec::new() };
    let mut batches = Vec::new();
    for (lsn, message) in frames {
        while let Ok(Fed::NeedTypes(oids)) = assembler.feed(*lsn, message, 0) {
            assembler.learn_types(&oids, Vec::new());
        }
        if message.first() == Some(&b'C') {
            batches.extend(assembler.take_batch().map(|finished| finished.bytes));
        }
    }
    batches
}

/// A batch, and what a transform makes of it that drops every other event.
fn pair(batch: &[u8]) -> Option<Vec<u8>> {
    let view = View::parse(batch).ok()?;
    let kept: Vec<u32> = (0..u32::try_from(view.event_count()).ok()?).step_by(2).collect();
    let output = rewrite::pick(&view, &kept).ok()?;
    let mut bytes = Vec::new();
    put(&mut bytes, batch);
    bytes.extend_from_slice(&output);
    Some(bytes)
}

fn checkpoint() -> Checkpoint {
    let key = |byte: u8| OrderKey::new(&[byte; 22]).unwrap_or(OrderKey::EMPTY);
    let lane = LaneMark { mark: key(1), done: vec![DoneRange { first: key(3), last: key(4) }] };
    let strand =
        Strand { resume: vec![0, 0, 0, 0, 1, 98, 16, 32], lanes: BTreeMap::from([("out".to_owned(), lane)]) };
    let identity = PostgresIdentity {
        system_identifier: 7_300_000_000_000_000_000,
        timeline: 1,
        database_oid: 5,
        database: "shop".into(),
        slot: "pgcdc".into(),
        publication_oid: 16_400,
        publication: "all".into(),
    };
    Checkpoint { identity: Identity::Postgres(identity), strands: BTreeMap::from([(String::new(), strand)]) }
}
