//! The stored form, version 1: one JSON object. Keys and tokens are lower-case hexadecimal; the system
//! identifier is a string because it does not fit into what most JSON tools take for a number.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::{CHECKPOINT_BYTES_MAX, DONE_RANGES_MAX, ENTRIES_MAX, RESUME_BYTES_MAX};
use super::{Checkpoint, DecodeError, DoneRange, EncodeError, Identity, LaneMark, PostgresIdentity, Strand};
use crate::order_key::OrderKey;

const VERSION: u64 = 1;

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    identity: StoredIdentity,
    strands: BTreeMap<String, StoredStrand>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum StoredIdentity {
    Postgres {
        system_identifier: String,
        timeline: u32,
        database_oid: u32,
        database: String,
        slot: String,
        publication_oid: u32,
        publication: String,
    },
    Other {
        facts: BTreeMap<String, String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStrand {
    resume: String,
    lanes: BTreeMap<String, StoredLane>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLane {
    mark: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    done: Vec<(String, String)>,
}

pub(super) fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, EncodeError> {
    let strands = &checkpoint.strands;
    let most_lanes = strands.values().map(|strand| strand.lanes.len()).max().unwrap_or(0);
    let most = strands.len().max(most_lanes);
    if most > ENTRIES_MAX {
        return Err(EncodeError::TooMany(most));
    }
    if let Some(len) = strands.values().map(|s| s.resume.len()).find(|len| *len > RESUME_BYTES_MAX) {
        return Err(EncodeError::Resume(len));
    }
    let stored = Stored {
        version: VERSION,
        identity: stored_identity(&checkpoint.identity),
        strands: strands.iter().map(|(name, strand)| (name.clone(), stored_strand(strand))).collect(),
    };
    let bytes = serde_json::to_vec(&stored).map_err(EncodeError::Json)?;
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(EncodeError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

fn stored_identity(identity: &Identity) -> StoredIdentity {
    match identity.clone() {
        Identity::Postgres(pg) => StoredIdentity::Postgres {
            system_identifier: pg.system_identifier.to_string(),
            timeline: pg.timeline,
            database_oid: pg.database_oid,
            database: pg.database,
            slot: pg.slot,
            publication_oid: pg.publication_oid,
            publication: pg.publication,
        },
        Identity::Other(facts) => StoredIdentity::Other { facts },
    }
}

fn stored_strand(strand: &Strand) -> StoredStrand {
    let lanes = strand.lanes.iter().map(|(name, lane)| {
        let kept = lane.done.iter().take(DONE_RANGES_MAX);
        let done = kept.map(|range| (range.first.to_hex(), range.last.to_hex())).collect();
        (name.clone(), StoredLane { mark: lane.mark.to_hex(), done })
    });
    StoredStrand { resume: HEXLOWER.encode(&strand.resume), lanes: lanes.collect() }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, DecodeError> {
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(DecodeError::Json)?;
    if version != VERSION {
        return Err(DecodeError::Version { found: version, known: VERSION });
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(DecodeError::Json)?;
    let identity = identity(stored.identity)?;
    check_count(stored.strands.len(), "the strands")?;
    let mut strands = BTreeMap::new();
    for (name, stored) in stored.strands {
        let strand = strand(&name, stored)?;
        strands.insert(name, strand);
    }
    Ok(Checkpoint { identity, strands })
}

fn identity(stored: StoredIdentity) -> Result<Identity, DecodeError> {
    Ok(match stored {
        StoredIdentity::Postgres {
            system_identifier,
            timeline,
            database_oid,
            database,
            slot,
            publication_oid,
            publication,
        } => {
            let system_identifier = system_identifier
                .parse()
                .map_err(|_| inconsistent("a system identifier that is no number", "the identity"))?;
            Identity::Postgres(PostgresIdentity {
                system_identifier,
                timeline,
                database_oid,
                database,
                slot,
                publication_oid,
                publication,
            })
        }
        StoredIdentity::Other { facts } => Identity::Other(facts),
    })
}

fn strand(name: &str, stored: StoredStrand) -> Result<Strand, DecodeError> {
    let place = format!("strand {name:?}");
    let resume = HEXLOWER
        .decode(stored.resume.as_bytes())
        .map_err(|_| inconsistent("a resume token that is not hexadecimal", &place))?;
    if resume.len() > RESUME_BYTES_MAX {
        return Err(inconsistent("a resume token that is too long", &place));
    }
    check_count(stored.lanes.len(), &place)?;
    let mut lanes = BTreeMap::new();
    for (lane, stored) in stored.lanes {
        let mark = lane_mark(&stored, &format!("{place}, lane {lane:?}"))?;
        lanes.insert(lane, mark);
    }
    Ok(Strand { resume, lanes })
}

fn lane_mark(stored: &StoredLane, place: &str) -> Result<LaneMark, DecodeError> {
    let key =
        |hex: &str| OrderKey::from_hex(hex).map_err(|_| inconsistent("a key that is no order key", place));
    let mark = key(&stored.mark)?;
    if stored.done.len() > DONE_RANGES_MAX {
        return Err(inconsistent("too many done ranges", place));
    }
    let mut done: Vec<DoneRange> = Vec::with_capacity(stored.done.len());
    let mut highest = mark;
    for (first, last) in &stored.done {
        let range = DoneRange { first: key(first)?, last: key(last)? };
        if range.first <= highest || range.last < range.first {
            return Err(inconsistent("done ranges that do not ascend above the mark", place));
        }
        highest = range.last;
        done.push(range);
    }
    Ok(LaneMark { mark, done })
}

fn check_count(count: usize, place: &str) -> Result<(), DecodeError> {
    if count > ENTRIES_MAX { Err(inconsistent("too many entries", place)) } else { Ok(()) }
}

fn inconsistent(what: &'static str, place: &str) -> DecodeError {
    DecodeError::Inconsistent { what, place: place.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Checkpoint {
        let key = |byte: u8| OrderKey::new(&[byte; 21]).unwrap();
        let lane = LaneMark { mark: key(5), done: vec![DoneRange { first: key(7), last: key(9) }] };
        let strand = Strand {
            resume: vec![0, 0, 0, 0, 1, 2, 3, 4],
            lanes: [("audit".to_string(), lane), ("mine".to_string(), LaneMark::at(OrderKey::EMPTY))].into(),
        };
        Checkpoint {
            identity: Identity::Postgres(PostgresIdentity {
                system_identifier: u64::MAX,
                timeline: 3,
                database_oid: 16_384,
                database: "shop \"1\"".into(),
                slot: "pgcdc_all".into(),
                publication_oid: 16_500,
                publication: "all".into(),
            }),
            strands: [("wal".to_string(), strand)].into(),
        }
    }

    fn changed(from: &str, to: &str) -> Result<Checkpoint, DecodeError> {
        let text = String::from_utf8(sample().encode().unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        decode(text.replacen(from, to, 1).as_bytes())
    }

    #[test]
    fn goes_there_and_back() {
        assert_eq!(decode(&sample().encode().unwrap()).unwrap(), sample());
        let facts = [("server_uuid".to_string(), "a-b".to_string())].into();
        let other = Checkpoint { identity: Identity::Other(facts), strands: BTreeMap::new() };
        assert_eq!(decode(&other.encode().unwrap()).unwrap(), other);
    }

    #[test]
    fn the_stored_form_never_changes() {
        let text = String::from_utf8(sample().encode().unwrap()).unwrap();
        let (low, high) = ("07".repeat(21), "09".repeat(21));
        let expected = format!(
            r#"{{"version":1,"identity":{{"kind":"postgres","system_identifier":"18446744073709551615","timeline":3,"database_oid":16384,"database":"shop \"1\"","slot":"pgcdc_all","publication_oid":16500,"publication":"all"}},"strands":{{"wal":{{"resume":"0000000001020304","lanes":{{"audit":{{"mark":"{}","done":[["{low}","{high}"]]}},"mine":{{"mark":""}}}}}}}}}}"#,
            "05".repeat(21)
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_does_not_hold_is_refused_with_its_place() {
        let version = changed("\"version\":1", "\"version\":2").unwrap_err();
        assert!(matches!(version, DecodeError::Version { found: 2, known: 1 }));
        assert!(matches!(changed("\"slot\"", "\"slit\"").unwrap_err(), DecodeError::Json(_)));
        let order = changed(&"07".repeat(21), &"04".repeat(21)).unwrap_err().to_string();
        assert!(order.ends_with("above the mark in strand \"wal\", lane \"audit\""), "{order}");
        let token = changed("0000000001020304", "xx").unwrap_err().to_string();
        assert!(token.contains("resume token"), "{token}");
        let identifier = changed("18446744073709551615", "-1").unwrap_err().to_string();
        assert!(identifier.contains("the identity"), "{identifier}");
        let large = decode(&vec![b' '; CHECKPOINT_BYTES_MAX + 1]).unwrap_err();
        assert!(matches!(large, DecodeError::TooLarge(_)));
    }

    #[test]
    fn bounds_hold_to_the_last_one_on_both_sides() {
        let mut checkpoint = sample();
        let strand = checkpoint.strands["wal"].clone();
        checkpoint.strands = (1..=ENTRIES_MAX).map(|n| (n.to_string(), Strand::default())).collect();
        assert_eq!(decode(&checkpoint.encode().unwrap()).unwrap(), checkpoint);
        checkpoint.strands.insert("one more".into(), Strand::default());
        assert!(matches!(checkpoint.encode().unwrap_err(), EncodeError::TooMany(_)));
        let text = serde_json::json!({ "resume": "", "lanes": {} });
        let strands: BTreeMap<String, _> =
            checkpoint.strands.keys().map(|name| (name.clone(), &text)).collect();
        let mut stored: serde_json::Value = serde_json::from_slice(&sample().encode().unwrap()).unwrap();
        stored["strands"] = serde_json::json!(strands);
        let error = decode(stored.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::Inconsistent { what: "too many entries", .. }), "{error}");

        checkpoint.strands =
            [("wal".to_string(), Strand { resume: vec![7; RESUME_BYTES_MAX], ..strand })].into();
        assert_eq!(decode(&checkpoint.encode().unwrap()).unwrap(), checkpoint);
        let text = String::from_utf8(checkpoint.encode().unwrap()).unwrap();
        let error = decode(text.replacen("0707", "070707", 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("a resume token that is too long"), "{error}");
        checkpoint.strands.values_mut().for_each(|strand| strand.resume.push(7));
        assert!(matches!(checkpoint.encode().unwrap_err(), EncodeError::Resume(_)));

        let mut checkpoint = sample();
        let missing = CHECKPOINT_BYTES_MAX - checkpoint.encode().unwrap().len();
        let Identity::Postgres(identity) = &mut checkpoint.identity else { panic!() };
        identity.slot.push_str(&"x".repeat(missing));
        let bytes = checkpoint.encode().unwrap();
        assert_eq!((bytes.len(), decode(&bytes).unwrap()), (CHECKPOINT_BYTES_MAX, checkpoint.clone()));
        let Identity::Postgres(identity) = &mut checkpoint.identity else { panic!() };
        identity.slot.push('x');
        assert!(matches!(checkpoint.encode().unwrap_err(), EncodeError::TooLarge(_)));
    }

    #[test]
    fn ranges_above_the_limit_are_forgotten_from_the_highest() {
        let mut checkpoint = sample();
        let lane = checkpoint.strands.get_mut("wal").unwrap().lanes.get_mut("audit").unwrap();
        let key = |n: u32| OrderKey::new(&[&[9][..], &n.to_be_bytes()].concat()).unwrap();
        lane.done = (0..2_000).map(|n| DoneRange { first: key(2 * n), last: key(2 * n) }).collect();
        let read = decode(&checkpoint.encode().unwrap()).unwrap();
        let done = &read.strands["wal"].lanes["audit"].done;
        assert_eq!(done.len(), DONE_RANGES_MAX);
        assert_eq!(done[0].first, key(0));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(mut bytes in Just(sample().encode().unwrap()), at in any::<usize>(), new: u8) {
            let at = at % bytes.len();
            bytes[at] = new;
            let _ = decode(&bytes);
            let _ = decode(&bytes[..at]);
        }
    }
}
