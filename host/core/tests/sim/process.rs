//! pgcdc itself: what the host's rooms do around the decisions of the core, without threads and sockets. Everything in here is
//! gone when the process is killed.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use pgcdc_core::acks::Acks;
use pgcdc_core::assembler::{Assembler, Fed, Finished, Settings};
use pgcdc_core::catalog::TypeCatalog;
use pgcdc_core::checkpoint::{Checkpoint, Identity, LaneMark, PostgresIdentity};
use pgcdc_core::confirm::{HandedOn, Positions, Stand};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::OrderKey;
use pgcdc_core::owed::Owed;
use pgcdc_core::resume::{Reached, Stored};
use pgcdc_core::streamed::{Replay, Step, Streamed};
use pgcdc_layout::{Op, View};

use crate::sink::{Delivery, Lane};
use crate::truth::{Anomaly, ORIGIN, Seen};
use crate::walsender::EVENT_BYTES_MAX;

/// Batches that may wait between the reader and the bus.
const READ_AHEAD_MAX: usize = 4;

/// A batch of the WAL with its place in its session.
struct Batch {
    number: u64,
    first: OrderKey,
    last: OrderKey,
    delivery: Delivery,
}

/// One replication session, its reader and what has been read.
pub(crate) struct Session {
    pub(crate) identity: PostgresIdentity,
    pub(crate) positions: Positions,
    assembler: Assembler,
    streamed: Streamed,
    /// What is kept of transactions in progress.
    kept: BTreeMap<u32, Vec<u8>>,
    bytes: Vec<u8>,
    read: VecDeque<Finished>,
    next: u64,
    received: Lsn,
}

/// A batch on its way to the lanes, with those that have it already.
struct FanOut {
    batch: Batch,
    lanes: VecDeque<u32>,
}

/// A checkpoint on its way to the disk.
pub(crate) struct Storing {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) storable: Lsn,
    session: u64,
}

pub(crate) struct Process {
    pub(crate) stored: Option<Checkpoint>,
    /// What each lane had when the process started.
    pub(crate) at_start: BTreeMap<String, LaneMark>,
    pub(crate) session: Option<Session>,
    sessions: u64,
    pub(crate) connected: bool,
    reached: OrderKey,
    pub(crate) acks: Acks,
    handed: HandedOn,
    before: BTreeMap<u32, LaneMark>,
    pub(crate) lanes: Vec<Lane>,
    fan_out: Option<FanOut>,
    pub(crate) storing: Option<Storing>,
    pub(crate) stopping: bool,
    /// A batch was on its way to the lanes when the process was told to stop.
    pub(crate) torn: bool,
    pub(crate) settings: Settings,
}

impl Process {
    /// Starts with what is stored. `lanes` gives each its number and must keep the order.
    pub(crate) fn new(
        stored: Option<Checkpoint>,
        names: &[String],
        mut lane: impl FnMut(u32, &str) -> Lane,
        settings: Settings,
    ) -> Process {
        let strand = stored.as_ref().and_then(|checkpoint| checkpoint.strands.get(""));
        let marks = strand.map(|strand| strand.lanes.clone()).unwrap_or_default();
        let mark = |name: &String| marks.get(name).cloned().unwrap_or(LaneMark::at(OrderKey::EMPTY));
        let acks = Acks::new(names.iter().map(|name| (name.as_str().into(), mark(name))));
        let lanes: Vec<Lane> = names.iter().zip(acks.lanes()).map(|(name, n)| lane(n, name)).collect();
        let before = names.iter().zip(acks.lanes()).map(|(name, n)| (n, mark(name))).collect();
        Process {
            stored,
            at_start: marks,
            session: None,
            sessions: 0,
            connected: false,
            reached: OrderKey::EMPTY,
            acks,
            handed: HandedOn::default(),
            before,
            lanes,
            fan_out: None,
            storing: None,
            stopping: false,
            torn: false,
            settings,
        }
    }

