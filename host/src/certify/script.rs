//! What a writer does next: drawn from a seed, as changes and as SQL. Pure.
//!
//! Invariant: a writer owns its rows and numbers its changes upwards; a key of the keyed table never comes again.

use std::collections::BTreeMap;

use super::history::{Change, Kind, RowName, Table, Tag};
use super::plan::Draw;

/// Keys that come and go in the full table; few, so that rows are changed often.
const KEYS: u64 = 20;
/// Rows that a writer keeps in the keyed table, about.
const KEYED_ROWS: usize = 20;
/// With more than these, many are deleted at once.
const KEYED_ROWS_MAX: usize = 150;
/// Changes of a large transaction: more than one batch, more than one packet.
const LARGE: u64 = 300;

/// One thing that a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Sql(String),
    /// COPY … FROM STDIN, and its rows: they share LSNs.
    Copy {
        sql: String,
        rows: String,
    },
}

/// One transaction as it will be sent.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Between BEGIN and its end, one after the other.
    pub(crate) statements: Vec<Statement>,
    /// What a COMMIT makes true.
    pub(crate) changes: Vec<Change>,
    /// What a savepoint has taken back.
    pub(crate) taken_back: Vec<Change>,
    pub(crate) roll_back: bool,
    /// One message a statement, rather than one for all.
    pub(crate) step_by_step: bool,
    rows: Rows,
}

/// Version of each row that exists, as committed.
#[derive(Clone, Debug, Default)]
struct Rows {
    full: BTreeMap<i64, i64>,
    keyed: BTreeMap<i64, i64>,
    /// The last key of the keyed table; never reused, so it only grows.
    last_key: i64,
}

/// One writer's memory.
#[derive(Debug)]
pub(crate) struct Author {
    schema: String,
    writer: i64,
    draw: Draw,
    rows: Rows,
    version: i64,
}

impl Author {
    pub(crate) fn new(schema: &str, writer: i64, draw: &Draw) -> Author {
        let draw = draw.fork(writer.unsigned_abs());
        Author { schema: schema.to_owned(), writer, draw, rows: Rows::default(), version: 0 }
    }

    pub(crate) fn writer(&self) -> i64 {
        self.writer
    }

    /// The next transaction. It counts once it is [`Author::committed`].
    pub(crate) fn next(&mut self) -> Script {
        let mut script = Script {
            statements: Vec::new(),
            changes: Vec::new(),
            taken_back: Vec::new(),
            roll_back: self.draw.once_in(10),
            step_by_step: self.draw.once_in(5),
            rows: self.rows.clone(),
        };
        let changes = if self.draw.once_in(60) { LARGE } else { 1 + self.draw.below(6) };
        let savepoint = self.draw.once_in(6);
        for _ in 0..changes {
            let change = self.change(&mut script);
            script.changes.push(change);
        }
        if self.draw.once_in(5) {
            let rows = if self.draw.once_in(12) { LARGE } else { 2 + self.draw.below(40) };
            let copy = self.draw.once_in(2);
            self.put_many(&mut script, rows, copy);
        }
        if script.rows.keyed.len() > KEYED_ROWS_MAX {
            self.thin_out(&mut script);
        }
        if savepoint {
            let rows = script.rows.clone();
            script.statements.push(Statement::Sql("savepoint s".to_owned()));
            for _ in 0..1 + self.draw.below(3) {
                let change = self.change(&mut script);
                script.taken_back.push(change);
            }
            script.statements.push(Statement::Sql("rollback to savepoint s".to_owned()));
            let last_key = script.rows.last_key;
            script.rows = Rows { last_key, ..rows };
            let change = self.change(&mut script);
            script.changes.push(change);
        }
        self.rows.last_key = script.rows.last_key;
        script
    }

    /// A single insert, for marks in the run.
    pub(crate) fn mark(&mut self) -> Script {
        let mut rows = self.rows.clone();
        rows.last_key += 1;
        self.rows.last_key = rows.last_key;
        let mut script = Script {
            statements: Vec::new(),
            changes: Vec::new(),
            taken_back: Vec::new(),
            roll_back: false,
            step_by_step: false,
            rows,
        };
        let key = script.rows.last_key;
        let change = self.put(&mut script, Table::Keyed, key, None);
        script.changes.push(change);
        script
    }

