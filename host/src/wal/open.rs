//! From parameters to a running stream: look, decide, create what is missing, start.
//!
//! Invariant: everything is looked at before anything is created, and the decision where to start is
//! pgcdc-core's alone.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use pgcdc_core::assembler::{Assembler, Settings, Values as CoreValues};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::checkpoint::PostgresIdentity;
use pgcdc_core::error::Kind;
use pgcdc_core::id::Origin;
use pgcdc_core::identifier::quote;
use pgcdc_core::lsn::Lsn;
use pgcdc_core::published::Published;
use pgcdc_core::resume::{Decision, Halt, HaltCode, ServerFacts, Stored, decide};
use pgcdc_core::snapshot::record::Record;
use pgcdc_core::streamed::Streamed;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::connection::{Connection, NewSlot, System};
use super::health;
use super::heartbeat;
use super::input::Input;
use super::options::{Options, Plan, Values};
use super::own;
use super::progress::Progress;
use super::publication::{self, Publication};
use super::queue::{Bounds, Queue};
use super::server::{self, Server};
use super::side::Side;
use super::spill::Spill;
use super::status::{self, Signals};
use super::stream::{CHANGE_HEAD_BYTES, Reader, XID_BYTES};
use super::toast::ToastNews;
use super::{Facts, Session, Started};
use crate::postgres::{self, Error, Params, Wire};
use crate::snapshot::{self, Joint};

/// Batches that may wait for the host.
const BATCHES_MAX: usize = 1_024;
const SLOT_NEWS_EVERY: Duration = Duration::from_secs(5);

/// Opens a session that reads the WAL of the parameters' database. `stored` is what the host has stored
/// for this source; a temporary slot cannot go on there, and ignores it.
pub async fn open(params: &Params, options: Options, stored: Option<Stored>) -> Result<Session, Error> {
    open_joined(params, options, stored, &Record::default()).await
}

/// The same; with `snapshot_first`, what is not on `record` is read, and stands in the stream.
pub(crate) async fn open_joined(
    params: &Params,
    options: Options,
    stored: Option<Stored>,
    record: &Record,
) -> Result<Session, Error> {
    let plan = options.plan()?;
    let (session, connection) = tokio::try_join!(postgres::Session::open(params), Connection::open(params))?;
    let server = server::inspect(&session).await?;
    if options.failover {
        health::check_failover(session.place(), session.major_version())?;
    }
    if session.place() != connection.place() {
        let message = format!("{} and {} answer at once", session.place(), connection.place());
        let step = "nothing while a failover is under way; else make sure that only one of them takes writes";
        return Err(Error::unfit(Kind::Unavailable, "two_servers", message, step));
    }
    let opening = Opening { plan, options, session, connection, server, exported: None };
    opening.start(params, stored, record).await
}

struct Opening {
    plan: Plan,
    options: Options,
    session: postgres::Session,
    connection: Connection,
    server: Server,
    /// The snapshot of the slot that was just created.
    exported: Option<String>,
}

