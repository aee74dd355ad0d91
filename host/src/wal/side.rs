//! The ordinary session beside the stream: opened when first needed, kept, opened anew when it broke.
//!
//! It answers what the stream cannot: what unknown types are made of, and how far the slot lags.

use pgcdc_core::catalog::{TYPES_SQL, TypeRow};
use pgcdc_core::published::{self, Published, Standing};
use tokio::sync::Mutex;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::publication;
use super::server::{self, Lag};
use crate::postgres::{Error, Params, Session};

/// One session that is shared by those who ask, one at a time.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) params: Params,
    session: Mutex<Option<Session>>,
}

impl Side {
    pub(super) fn new(params: Params, session: Session) -> Self {
        Self { params, session: Mutex::new(Some(session)) }
    }

    /// What these types are made of; types that are gone are missing from the answer.
    pub(super) async fn types(&self, oids: &[u32]) -> Result<Vec<TypeRow>, Error> {
        let mut slot = self.session.lock().await;
        types(ready(&self.params, &mut slot).await?, oids).await
    }

    pub(super) async fn lag(&self, slot_name: &str, publication: &str) -> Result<Option<Lag>, Error> {
        let mut slot = self.session.lock().await;
        let session = ready(&self.params, &mut slot).await?;
        server::lag(session, slot_name, publication).await
    }

    /// What the publication publishes, and what has become of what it published `before` and does not any more.
    pub(super) async fn published(
        &self,
        publication: &str,
        before: &Published,
    ) -> Result<Option<(u32, Published, Standing)>, Error> {
        let mut slot = self.session.lock().await;
        let session = ready(&self.params, &mut slot).await?;
        let Some((oid, now)) = publication::published(session, publication).await? else { return Ok(None) };
        let standing = publication::standing(session, &published::left(before, &now)).await?;
        Ok(Some((oid, now, standing)))
    }
}

/// What these types are made of; types that are gone are missing from the answer.
pub(crate) async fn types(session: &Session, oids: &[u32]) -> Result<Vec<TypeRow>, Error> {
    let doing = "looking up types";
    let asked = oids.to_vec();
    let rows = session.client().query_typed(TYPES_SQL, &[(&asked, Type::OID_ARRAY)]).await;
    let rows = rows.map_err(|error| session.error(doing, error))?;
    rows.iter().map(type_row).collect::<Result<_, _>>().map_err(|error| session.error(doing, error))
}

async fn ready<'a>(params: &Params, slot: &'a mut Option<Session>) -> Result<&'a Session, Error> {
    if slot.as_ref().is_some_and(|session| session.client().is_closed()) {
        *slot = None;
    }
    match slot {
        Some(session) => Ok(session),
        None => Ok(slot.insert(Session::open(params).await?)),
    }
}

fn type_row(row: &Row) -> Result<TypeRow, tokio_postgres::Error> {
    Ok(TypeRow {
        oid: row.try_get("oid")?,
        name: row.try_get("name")?,
        elem: row.try_get("elem")?,
        delim: row.try_get("delim")?,
        base: row.try_get("base")?,
        composite: row.try_get("composite")?,
        hstore: row.try_get("hstore")?,
        field_names: row.try_get("field_names")?,
        field_oids: row.try_get("field_oids")?,
    })
}