    /// What decides where the next session starts.
    pub(crate) fn stored_wal(&self) -> Option<Stored> {
        let reached = self.session.as_ref().map(|session| Reached {
            timeline: session.identity.timeline,
            end: self.reached.wal_needed().max(session.positions.storable()),
        });
        let Some(checkpoint) = &self.stored else {
            let session = self.session.as_ref()?;
            let resume = session.positions.status().confirmed;
            return Some(Stored { identity: session.identity.clone(), resume, had: Lsn::ZERO, reached });
        };
        let Identity::Postgres(identity) = &checkpoint.identity else { return None };
        let strand = checkpoint.strands.get("")?;
        let (resume, had) = (Lsn::from_bytes(&strand.resume)?, strand.highest().wal_needed());
        Some(Stored { identity: identity.clone(), resume, had, reached })
    }

    pub(crate) fn begin(&mut self, identity: PostgresIdentity, start: Lsn) -> Result<(), Anomaly> {
        let assembler = Assembler::new(self.settings.clone(), TypeCatalog::new(), start)
            .map_err(|error| Anomaly::BadStream(error.to_string()))?;
        self.session = Some(Session {
            identity,
            positions: Positions::new(start),
            assembler,
            streamed: Streamed::default(),
            kept: BTreeMap::new(),
            bytes: Vec::new(),
            read: VecDeque::new(),
            next: 0,
            received: Lsn::ZERO,
        });
        self.sessions += 1;
        self.handed = HandedOn::default();
        self.connected = true;
        Ok(())
    }

    /// Whether a new session may be opened: what the last one has read was handed on.
    pub(crate) fn wants_session(&self) -> bool {
        let drained = self.session.as_ref().is_none_or(|session| session.read.is_empty());
        !self.connected && !self.stopping && drained && self.fan_out.is_none()
    }

    /// The reader: what the socket gives, at most so much as there is room for.
    pub(crate) fn read(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<bool, Anomaly> {
        let Some(session) = self.session.as_mut().filter(|_| self.connected && !self.stopping) else {
            return Ok(false);
        };
        if session.read.len() >= READ_AHEAD_MAX {
            return Ok(false);
        }
        session.bytes.extend(bytes.drain(..count.min(bytes.len())));
        session.cut()?;
        session.positions.received(session.received);
        if session.read.is_empty() {
            session.push_open();
        }
        Ok(true)
    }

    /// The source's loop: one batch, or one lane further with the one before. Without what was there already.
    pub(crate) fn run(&mut self) -> Result<bool, Anomaly> {
        if self.fan_out.is_some() {
            return Ok(self.fan_out());
        }
        if self.stopping {
            return Ok(false);
        }
        let Some(session) = &mut self.session else { return Ok(false) };
        let Some(finished) = session.read.pop_front() else { return Ok(false) };
        let number = session.next;
        session.next += 1;
        let mut batch = Batch::new(number, &finished)?;
        let had = LaneMark::at(self.reached);
        let fresh = match had.owed(&batch.first, &batch.last) {
            Owed::Nothing => None,
            Owed::Part => batch.without(&had).map(|delivery| {
                batch.delivery = delivery;
                batch
            }),
            Owed::All | Owed::AllFromHere => Some(batch),
        };
        self.reached = finished.last_key.max(self.reached);
        match fresh {
            None => self.handed.handed_on(number, self.acks.delivered()),
            Some(mut batch) => {
                let sequence = self.acks.deliver(batch.last, finished.bytes.len() as u64);
                batch.delivery.number = sequence.map_err(|error| Anomaly::Stuck(error.to_string()))?;
                let lanes = self.acks.lanes().collect();
                self.fan_out = Some(FanOut { batch, lanes });
            }
        }
        Ok(true)
    }

    fn fan_out(&mut self) -> bool {
        let Some(FanOut { batch, lanes: to }) = &mut self.fan_out else { return false };
        let Some(number) = to.front().copied() else {
            self.handed.handed_on(batch.number, self.acks.delivered());
            self.fan_out = None;
            return true;
        };
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.number == number) else { return false };
        let owed = match self.before.get(&number) {
            None => Some(batch.delivery.clone()),
            Some(before) => match before.owed(&batch.first, &batch.last) {
                Owed::AllFromHere => {
                    self.before.remove(&number);
                    Some(batch.delivery.clone())
                }
                Owed::All => Some(batch.delivery.clone()),
                Owed::Nothing => None,
                Owed::Part => batch.without(before),
            },
        };
        match owed {
            None => _ = self.acks.settle(number, batch.delivery.number),
            Some(_) if lane.queue.len() >= lane.queue_max => return false,
            Some(delivery) => lane.queue.push_back(delivery),
        }
        to.pop_front();
        true
    }