impl Opening {
    async fn start(
        mut self,
        params: &Params,
        stored: Option<Stored>,
        record: &Record,
    ) -> Result<Session, Error> {
        self.connection.allow_any_bytes().await?;
        let system = self.connection.identify().await?;
        let found = match &self.plan.slot {
            Some(name) => server::slot(&self.session, name).await?,
            None => None,
        };
        let active = found.as_ref().is_some_and(|found| found.active);
        let to_alter = self.options.failover
            && !found.as_ref().is_some_and(|found| found.failover == Some(true) || found.active);
        let (exists, kept) = (found.is_some(), found.map(|found| found.facts));
        let publication = self.publication(exists).await?;
        self.check_toast_cache(&publication)?;
        let published = publication::published(&self.session, &self.plan.publication).await?;
        let identity = self.identity(&system, &publication);
        let stored = stored.filter(|_| self.plan.slot.is_some());
        #[cfg(feature = "faults")]
        let stored = crate::fault::furthest(stored, kept.as_ref());
        let moved = stored.as_ref().is_some_and(|stored| stored.identity.timeline != system.timeline);
        let history = if moved { self.connection.history(system.timeline).await? } else { Vec::new() };
        let facts = ServerFacts { identity: identity.clone(), end: system.end, history };
        let decision = decide(stored.as_ref(), kept.as_ref(), &facts);
        // Whoever reads it moves it: while it is another's, its position says nothing about ours.
        let settled = matches!(&decision, Decision::Halt(halt) if halt.code != HaltCode::SlotAhead);
        if active && !settled {
            return Err(taken(&self.session, &identity.slot).await);
        }
        if exists && to_alter && !matches!(decision, Decision::Halt(_)) {
            self.connection.keep_over_failover(&identity.slot).await?;
            tracing::info!(slot = identity.slot, "standbys keep a copy of the slot from now on");
        }
        let (start, started) = self.execute(decision, &identity.slot).await?;
        let warnings = publication::warnings(&identity.publication, &publication, self.options.all_tables);
        let facts = Facts {
            temporary: self.plan.slot.is_none(),
            start,
            started,
            slot_lag_warn_bytes: self.options.slot_lag_warn,
            place: self.connection.place().to_owned(),
            server_version: self.connection.major_version(),
            warnings,
            identity,
        };
        tracing::info!(slot = facts.identity.slot, publication = facts.identity.publication, %start, started = started.as_str(), "replication starts");
        facts.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let all = publication.all_tables || self.options.all_tables;
        if all && self.plan.tables.include.is_empty() {
            self.plan.tables.exclude.extend(own::tables(&self.session).await?);
        }
        if let Some(table) = self.plan.heartbeat.as_ref().and_then(heartbeat::Plan::table)
            && !self.options.heartbeat_events
        {
            self.plan.tables.exclude.push(table);
        }
        let published = published.map(|(_, published)| published).unwrap_or_default();
        let mut settings = self.settings(&facts.identity);
        let joint = match self.options.snapshot_first && !record.done {
            true => Some(self.join(params, &facts, record, &mut settings).await?),
            false => None,
        };
        self.run(params, facts, settings, published, joint).await
    }

    /// The snapshot of the slot that was just created; or, for what is left of an earlier one, that of a slot in passing.
    async fn join(
        &mut self,
        params: &Params,
        facts: &Facts,
        record: &Record,
        settings: &mut Settings,
    ) -> Result<Joint, Error> {
        let plan = snapshot::Plan {
            params,
            publication: &self.plan.publication,
            tables: &self.plan.tables,
            record,
            origin: settings.origin,
            settings,
        };
        if let Some(exported) = self.exported.take() {
            return Joint::open(&plan, facts.start, &exported).await;
        }
        tracing::info!(
            slot = facts.identity.slot,
            "the rows that are not on record are read in a new snapshot"
        );
        let mut passing = Connection::open(params).await?;
        let slot = NewSlot { name: &temporary_name(), temporary: true, failover: false, export: true };
        let (point, exported) = create_slot(&mut passing, &self.session, &slot).await?;
        let exported = exported
            .ok_or_else(|| Error::protocol(passing.place(), "the slot was created without a snapshot"))?;
        let joint = Joint::open(&plan, point, &exported).await;
        settings.cut_at = Some(point);
        joint
    }

    async fn publication(&self, slot_exists: bool) -> Result<Publication, Error> {
        let name = self.plan.publication.as_str();
        if let Some(found) = publication::find(&self.session, name).await? {
            return Ok(found);
        }
        let missing = |next_step: String| {
            let message = format!("publication {name} does not exist in database {}", self.server.database);
            Err(Error::unfit(Kind::Gone, "publication_missing", message, next_step))
        };
        let quoted = quote(name);
        if slot_exists {
            return missing(format!(
                "the slot exists already, and cannot decode what came before a new publication: create the publication, drop the slot, start afresh (CREATE PUBLICATION {quoted} FOR ALL TABLES;)"
            ));
        }
        if !self.options.all_tables {
            return missing(format!("run CREATE PUBLICATION {quoted} FOR TABLE …; or set all_tables: true"));
        }
        publication::create(&self.session, name, &self.server.user).await?;
        match publication::find(&self.session, name).await? {
            Some(found) => Ok(found),
            None => missing("it was dropped as soon as it was created: find out by whom".into()),
        }
    }

