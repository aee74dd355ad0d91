//! A session that listens. What is notified while nobody is connected is gone: that is what NOTIFY promises.

use pgcdc_core::identifier::quote;
use tokio::sync::mpsc;
use tokio_postgres::Notification;

use super::{Error, Params, Session};

/// Notifications that may wait; more end the session, loudly, instead of eating memory.
const WAITING_MAX: usize = 65_536;
/// Notifications handed out at once.
const BATCH_MAX: usize = 4_096;

/// What was heard.
pub(crate) struct Heard {
    pub(crate) channel: String,
    pub(crate) payload: String,
    pub(crate) pid: u32,
}

/// A session that listens on channels.
pub(crate) struct Listening {
    session: Session,
    heard: mpsc::Receiver<Notification>,
}

/// Connects and listens; channels are quoted, so their case counts.
pub(crate) async fn open(params: &Params, channels: &[String]) -> Result<Listening, Error> {
    let (sender, heard) = mpsc::channel(WAITING_MAX);
    let mut sender = Some(sender);
    let session = Session::open_with(params, move |notification| {
        if sender.as_ref().is_some_and(|sender| sender.try_send(notification).is_err()) {
            sender = None;
        }
    })
    .await?;
    for channel in channels {
        let command = format!("LISTEN {}", quote(channel));
        let doing = "listening";
        session.client().batch_execute(&command).await.map_err(|error| session.error(doing, error))?;
    }
    Ok(Listening { session, heard })
}

impl Listening {
    /// One or more notifications, or that the session is gone.
    pub(crate) async fn next(&mut self) -> Result<Vec<Heard>, Error> {
        let mut heard = Vec::new();
        if self.heard.recv_many(&mut heard, BATCH_MAX).await == 0 {
            let message = "the session ended, or more notifications came than could be taken";
            return Err(Error::protocol(self.session.place(), message));
        }
        let read = |n: Notification| Heard {
            channel: n.channel().to_owned(),
            payload: n.payload().to_owned(),
            pid: n.process_id() as u32,
        };
        Ok(heard.into_iter().map(read).collect())
    }
}