    pub(crate) fn settle(&mut self, lane: u32, numbers: &[u64]) {
        for number in numbers {
            assert!(self.acks.settle(lane, *number).is_ok(), "batch {number} was settled twice");
        }
    }

    /// The checkpointer: what could be stored now, if it is news. If it is not, the server is told at once.
    pub(crate) fn checkpoint(&mut self) -> Option<Storing> {
        let session = self.session.as_mut()?;
        let standing = self.acks.standing();
        let storable = session.positions.settled(self.handed.settled(standing.frontier));
        let checkpoint =
            Checkpoint::of_wal(self.stored.as_ref(), &session.identity, storable, standing.lanes);
        if self.stored.as_ref() == Some(&checkpoint) {
            session.positions.stored(storable);
            return None;
        }
        Some(Storing { checkpoint, storable, session: self.sessions })
    }

    /// The disk has it: the server may know.
    pub(crate) fn stored(&mut self, storing: Storing) {
        self.stored = Some(storing.checkpoint);
        let session = self.session.as_mut().filter(|_| storing.session == self.sessions);
        session.into_iter().for_each(|session| _ = session.positions.stored(storing.storable));
    }

    /// Told to stop: nothing more is read, what the lanes have is delivered.
    pub(crate) fn stop(&mut self) {
        self.torn = self.fan_out.take().is_some_and(|out| !out.lanes.is_empty());
        self.stopping = true;
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.lanes.iter().all(Lane::is_idle)
    }

    /// Whether lanes may join and leave now: no batch is half delivered.
    pub(crate) fn is_between_batches(&self) -> bool {
        self.fan_out.is_none() && !self.stopping
    }

    pub(crate) fn join(&mut self, name: &str, mark: LaneMark, lane: impl FnOnce(u32) -> Lane) {
        if let Ok(number) = self.acks.join(name.into(), mark.clone()) {
            self.before.insert(number, mark);
            self.lanes.push(lane(number));
        }
    }

    pub(crate) fn leave(&mut self, at: usize) -> Option<LaneMark> {
        let lane = self.lanes.remove(at);
        self.before.remove(&lane.number);
        self.acks.leave(lane.number).map(|left| left.mark)
    }
}