    /// A row that came back unseen would be taken for the one that was there before.
    fn check_toast_cache(&self, publication: &Publication) -> Result<(), Error> {
        if self.plan.toast_cache.is_none() || publication.publishes("insert") {
            return Ok(());
        }
        let name = &self.plan.publication;
        let message =
            format!("toast_cache needs to see new rows, and publication {name} does not publish insert");
        let step = "leave toast_cache out, or run ALTER PUBLICATION … SET (publish = 'insert, update, delete, truncate')";
        Err(Error::unfit(Kind::Misconfigured, "toast_cache", message, step))
    }

    fn identity(&self, system: &System, publication: &Publication) -> PostgresIdentity {
        PostgresIdentity {
            system_identifier: system.identifier,
            timeline: system.timeline,
            database_oid: self.server.database_oid,
            database: self.server.database.clone(),
            slot: self.plan.slot.clone().unwrap_or_else(temporary_name),
            publication_oid: publication.oid,
            publication: self.plan.publication.clone(),
        }
    }

    /// Does what was decided.
    async fn execute(&mut self, decision: Decision, slot: &str) -> Result<(Lsn, Started), Error> {
        match decision {
            Decision::Halt(halt) => Err(halted(halt)),
            Decision::Start { at } => Ok((at, Started::Resumed)),
            Decision::Fresh { at } => {
                let start = self.chosen(at)?;
                tracing::warn!(slot, %start, "nothing is stored for this slot, and it exists: going on where it stands");
                Ok((start, Started::Adopted))
            }
            Decision::Create => {
                let slot = NewSlot {
                    name: slot,
                    temporary: self.plan.slot.is_none(),
                    failover: self.options.failover,
                    export: self.options.snapshot_first,
                };
                let made = create_slot(&mut self.connection, &self.session, &slot).await?;
                self.exported = made.1;
                Ok((self.chosen(made.0)?, Started::Created))
            }
        }
    }

    /// The operator's `start_lsn`, unless the slot can no longer go there.
    fn chosen(&self, at: Lsn) -> Result<Lsn, Error> {
        match self.plan.start {
            Some(chosen) if chosen < at => {
                let message =
                    format!("start_lsn is {chosen}, and the slot starts at {at}: what lies between is gone");
                Err(Error::unfit(
                    Kind::Misconfigured,
                    "start_lsn",
                    message,
                    "leave start_lsn out, or choose a later one",
                ))
            }
            Some(chosen) => Ok(chosen),
            None => Ok(at),
        }
    }

    fn settings(&self, id: &PostgresIdentity) -> Settings {
        let mut settings =
            Settings::new(Origin { system_identifier: id.system_identifier, database_oid: id.database_oid });
        settings.include_schema = self.options.include_schema;
        settings.tx_metadata = self.options.tx_metadata || self.options.tx_markers;
        settings.tx_markers = self.options.tx_markers;
        settings.schema_events = self.options.schema_events;
        settings.toast_cache = self.plan.toast_cache;
        settings.local_only = self.options.origin == super::options::Origin::None;
        settings.tables = self.plan.tables.clone();
        if !self.options.heartbeat_events {
            settings.quiet_prefix = heartbeat::PREFIX.into();
        }
        settings.max_event_bytes = self.options.max_event_bytes;
        settings.values = match self.options.values {
            Values::Typed => CoreValues::Typed,
            Values::Text => CoreValues::Text,
        };
        settings
    }

    async fn run(
        self,
        params: &Params,
        facts: Facts,
        settings: Settings,
        published: Published,
        joint: Option<Joint>,
    ) -> Result<Session, Error> {
        let id = &facts.identity;
        let assembler = Assembler::new(settings, TypeCatalog::new(), facts.start);
        let assembler = assembler.map_err(|error| Error::params(error.to_string()))?;
        let messages = self.options.messages;
        let spill = self.options.spill(facts.server_version);
        let streaming = spill.is_some();
        let started = self.connection.start(&id.slot, facts.start, &id.publication, messages, streaming);
        let wire = match started.await {
            Ok(wire) => wire,
            Err(error) if error.sqlstate() == Some("55006") => {
                return Err(taken(&self.session, &id.slot).await);
            }
            Err(error) => return Err(error),
        };
        let every = status::interval(self.server.sender_timeout());
        let side = Arc::new(Side::new(params.clone(), self.session));
        let bounds = Bounds { bytes_max: self.options.read_ahead_bytes, batches_max: BATCHES_MAX };
        Ok(spawn(
            Parts {
                wire,
                assembler,
                side,
                every,
                silence: self.plan.silence,
                bounds,
                frame_bytes_max: self.options.max_event_bytes + CHANGE_HEAD_BYTES + XID_BYTES + 8,
                spill,
                published,
                // A standby takes no writes, and its primary's reach it anyway.
                heartbeat: self.plan.heartbeat.filter(|_| !self.server.in_recovery),
                joint,
            },
            facts,
        ))
    }
}

