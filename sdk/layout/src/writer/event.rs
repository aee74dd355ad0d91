//! Events.

use super::{BatchWriter, BodyDef, EventDef, WriteError, limit};
use crate::bytes::{put, put_ref, put_u32, u32_at};
use crate::json::check;
use crate::spec::*;

impl BatchWriter {
    /// Adds an event. Its index.
    ///
    /// # Errors
    /// `Unknown` for an index, `Columns` if a tuple is not of the relation's width, `NotJson` for the body or
    /// the particulars, `Invalid` for an operation that has no name, `Full`, `TooLarge`.
    pub fn add_event(&mut self, def: &EventDef<'_>) -> Result<u32, WriteError> {
        let Some(table) = self.relations.get(def.relation as usize) else {
            return Err(WriteError::Unknown { what: "relation", index: def.relation });
        };
        let columns = u32_at(table, relation::COLUMNS);
        for tuple in [def.after, def.before].into_iter().flatten() {
            if tuple.columns != columns {
                let (expected, got) = (columns as usize, tuple.columns as usize);
                return Err(WriteError::Columns { expected, got });
            }
        }
        if def.tx != NO_TX {
            self.known("transaction", def.tx, self.transactions.len())?;
        }
        limit("the event's part of the order key", def.key.len(), EVENT_KEY_BYTES_MAX)?;
        if def.body != BodyDef::None || !def.particulars.is_empty() || def.op == Op::Named {
            check_free_form(def)?;
        }
        let index = self.events.len();
        self.room("events", index, EVENTS_MAX)?;
        let record = self.checked("events", EVENT_BYTES, |w| Ok(w.event_record(def)))?;
        self.events.push(record);
        Ok(index as u32)
    }

    fn event_record(&mut self, def: &EventDef<'_>) -> [u8; EVENT_BYTES] {
        let mut record = [0; EVENT_BYTES];
        put(&mut record, event::ID, &def.id);
        put(&mut record, event::KEY, def.key);
        put(&mut record, event::KEY_LEN, &[def.key.len() as u8]);
        put(&mut record, event::OP, &[def.op as u8]);
        put_u32(&mut record, event::TX, def.tx);
        put_u32(&mut record, event::RELATION, def.relation);
        for (at, tuple) in [(event::AFTER, def.after), (event::BEFORE, def.before)] {
            if let Some(tuple) = tuple {
                put_u32(&mut record, at, tuple.at);
                self.referred_bytes += tuple.bytes as usize;
            }
        }
        put_u32(&mut record, event::SEQ, def.seq);
        let (flag, body) = match def.body {
            BodyDef::None => (0, &[][..]),
            BodyDef::Json(body) => (BODY_JSON, body.as_bytes()),
            BodyDef::Text(body) => (BODY_TEXT, body.as_bytes()),
            BodyDef::Bytes(body) => (BODY_BYTES, body),
        };
        self.referred_bytes += body.len() + def.particulars.len();
        put(&mut record, event::FLAGS, &flag.to_le_bytes());
        put_ref(&mut record, event::BODY, self.push(body));
        put_u32(&mut record, event::INPUT, def.input.unwrap_or(self.events.len() as u32));
        put_u32(&mut record, event::DERIVED, def.derived);
        put_ref(&mut record, event::PARTICULARS, self.push(def.particulars.as_bytes()));
        record
    }
}

#[cold]
fn check_free_form(def: &EventDef<'_>) -> Result<(), WriteError> {
    match def.body {
        BodyDef::None => {}
        BodyDef::Text(body) => limit("a body", body.len(), BATCH_BYTES_MAX)?,
        BodyDef::Bytes(body) => limit("a body", body.len(), BATCH_BYTES_MAX)?,
        BodyDef::Json(body) => {
            limit("a body", body.len(), BATCH_BYTES_MAX)?;
            if !check::is_json(body.as_bytes()) {
                return Err(WriteError::NotJson { what: "a JSON body" });
            }
        }
    }
    let particulars = def.particulars.as_bytes();
    limit("particulars", particulars.len(), PARTICULARS_BYTES_MAX)?;
    if !particulars.is_empty() && !check::is_object(particulars) {
        return Err(WriteError::NotJson { what: "particulars" });
    }
    if def.op == Op::Named && check::member_string(particulars, "operation").is_none() {
        return Err(WriteError::Invalid { what: "an operation without a name in its particulars" });
    }
    Ok(())
}
