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
        let identity = Identity::Postgres(identity.clone());
        let ours = stored.filter(|stored| stored.identity == identity);
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
        let identity = |timeline| PostgresIdentity {
            system_identifier: 7,
            timeline,
            database_oid: 5,
            database: "shop".into(),
            slot: "s".into(),
            publication_oid: 9,
            publication: "p".into(),
        };
        let resume = |checkpoint: &Checkpoint| Lsn::from_bytes(&checkpoint.strands[WAL].resume).unwrap();
        let first = Checkpoint::of_wal(None, &identity(1), Lsn(20), BTreeMap::new());
        assert_eq!(resume(&first), Lsn(20));
        let late = Checkpoint::of_wal(Some(&first), &identity(1), Lsn(10), BTreeMap::new());
        assert_eq!(late, first);
        let next = Checkpoint::of_wal(Some(&first), &identity(1), Lsn(30), BTreeMap::new());
        assert_eq!(resume(&next), Lsn(30));
        let other = Checkpoint::of_wal(Some(&first), &identity(2), Lsn(10), BTreeMap::new());
        assert_eq!(resume(&other), Lsn(10));
    }
}