impl Session {
    /// Cuts frames and feeds them, as long as there is room for batches.
    fn cut(&mut self) -> Result<(), Anomaly> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut at = 0;
        while self.read.len() < READ_AHEAD_MAX {
            let rest = &bytes[at..];
            let Some(length) = rest.get(1..5).and_then(|length| length.try_into().ok()) else { break };
            let Some(frame) = rest.get(5..1 + u32::from_be_bytes(length) as usize) else { break };
            at += 5 + frame.len();
            self.frame(frame)?;
        }
        self.bytes = bytes[at..].to_vec();
        Ok(())
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), Anomaly> {
        let lsn = frame.get(1..9).and_then(Lsn::from_bytes).unwrap_or_default();
        self.received = self.received.max(lsn);
        if frame[0] == b'k' {
            let inside = self.assembler.in_transaction() || self.streamed.is_inside();
            let stand = match (inside, self.assembler.is_empty()) {
                (true, _) => Stand::Inside,
                (false, true) => Stand::Clear,
                (false, false) => Stand::Gathered,
            };
            self.positions.keepalive(lsn, frame[17] != 0, stand);
            return Ok(());
        }
        let data = &frame[25..];
        let step = self.streamed.take(lsn, data, data.len() as u64);
        match step.map_err(|error| Anomaly::BadStream(error.to_string()))? {
            Step::Pass => self.feed(lsn, data),
            Step::Noted => Ok(()),
            Step::Keep { xid, record } => {
                record.write(self.kept.entry(xid).or_default());
                Ok(())
            }
            Step::Forget { xid } => {
                self.kept.remove(&xid);
                Ok(())
            }
            Step::Release(replay) => self.replay(*replay),
        }
    }

    fn replay(&mut self, mut replay: Replay) -> Result<(), Anomaly> {
        let bad = Anomaly::BadStream;
        let kept = self.kept.remove(&replay.xid()).unwrap_or_default();
        self.feed(Lsn::ZERO, &replay.begin())?;
        let mut rest = kept.as_slice();
        while let Some(kept) = replay.next(&mut rest).map_err(|error| bad(error.to_string()))? {
            self.feed(kept.wal_start, kept.data)?;
        }
        self.feed(Lsn::ZERO, &replay.commit().map_err(|error| bad(error.to_string()))?)?;
        for relation in self.streamed.settle(replay) {
            self.assembler.remember(&relation).map_err(|error| bad(error.to_string()))?;
        }
        Ok(())
    }

    fn feed(&mut self, lsn: Lsn, data: &[u8]) -> Result<(), Anomaly> {
        loop {
            match self.assembler.feed(lsn, data, 0) {
                Err(error) => return Err(Anomaly::BadStream(error.to_string())),
                Ok(Fed::Full) => self.push_open(),
                Ok(Fed::NeedTypes(oids)) => self.assembler.learn_types(&oids, Vec::new()),
                Ok(Fed::Taken) => break,
            }
        }
        if self.assembler.is_full() {
            self.push_open();
        }
        Ok(())
    }

    fn push_open(&mut self) {
        let Some(batch) = self.assembler.take_batch() else { return };
        let has_events = batch.events > 0 || !batch.refused.is_empty();
        self.positions.batch(batch.resume, has_events);
        if has_events {
            self.read.push_back(batch);
        }
    }
}

impl Batch {
    fn new(number: u64, finished: &Finished) -> Result<Batch, Anomaly> {
        let view = View::parse(&finished.bytes).map_err(|error| Anomaly::BadStream(error.to_string()))?;
        let mut events = Vec::new();
        for event in view.events() {
            let mut key = Vec::new();
            event.order_key(&mut key);
            let key = OrderKey::new(&key).map_err(|error| Anomaly::BadStream(error.to_string()))?;
            let text = |column| {
                let row = event.after().or(event.before())?;
                row.get(column).value()?.parse().ok()
            };
            match event.op() {
                Op::Begin | Op::Commit => {}
                Op::Message => events.push(Seen { key, id: event.id(), row: None, version: None }),
                _ => events.push(Seen { key, id: event.id(), row: text(0), version: text(1) }),
            }
        }
        let refused = finished.refused.iter().map(|refused| (refused.key.to_order_key(), refused.id));
        let delivery = Delivery { number: 0, events: Rc::new(events), refused: Rc::new(refused.collect()) };
        Ok(Batch { number, first: finished.first_key, last: finished.last_key, delivery })
    }

    /// The part that is not covered; none if nothing is left.
    fn without(&self, had: &LaneMark) -> Option<Delivery> {
        let Delivery { number, events, refused } = &self.delivery;
        let events: Vec<Seen> = events.iter().filter(|seen| !had.covers(&seen.key)).cloned().collect();
        let refused: Vec<_> = refused.iter().filter(|(key, _)| !had.covers(key)).copied().collect();
        let left = !events.is_empty() || !refused.is_empty();
        left.then(|| Delivery { number: *number, events: Rc::new(events), refused: Rc::new(refused) })
    }
}

/// The reader's settings of one process; none of them changes a key or an id.
pub(crate) fn settings(rng: &mut fastrand::Rng) -> Settings {
    Settings {
        max_event_bytes: EVENT_BYTES_MAX,
        batch_events: rng.usize(1..20),
        batch_bytes: rng.usize(200..8_000),
        tx_markers: rng.u8(..3) == 0,
        ..Settings::new(ORIGIN)
    }
}