/// What a running session is made of.
struct Parts {
    wire: Wire,
    assembler: Assembler,
    side: Arc<Side>,
    every: Duration,
    silence: Duration,
    bounds: Bounds,
    published: Published,
    heartbeat: Option<heartbeat::Plan>,
    frame_bytes_max: usize,
    spill: Option<Spill>,
    joint: Option<Joint>,
}

/// The server lets every running transaction end first; that is told, since it may take long.
async fn create_slot(
    connection: &mut Connection,
    session: &postgres::Session,
    slot: &NewSlot<'_>,
) -> Result<(Lsn, Option<String>), Error> {
    let news = async {
        loop {
            tokio::time::sleep(SLOT_NEWS_EVERY).await;
            let sql = "SELECT count(*), pg_catalog.string_agg(pid::text, ', ') FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL";
            let rows = session.rows(sql, "looking at running transactions").await.unwrap_or_default();
            let cell = |at: usize| rows.first().and_then(|row| row.get(at)?.clone()).unwrap_or_default();
            tracing::warn!(
                slot = slot.name,
                transactions = cell(0),
                pids = cell(1),
                "the new slot waits for running transactions"
            );
        }
    };
    tokio::select! {
        created = connection.create_slot(slot) => created,
        () = news => Err(Error::protocol(session.place(), "the slot was not created")),
    }
}

fn spawn(parts: Parts, facts: Facts) -> Session {
    let Parts { mut wire, assembler, side, every, silence, bounds, .. } = parts;
    let Parts { published, heartbeat, frame_bytes_max, spill, joint, .. } = parts;
    let joint = joint.map(Mutex::new);
    let progress = Arc::new(Progress::new(facts.start));
    let queue = Arc::new(Queue::new(bounds));
    let signals = Arc::new(Signals::default());
    let toast = Arc::new(ToastNews::default());
    wire.transport.let_gather();
    let (read, write) = tokio::io::split(wire.transport);
    let reader = Reader {
        input: Input::new(read, &wire.buffer, frame_bytes_max),
        assembler,
        streamed: Streamed::default(),
        spill,
        queue: queue.clone(),
        progress: progress.clone(),
        signals: signals.clone(),
        side: side.clone(),
        place: wire.place.clone(),
        silence,
        toast: toast.clone(),
    };
    let mut tasks = JoinSet::new();
    let reader = tasks.spawn({
        let queue = queue.clone();
        async move { queue.end(reader.run().await) }
    });
    tasks.spawn({
        let (queue, writing) = (queue.clone(), status::run(write, progress.clone(), signals.clone(), every));
        async move {
            if let Err(source) = writing.await {
                queue.end(Error::Io { place: wire.place, doing: "sending a status update", source });
            }
        }
    });
    let tasks = Mutex::new(tasks);
    Session { facts, queue, progress, signals, side, toast, published, heartbeat, joint, reader, tasks }
}

/// The slot is in use, and by whom.
async fn taken(session: &postgres::Session, slot: &str) -> Error {
    let holder = server::holder(session, slot).await.ok().flatten();
    let holder = holder.unwrap_or_else(|| "gone by now".into());
    let message = format!("slot {slot} is active: another client reads it: {holder}");
    let step = "nothing if it is meant to: this one takes over when the slot is free; else stop that client, or give this one another slot_name";
    Error::unfit(Kind::Unavailable, crate::source::takeover::SLOT_ACTIVE, message, step)
}

fn halted(halt: Halt) -> Error {
    let code = halt.code.as_str();
    let kind = match code {
        "slot_missing" | "slot_invalidated" | "publication_gap" => Kind::Gone,
        "slot_unusable" => Kind::Misconfigured,
        _ => Kind::Conflict,
    };
    Error::unfit(kind, code, halt.reason, halt.way_out)
}

fn temporary_name() -> String {
    // Random enough to be unique among the slots of one server.
    format!("pgcdc_{:08x}", RandomState::new().hash_one(std::process::id()) >> 32)
}