    /// The source has it.
    pub(crate) fn committed(&mut self, script: Script) {
        let last_key = self.rows.last_key;
        self.rows = Rows { last_key, ..script.rows };
    }

    fn change(&mut self, script: &mut Script) -> Change {
        if self.draw.once_in(2) { self.change_full(script) } else { self.change_keyed(script) }
    }

    fn change_full(&mut self, script: &mut Script) -> Change {
        let key = self.draw.below(KEYS) as i64;
        let Some(version) = script.rows.full.get(&key).copied() else {
            return self.put(script, Table::Full, key, None);
        };
        match self.draw.below(6) {
            0 | 1 => {
                script.rows.full.remove(&key);
                self.delete(script, Table::Full, key, version)
            }
            2 => {
                let free: Vec<i64> =
                    (0..KEYS as i64).filter(|key| !script.rows.full.contains_key(key)).collect();
                match free.get(self.draw.below(free.len() as u64) as usize).copied() {
                    Some(to) => self.put(script, Table::Full, to, Some(key)),
                    None => self.put(script, Table::Full, key, Some(key)),
                }
            }
            _ => self.put(script, Table::Full, key, Some(key)),
        }
    }

    fn change_keyed(&mut self, script: &mut Script) -> Change {
        let rows = &script.rows.keyed;
        let some = rows.keys().nth(self.draw.below(rows.len() as u64) as usize).copied();
        match (some, self.draw.below(6)) {
            (Some(key), 0) if rows.len() > 2 => {
                script.rows.keyed.remove(&key);
                self.delete(script, Table::Keyed, key, 0)
            }
            (Some(key), 1) => {
                script.rows.last_key += 1;
                let to = script.rows.last_key;
                self.put(script, Table::Keyed, to, Some(key))
            }
            (Some(key), 2 | 3) => self.put(script, Table::Keyed, key, Some(key)),
            (Some(key), _) if rows.len() > KEYED_ROWS => {
                script.rows.keyed.remove(&key);
                self.delete(script, Table::Keyed, key, 0)
            }
            _ => {
                script.rows.last_key += 1;
                let key = script.rows.last_key;
                self.put(script, Table::Keyed, key, None)
            }
        }
    }

    /// Inserts a row, or makes a new version of what was at `from`.
    fn put(&mut self, script: &mut Script, table: Table, key: i64, from: Option<i64>) -> Change {
        self.version += 1;
        let (version, writer, schema, name) = (self.version, self.writer, &self.schema, table.name());
        let rows = match table {
            Table::Full => &mut script.rows.full,
            Table::Keyed => &mut script.rows.keyed,
        };
        if let Some(from) = from {
            rows.remove(&from);
        }
        rows.insert(key, version);
        let (note, amount, doc) = values(version);
        script.statements.push(Statement::Sql(match from {
            None => format!(
                "insert into {schema}.{name} values ({writer}, {key}, {version}, '{note}', {amount}, '{doc}')"
            ),
            Some(from) => format!(
                "update {schema}.{name} set key = {key}, version = {version}, note = '{note}', amount = {amount} \
                 where writer = {writer} and key = {from}"
            ),
        }));
        let kind = if from.is_some() { Kind::Update } else { Kind::Insert };
        let tag = Tag { row: RowName { table, writer, key }, version, kind };
        Change { tag, moved_from: from.filter(|from| *from != key) }
    }

