//! Two pgcdc on one slot: the second waits for its turn, and never steals.
//!
//! PostgreSQL gives a slot to one reader at a time; that is the lock. Who waits asks again until it is free, or until
//! `slot_wait` is over. Whoever gets it may find that the one before has stored positions meanwhile, in a store that both
//! share: so the store is read once more after the slot is ours, when nobody else moves it. If it has changed, the
//! session was opened on old news, is closed, and opened again from what is stored now.

use std::time::Duration;

use pgcdc_core::error::Kind;

use super::SourceLink;
use crate::postgres::{Error, Params};
use crate::wal::{self, Options, Session};

/// What a wait for a slot is called.
pub(crate) const SLOT_ACTIVE: &str = "slot_active";
/// What is stored is not what it was when we looked.
const MOVED: &str = "moved";
/// While it is taken, the slot is asked for again after at most this long.
const ASK_AGAIN_MS: u64 = 10_000;

/// After how long at most the source is to be opened again, if its error says that it only waits.
pub(crate) fn ask_again_ms(code: &str) -> Option<u64> {
    match code {
        SLOT_ACTIVE => Some(ASK_AGAIN_MS),
        MOVED => Some(0),
        _ => None,
    }
}

/// Opens a session for this source, from what is stored at the moment in which the slot is had.
pub(crate) async fn open(link: &SourceLink, params: &Params, options: Options) -> Result<Session, Error> {
    let slot_wait = options.slot_wait()?;
    let persistent = options.persistent_slot;
    let record = link.record().map_err(|error| {
        Error::unfit(
            Kind::Conflict,
            "record",
            error.to_string(),
            "run `pgcdc checkpoint reset`, and begin anew",
        )
    })?;
    let opened = wal::open_joined(params, options, link.stored_wal(), &record).await;
    if let Err(Error::Unfit { code: SLOT_ACTIVE, message, .. }) = &opened {
        let waited = link.waits_for_slot();
        return match slot_wait {
            Some(longest) if waited >= longest => Err(given_up(message, longest)),
            _ => opened,
        };
    }
    // A slot that seems to be ahead of what we know may only be ahead of what we knew.
    let doubtful = matches!(&opened, Ok(_) | Err(Error::Unfit { kind: Kind::Conflict, .. }));
    if persistent && doubtful && recall(link).await? {
        if let Ok(session) = opened {
            session.close().await;
        }
        let message = "the stored position has moved while the slot was another's";
        return Err(Error::unfit(
            Kind::Unavailable,
            MOVED,
            message,
            "nothing: it goes on from there at once",
        ));
    }
    let waited = link.has_slot();
    if let (Ok(_), Some(waited)) = (&opened, waited) {
        tracing::info!(detector = &*link.name, waited_ms = waited.as_millis() as u64, "the slot is ours now");
    }
    opened
}

async fn recall(link: &SourceLink) -> Result<bool, Error> {
    link.recall().await.map_err(|message| {
        Error::unfit(
            Kind::Unavailable,
            "store",
            message,
            "check the checkpoint store, which has to be read first",
        )
    })
}

fn given_up(message: &str, longest: Duration) -> Error {
    let waited = crate::manifest::quantity::show_duration(longest);
    Error::unfit(
        Kind::Conflict,
        SLOT_ACTIVE,
        format!("{message}; waited {waited} for it"),
        "stop that client, give this one another slot_name, or leave slot_wait out to stand by",
    )
}
