//! What a publication publishes, and what it means that it is not what it was.
//!
//! Rows of a table that has left a publication are missing without a word, so that is a gap. A table that is gone has no
//! rows to miss; one that is new begins where it was added; a partition that was detached is no part of what is published.

use std::collections::{BTreeMap, BTreeSet};

/// A publication as it is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Operations that it leaves out.
    pub unpublished: BTreeSet<String>,
    /// By oid.
    pub tables: BTreeMap<u32, Table>,
}

/// A published table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name as SQL writes it.
    pub name: String,
    /// It is a partition of another.
    pub partition: bool,
    /// Its row filter and list of columns, in the server's words; empty if it has neither.
    pub cut: String,
}

/// What has become of tables that are not listed any more, by oid: whether each is a partition. Those that are missing here
/// are gone.
pub type Standing = BTreeMap<u32, bool>;

/// What a change means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Rows are missing: one line for each reason. Empty if none are.
    pub gaps: Vec<String>,
    /// What somebody may want to know.
    pub news: Vec<String>,
}

/// Tables that were listed and are not: their standing has to be looked up.
#[must_use]
pub fn left(before: &Published, now: &Published) -> Vec<u32> {
    before.tables.keys().filter(|oid| !now.tables.contains_key(oid)).copied().collect()
}

/// Weighs two looks at one publication. `standing` is that of what [`left`] names.
#[must_use]
pub fn compare(before: &Published, now: &Published, standing: &Standing) -> Change {
    let mut change = Change::default();
    for (oid, table) in &before.tables {
        let name = &table.name;
        match (now.tables.get(oid), standing.get(oid)) {
            (Some(same), _) if same.cut != table.cut => {
                change.news.push(format!("the row filter or list of columns of {name} was changed"));
            }
            (Some(_), _) => {}
            (None, None) => change.news.push(format!("{name} was dropped")),
            (None, Some(false)) if table.partition => {
                change.news.push(format!("{name} was detached, and is not published any more"));
            }
            (None, Some(_)) => change.gaps.push(format!("it does not publish {name} any more")),
        }
    }
    let added = now.tables.iter().filter(|(oid, _)| !before.tables.contains_key(oid));
    change.news.extend(added.map(|(_, table)| format!("{} is published from now on", table.name)));
    let less = now.unpublished.difference(&before.unpublished);
    change.gaps.extend(less.map(|operation| format!("it does not publish {operation} any more")));
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tables: &[(u32, &str, bool, &str)], unpublished: &[&str]) -> Published {
        let table = |(oid, name, partition, cut): &(u32, &str, bool, &str)| {
            (*oid, Table { name: (*name).into(), partition: *partition, cut: (*cut).into() })
        };
        Published {
            unpublished: unpublished.iter().map(|one| (*one).into()).collect(),
            tables: tables.iter().map(table).collect(),
        }
    }

    fn gaps(before: &Published, now: &Published, standing: &[(u32, bool)]) -> (Vec<String>, usize) {
        let change = compare(before, now, &standing.iter().copied().collect());
        (change.gaps, change.news.len())
    }

    #[test]
    fn a_table_that_left_is_a_gap_and_one_that_is_gone_is_not() {
        let (before, now) =
            (of(&[(1, "a", false, ""), (2, "b", false, "")], &[]), of(&[(1, "a", false, "")], &[]));
        assert_eq!(left(&before, &now), [2]);
        assert_eq!(gaps(&before, &now, &[(2, false)]), (vec!["it does not publish b any more".into()], 0));
        assert_eq!(gaps(&before, &now, &[]), (vec![], 1));
        assert_eq!(gaps(&now, &before, &[]), (vec![], 1), "a new one");
        assert_eq!(gaps(&before, &before, &[]), (vec![], 0));
    }

    #[test]
    fn a_partition_may_be_detached_but_not_taken_out() {
        let (before, now) = (of(&[(1, "p1", true, "")], &[]), of(&[], &[]));
        assert_eq!(gaps(&before, &now, &[(1, false)]), (vec![], 1));
        assert_eq!(gaps(&before, &now, &[(1, true)]).0.len(), 1);
    }

    #[test]
    fn fewer_operations_are_a_gap_and_a_rename_is_nothing() {
        let before = of(&[(1, "a", false, "")], &["truncate"]);
        assert_eq!(gaps(&before, &of(&[(1, "b", false, "")], &["truncate"]), &[]), (vec![], 0));
        let less = of(&[(1, "a", false, "")], &["truncate", "delete"]);
        assert_eq!(gaps(&before, &less, &[]).0, ["it does not publish delete any more"]);
        assert_eq!(gaps(&less, &before, &[]), (vec![], 0));
        assert_eq!(gaps(&before, &of(&[(1, "a", false, "(x > 1)")], &["truncate"]), &[]), (vec![], 1));
    }
}
