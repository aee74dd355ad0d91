//! What is stored next. A checkpoint never goes back: one that was on its way to the disk while its session ended may be ahead
//! of where the next session started, and was confirmed by a session after that.

use std::collections::BTreeMap;

use super::{Checkpoint, Identity, LaneMark, PostgresIdentity, Strand};
use crate::lsn::Lsn;

/// The strand that the WAL is.
const WAL: &str = "";

impl Checkpoint {
    /// The checkpoint of a WAL session whose lanes stand like this, after what is stored.
    #[must_use]
    pub fn of_wal(
        stored: Option<&Checkpoint>,
        identity: &PostgresIdentity,
        storable: Lsn,
        lanes: BTreeMap<String, LaneMark>,
    ) -> Checkpoint {
        // A session on a later timeline began only because that left ours behind all that was stored or on its way.
        let is_ours = |was: &Identity| match was {
            Identity::Postgres(was) => {
                *identity == PostgresIdentity { timeline: identity.timeline, ..was.clone() }
            }
            Identity::Other(_) => false,
        };
        let ours = stored.filter(|stored| is_ours(&stored.identity));
        let identity = Identity::Postgres(identity.clone());
        let before = ours.and_then(|stored| Lsn::from_bytes(&stored.strands.get(WAL)?.resume));
        let resume = storable.max(before.unwrap_or_default()).to_bytes().to_vec();
        Checkpoint { identity, strands: BTreeMap::from([(WAL.into(), Strand { resume, lanes })]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_unless_it_is_another_servers() {
        let identity = |system_identifier, timeline| PostgresIdentity {
            system_identifier,
            timeline,
            database_oid: 5,
            database: "shop".into(),
            slot: "s".into(),
            publication_oid: 9,
            publication: "p".into(),
        };
        let resume = |checkpoint: &Checkpoint| Lsn::from_bytes(&checkpoint.strands[WAL].resume).unwrap();
        let first = Checkpoint::of_wal(None, &identity(7, 1), Lsn(20), BTreeMap::new());
        assert_eq!(resume(&first), Lsn(20));
        let late = Checkpoint::of_wal(Some(&first), &identity(7, 1), Lsn(10), BTreeMap::new());
        assert_eq!(late, first);
        let next = Checkpoint::of_wal(Some(&first), &identity(7, 1), Lsn(30), BTreeMap::new());
        assert_eq!(resume(&next), Lsn(30));
        let later = Checkpoint::of_wal(Some(&first), &identity(7, 2), Lsn(10), BTreeMap::new());
        assert_eq!((resume(&later), later.identity), (Lsn(20), Identity::Postgres(identity(7, 2))));
        let other = Checkpoint::of_wal(Some(&first), &identity(8, 1), Lsn(10), BTreeMap::new());
        assert_eq!(resume(&other), Lsn(10));
    }
}