    /// New rows of the keyed table in one statement.
    fn put_many(&mut self, script: &mut Script, count: u64, copy: bool) {
        let (writer, schema, table) = (self.writer, self.schema.clone(), Table::Keyed.name());
        let mut rows = Vec::new();
        for _ in 0..count {
            self.version += 1;
            script.rows.last_key += 1;
            let (version, key) = (self.version, script.rows.last_key);
            script.rows.keyed.insert(key, version);
            let (note, amount, doc) = values(version);
            rows.push(if copy {
                let note = note.replace('\\', "\\\\");
                format!("{writer}\t{key}\t{version}\t{note}\t{amount}\t{doc}\n")
            } else {
                format!("({writer}, {key}, {version}, '{note}', {amount}, '{doc}')")
            });
            let tag = Tag { row: RowName { table: Table::Keyed, writer, key }, version, kind: Kind::Insert };
            script.changes.push(Change { tag, moved_from: None });
        }
        script.statements.push(if copy {
            Statement::Copy { sql: format!("copy {schema}.{table} from stdin"), rows: rows.concat() }
        } else {
            Statement::Sql(format!("insert into {schema}.{table} values {}", rows.join(", ")))
        });
    }

    /// Deletes most of the keyed table, one row after the other: in which order a single statement does it is not known.
    fn thin_out(&mut self, script: &mut Script) {
        let keys: Vec<i64> = script.rows.keyed.keys().copied().collect();
        for key in keys.into_iter().rev().skip(KEYED_ROWS).rev() {
            script.rows.keyed.remove(&key);
            let change = self.delete(script, Table::Keyed, key, 0);
            script.changes.push(change);
        }
    }

    fn delete(&self, script: &mut Script, table: Table, key: i64, version: i64) -> Change {
        let (writer, schema, name) = (self.writer, &self.schema, table.name());
        let sql = format!("delete from {schema}.{name} where writer = {writer} and key = {key}");
        script.statements.push(Statement::Sql(sql));
        let tag = Tag { row: RowName { table, writer, key }, version, kind: Kind::Delete };
        Change { tag, moved_from: None }
    }
}

/// Values whose text tells whether anything was rounded, cut or recoded on the way.
fn values(version: i64) -> (String, String, String) {
    let note = format!("n\u{ef}ce \"{version}\" \\ \u{1f980}");
    let doc = format!("{{\"v\": {version}, \"big\": 9007199254740993}}");
    (note, format!("{version}.10"), doc)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_change_of_a_writer_has_a_tag_of_its_own() {
        let mut author = Author::new("s", 1, &Draw::new(3));
        let mut tags = HashSet::new();
        let mut kinds = HashSet::new();
        for n in 0..3_000 {
            let script = author.next();
            for change in script.changes.iter().chain(&script.taken_back) {
                // A delete that was taken back may be done again.
                let fresh = tags.insert(change.tag);
                assert!(fresh || change.tag.kind == Kind::Delete, "{change:?}");
                kinds.insert((change.tag.row.table, change.tag.kind, change.moved_from.is_some()));
            }
            if n % 7 > 0 {
                author.committed(script);
            }
        }
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }

    #[test]
    fn a_committed_delete_is_never_done_twice() {
        let mut author = Author::new("s", 1, &Draw::new(4));
        let mut gone = HashSet::new();
        for _ in 0..3_000 {
            let script = author.next();
            for change in &script.changes {
                assert!(change.tag.kind != Kind::Delete || gone.insert(change.tag), "{change:?}");
            }
            author.committed(script);
        }
    }

    #[test]
    fn many_rows_at_once_come_and_go() {
        let mut author = Author::new("s", 1, &Draw::new(5));
        let (mut copies, mut inserts) = (0, 0);
        for _ in 0..1_000 {
            let script = author.next();
            for statement in &script.statements {
                match statement {
                    Statement::Copy { rows, .. } => copies += rows.lines().count(),
                    Statement::Sql(sql) if sql.contains("), (") => inserts += 1,
                    Statement::Sql(_) => {}
                }
            }
            author.committed(script);
            assert!(author.rows.keyed.len() < KEYED_ROWS_MAX + 20, "{}", author.rows.keyed.len());
        }
        assert!(copies > 1_000 && inserts > 50, "{copies} {inserts}");
    }

    #[test]
    fn a_seed_writes_the_same_script_again() {
        let statements = |seed| Author::new("s", 1, &Draw::new(seed)).next().statements;
        assert_eq!(statements(1), statements(1));
    }
}
