//! pgcdc's own tables, in every database that a component of the manifest keeps something in.

use std::collections::HashSet;

use super::Workshop;
use crate::component::grants::Grants;
use crate::manifest::ready::Ready;
use crate::store::migrations::{self, Wanted};

impl Workshop {
    /// Makes what is missing, before anything opens, unless the operator does that. The error is for the operator.
    pub async fn migrate(&self) -> Result<(), String> {
        if self.plan.settings.skip_migrations {
            return Ok(());
        }
        for wanted in self.wanted()? {
            wanted.migrate().await?;
        }
        Ok(())
    }

    /// The same as SQL, for somebody else to run.
    pub fn state_sql(&self) -> Result<String, String> {
        let (mut out, mut said) = (String::new(), HashSet::new());
        for wanted in self.wanted()? {
            let sql = wanted.sql()?;
            if said.insert(sql.clone()) {
                out.push_str(&sql);
                out.push('\n');
            }
        }
        if out.is_empty() {
            return Err("nothing in this manifest keeps state in a PostgreSQL".to_owned());
        }
        Ok(out)
    }

    fn wanted(&self) -> Result<Vec<Wanted>, String> {
        let mut wanted = Vec::new();
        for ready in self.connectors() {
            let grants = Grants::resolve(&ready.grants, &self.secrets)?;
            wanted.extend(migrations::wanted(ready, &grants)?);
        }
        Ok(wanted)
    }

    /// Every component that the manifest names.
    fn connectors(&self) -> impl Iterator<Item = &Ready> {
        let sinks = self.plan.checked.sinks.iter();
        let of_sinks = sinks.flat_map(|sink| std::iter::once(&sink.connector).chain(&sink.transforms));
        let others =
            self.plan.checked.dlq.iter().map(|dlq| &dlq.connector).chain(&self.plan.checked.checkpoint);
        others.chain(of_sinks).chain(&self.plan.checked.detectors).chain(&self.plan.checked.transforms)
    }
}
