//! Event ids: UUIDs of version 7 that name a source image, so that a replay gives the same id.
//!
//! Another implementation gets the same ids from this recipe:
//! - bytes 0 to 5: milliseconds since 1970, big-endian, rounded down; 0 when the source states no time or an
//!   earlier one;
//! - bytes 6 to 15: the first ten bytes of a hash, then byte 6 = `0x70 | low four bits`, byte 8 = `0x80 | low
//!   six bits`;
//! - the hash is XXH3-128 with seed 0 in its canonical (big-endian) form, over what names the image.
//!
//! What names an image: of a PostgreSQL change, system identifier u64, database oid u32, xid u32 (all
//! big-endian), then the full order key ([`crate::order_key`]); its time is the commit's. Of a child that a
//! transform made, the sixteen bytes of its parent's id, then n as a big-endian u32; its time is the
//! parent's. A message outside of transactions has xid 0 and no time: the server states none.

use xxhash_rust::xxh3::xxh3_128;

use crate::order_key::{POSTGRES_KEY_BYTES, PostgresKey};

/// The sixteen bytes of an id.
pub type Id = [u8; 16];

/// The PostgreSQL database that changes come from, as it enters their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What `IDENTIFY_SYSTEM` calls the cluster.
    pub system_identifier: u64,
    /// The database's oid in `pg_database`.
    pub database_oid: u32,
}

const ORIGIN_BYTES: usize = 16;

/// The id of a PostgreSQL event; `commit_us` is microseconds since 1970, `i64::MIN` when there is none.
#[must_use]
pub fn postgres_id(origin: Origin, xid: u32, key: &PostgresKey, commit_us: i64) -> Id {
    let mut image = [0; ORIGIN_BYTES + POSTGRES_KEY_BYTES];
    image[..8].copy_from_slice(&origin.system_identifier.to_be_bytes());
    image[8..12].copy_from_slice(&origin.database_oid.to_be_bytes());
    image[12..16].copy_from_slice(&xid.to_be_bytes());
    image[16..].copy_from_slice(&key.to_bytes());
    image_id(commit_us.div_euclid(1_000), &image)
}

/// The id of any image that is named by bytes, at a time in milliseconds since 1970.
#[must_use]
pub fn image_id(time_ms: i64, image: &[u8]) -> Id {
    with_time(time_ms, xxh3_128(image).to_be_bytes())
}

/// The id of a transform's n-th child.
#[must_use]
pub fn child_id(parent: Id, n: u32) -> Id {
    let mut image = [0; 20];
    image[..16].copy_from_slice(&parent);
    image[16..].copy_from_slice(&n.to_be_bytes());
    let mut id = with_time(0, xxh3_128(&image).to_be_bytes());
    id[..6].copy_from_slice(&parent[..6]);
    id
}

/// An id for what has no position, from the present time (milliseconds since 1970) and 128 random bits.
#[must_use]
pub fn draw(now_ms: i64, random: u128) -> Id {
    with_time(now_ms, random.to_be_bytes())
}

fn with_time(time_ms: i64, rest: [u8; 16]) -> Id {
    const TIME_MS_MAX: u64 = (1 << 48) - 1;
    let time_ms = u64::try_from(time_ms).unwrap_or(0).min(TIME_MS_MAX);
    let mut id = [0; 16];
    id[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&rest[..10]);
    id[6] = 0x70 | (id[6] & 0x0F);
    id[8] = 0x80 | (id[8] & 0x3F);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    const ORIGIN: Origin = Origin { system_identifier: 7_000_000_000_000_000_001, database_oid: 16_384 };

    fn id_of(nth: u32) -> Id {
        postgres_id(ORIGIN, 771, &PostgresKey::row(Lsn(0x500), Lsn(0x400), nth), 1_767_605_400_250_999)
    }

    #[test]
    fn is_a_uuid_of_version_7_with_the_commit_time() {
        let id = id_of(1);
        assert_eq!(&id[..6], &1_767_605_400_250_u64.to_be_bytes()[2..]);
        assert_eq!(id[6] >> 4, 7);
        assert_eq!(id[8] >> 6, 0b10);
    }

    #[test]
    fn the_recipe_never_changes() {
        let hex = data_encoding::HEXLOWER.encode(&id_of(1));
        assert_eq!(hex, "019b8d7df2ba7a5ba16d049627f01eee");
        let hex = data_encoding::HEXLOWER.encode(&child_id(id_of(1), 1));
        assert_eq!(hex, "019b8d7df2ba7b58a8a59e89166270c3");
    }

    #[test]
    fn every_part_of_the_image_counts() {
        let key = PostgresKey::row(Lsn(0x500), Lsn(0x400), 1);
        let base = postgres_id(ORIGIN, 771, &key, 0);
        let other_system = Origin { system_identifier: 1, ..ORIGIN };
        let other_database = Origin { database_oid: 1, ..ORIGIN };
        assert_ne!(base, postgres_id(other_system, 771, &key, 0));
        assert_ne!(base, postgres_id(other_database, 771, &key, 0));
        assert_ne!(base, postgres_id(ORIGIN, 772, &key, 0));
        assert_ne!(base, postgres_id(ORIGIN, 771, &PostgresKey::commit(Lsn(0x500)), 0));
        assert_ne!(id_of(1), id_of(2));
    }

    #[test]
    fn times_outside_of_the_field_are_clamped() {
        assert_eq!(&draw(i64::MIN, 1)[..6], &[0; 6]);
        assert_eq!(&draw(i64::MAX, 1)[..6], &[0xFF; 6]);
        let key = PostgresKey::message_outside(Lsn(1));
        assert_eq!(&postgres_id(ORIGIN, 0, &key, i64::MIN)[..6], &[0; 6]);
    }

    #[test]
    fn children_keep_the_time_and_differ() {
        let parent = id_of(1);
        let children: Vec<Id> = (1..100).map(|n| child_id(parent, n)).collect();
        for (i, child) in children.iter().enumerate() {
            assert_eq!(child[..6], parent[..6]);
            assert!(!children[..i].contains(child) && *child != parent);
        }
    }
}
