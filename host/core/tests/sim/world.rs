//! A server, a network, a disk, sinks and pgcdc between them, one random step after the other; then calm, in which everything
//! has to come to its end. The seed decides all of it.

use std::collections::BTreeMap;

use fastrand::Rng;
use pgcdc_core::checkpoint::{Checkpoint, LaneMark};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::order_key::{OrderKey, PostgresKey};
use pgcdc_core::resume::{Decision, decide};

use crate::disk::Disk;
use crate::process::{self, Process};
use crate::server::Server;
use crate::sink::{Around, Lane, Style};
use crate::trace::Trace;
use crate::truth::{Anomaly, Receiver, Truth};
use crate::walsender::Connection;

/// Faults happen up to this step.
const STEPS: u64 = 3_000;
/// In calm weather everything ends long before.
const CALM_STEPS_MAX: u64 = 150_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Do {
    Write,
    Send,
    Keepalive,
    Hear,
    ServerCheckpoint,
    ServerStarts,
    Start,
    Connect,
    Read,
    Run,
    Lane,
    Store,
    Status,
    // From here on, faults.
    Cut,
    Kill,
    PowerFailure,
    ServerCrash,
    Stop,
    DiskFails,
    Reload,
    Join,
    Leave,
    SlotDropped,
    SlotAnew,
    SlotMoved,
    PublicationAnew,
    FailOver,
    FailBehind,
}

const USUAL: [(Do, u32); 13] = [
    (Do::Write, 150),
    (Do::Send, 220),
    (Do::Keepalive, 40),
    (Do::Hear, 60),
    (Do::ServerCheckpoint, 20),
    (Do::ServerStarts, 80),
    (Do::Start, 150),
    (Do::Connect, 150),
    (Do::Read, 350),
    (Do::Run, 700),
    (Do::Lane, 900),
    (Do::Store, 140),
    (Do::Status, 60),
];

const FAULTS: [(Do, u32); 15] = [
    (Do::Cut, 5),
    (Do::Kill, 3),
    (Do::PowerFailure, 3),
    (Do::ServerCrash, 3),
    (Do::Stop, 2),
    (Do::DiskFails, 4),
    (Do::Reload, 6),
    (Do::Join, 3),
    (Do::Leave, 3),
    (Do::SlotDropped, 1),
    (Do::SlotAnew, 1),
    (Do::SlotMoved, 1),
    (Do::PublicationAnew, 1),
    (Do::FailOver, 2),
    (Do::FailBehind, 3),
];

struct Plan {
    style: Style,
    queue_max: usize,
}

pub(crate) struct World {
    rng: Rng,
    pub(crate) trace: Trace,
    truth: Truth,
    server: Server,
    connection: Option<Connection>,
    disk: Disk,
    /// What would be found if the power failed now.
    durable: Option<Checkpoint>,
    process: Option<Process>,
    receivers: BTreeMap<String, Receiver>,
    plans: BTreeMap<String, Plan>,
    extras: u32,
    /// Where the slot began.
    baseline: Lsn,
    /// Somebody has broken something that pgcdc must not go on with.
    damaged: bool,
    calm: bool,
    /// A lane that is far behind the others.
    slow: Option<&'static str>,
    /// A sync that takes long: so many times in ten it is not done yet.
    disk_slowness: u8,
    weights: Vec<(Do, u32)>,
    done: BTreeMap<Do, u64>,
    /// What else happened, how often.
    also: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let faults = FAULTS.map(|(what, weight)| (what, weight * [0, 0, 1, 1, 3][rng.usize(..5)]));
        let mut world = World {
            trace: Trace::default(),
            truth: Truth::default(),
            server: Server::new(),
            connection: None,
            disk: Disk::default(),
            durable: None,
            process: None,
            receivers: BTreeMap::new(),
            plans: BTreeMap::new(),
            extras: 0,
            baseline: Lsn::ZERO,
            damaged: false,
            calm: false,
            slow: [None, None, Some("audit"), Some("mine")][rng.usize(..4)],
            disk_slowness: [0, 5, 9][rng.usize(..3)],
            weights: USUAL.into_iter().chain(faults).collect(),
            done: BTreeMap::new(),
            also: BTreeMap::new(),
            rng,
        };
        for name in ["audit", "mine", "search"].iter().take(world.rng.usize(1..=3)) {
            world.plan(name, OrderKey::EMPTY);
        }
        world
    }

    /// A sink as an operator might configure it.
    fn plan(&mut self, name: &str, from: OrderKey) {
        let style = [Style::Concurrent(1), Style::Concurrent(4), Style::Holding][self.rng.usize(..3)];
        let plan = Plan { style, queue_max: self.rng.usize(1..5) };
        let drops = (self.rng.u8(..3) == 0).then(|| self.rng.usize(..2));
        let receiver = Receiver::new(name, drops, self.plans.len() as u8, from);
        self.plans.insert(name.into(), plan);
        self.receivers.insert(name.into(), receiver);
    }

    /// Everything: faults, then calm, then the end.
    pub(crate) fn run(&mut self) -> Result<(), Anomaly> {
        while self.trace.step < STEPS {
            self.step()?;
        }
        self.calm = true;
        self.weights = USUAL.into_iter().filter(|(what, _)| *what != Do::Write).collect();
        while !self.is_finished() {
            if self.trace.step > STEPS + CALM_STEPS_MAX {
                return Err(Anomaly::Stuck(self.standing()));
            }
            self.server.settle(&mut self.rng, &mut self.truth);
            self.step()?;
        }
        self.receivers.values().try_for_each(|receiver| receiver.complete(&self.truth))?;
        let repeats: u64 = self.receivers.values().map(|receiver| receiver.repeats).sum();
        self.also.insert("repeated", repeats);
        self.also.insert("committed", self.truth.len() as u64);
        Ok(())
    }

    /// How often what happened.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let done = self.done.iter().map(|(what, times)| (format!("{what:?}"), *times));
        done.chain(self.also.iter().map(|(what, times)| (what.to_string(), *times)))
            .filter(|(_, times)| *times > 0)
    }

    fn is_finished(&self) -> bool {
        let end = self.server.items.last().map_or(Lsn::ZERO, |item| item.end);
        let confirmed = self.server.slot.as_ref().map_or(Lsn::ZERO, |slot| slot.confirmed);
        let sent = self.connection.as_ref().is_some_and(|connection| connection.caught_up(&self.server));
        let drained = self.process.as_ref().is_some_and(|process| !process.stopping && process.is_drained());
        self.server.is_idle() && sent && drained && confirmed >= end
    }

    fn standing(&self) -> String {
        let acks = self.process.as_ref().map(|process| process.acks.standing());
        let confirmed = self.server.slot.as_ref().map(|slot| slot.confirmed);
        format!("server {}, confirmed {confirmed:?}, {acks:?}", self.server.end)
    }

    fn step(&mut self) -> Result<(), Anomaly> {
        self.trace.step += 1;
        let total: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.u32(..total);
        let mut what = Do::Write;
        for (candidate, weight) in &self.weights {
            what = *candidate;
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => break,
            }
        }
        if self.act(what)? {
            self.trace.note(format_args!("{what:?} {} {}", self.server.end, self.truth.len()));
            *self.done.entry(what).or_default() += 1;
        }
        self.check()
    }

    /// confirmed ≤ stored, at every step.
    fn check(&self) -> Result<(), Anomaly> {
        let Some(slot) = self.server.slot.as_ref().filter(|_| !self.damaged) else { return Ok(()) };
        let stored = self.durable.as_ref().map_or(Lsn::ZERO, resume_of).max(self.baseline);
        match slot.confirmed > stored {
            true => Err(Anomaly::ConfirmedAhead { confirmed: slot.confirmed, stored }),
            false => Ok(()),
        }
    }

    fn act(&mut self, what: Do) -> Result<bool, Anomaly> {
        let done = match what {
            Do::Write => self.server.up && self.write(),
            Do::Send => match &mut self.connection {
                Some(connection) => connection.send(&self.server, &mut self.rng),
                None => false,
            },
            Do::Keepalive => self.connection.as_mut().is_some_and(|connection| {
                connection.keepalive(true);
                true
            }),
            Do::Hear => self.hear(1),
            Do::ServerCheckpoint => {
                self.server.checkpoint();
                true
            }
            Do::ServerStarts => !std::mem::replace(&mut self.server.up, true),
            Do::Start => return self.start(),
            Do::Connect => return self.connect(),
            Do::Read => return self.read(),
            Do::Run => match &mut self.process {
                Some(process) => return process.run(),
                None => false,
            },
            Do::Lane => return self.lane(),
            Do::Store => return self.store(),
            Do::Status => self.status(),
            fault => return self.fault(fault),
        };
        Ok(done)
    }

    fn write(&mut self) -> bool {
        self.server.write(&mut self.rng, &mut self.truth);
        true
    }

    /// The server reads status updates.
    fn hear(&mut self, count: usize) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let count = count.min(connection.up.len());
        for position in connection.up.drain(..count) {
            self.server.confirm(position);
            self.trace.note(format_args!("confirmed {position}"));
        }
        count > 0
    }

    fn status(&mut self) -> bool {
        let process = self.process.as_ref().filter(|process| process.connected);
        let session = process.and_then(|process| process.session.as_ref());
        let (Some(session), Some(connection)) = (session, &mut self.connection) else { return false };
        connection.up.push(session.positions.status().confirmed);
        true
    }

    fn start(&mut self) -> Result<bool, Anomaly> {
        if self.process.is_some() {
            return Ok(false);
        }
        let found = self.disk.open();
        self.look_at_disk()?;
        if found.is_none() && self.durable.is_some() {
            return Err(Anomaly::Unreadable("no file is whole any more".into()));
        }
        self.receivers.values_mut().for_each(|receiver| receiver.since_start = OrderKey::EMPTY);
        let names: Vec<String> = self.plans.keys().cloned().collect();
        let lane = |number, name: &str| {
            let plan = &self.plans[name];
            Lane::new(number, name, plan.style, plan.queue_max)
        };
        let settings = process::settings(&mut self.rng);
        self.process = Some(Process::new(self.durable.clone(), &names, lane, settings));
        Ok(true)
    }

    /// The disk may have changed: whatever it says has to be true.
    fn look_at_disk(&mut self) -> Result<(), Anomaly> {
        let Some((_, bytes)) = self.disk.stored() else { return Ok(()) };
        let checkpoint =
            Checkpoint::decode(&bytes).map_err(|error| Anomaly::Unreadable(error.to_string()))?;
        if self.durable.as_ref() == Some(&checkpoint) {
            return Ok(());
        }
        let resume = resume_of(&checkpoint);
        self.trace.note(format_args!("stored {resume}"));
        let lanes = checkpoint.strands.get("").map(|strand| &strand.lanes);
        for receiver in self.receivers.values_mut().filter(|_| !self.damaged) {
            let mark = lanes.and_then(|lanes| lanes.get(&receiver.lane));
            receiver.stored(&self.truth, resume, mark.map_or(OrderKey::EMPTY, |mark| mark.mark))?;
        }
        self.durable = Some(checkpoint);
        Ok(())
    }

    fn connect(&mut self) -> Result<bool, Anomaly> {
        let Some(process) = self.process.as_mut().filter(|process| process.wants_session()) else {
            return Ok(false);
        };
        if !self.server.up {
            return Ok(false);
        }
        let stored = process.stored_wal();
        let decision = decide(stored.as_ref(), self.server.slot_facts().as_ref(), &self.server.facts());
        let at = match decision {
            // A new slot waits until everything that is open has ended.
            Decision::Create if !self.server.is_idle() => {
                self.server.settle(&mut self.rng, &mut self.truth);
                return Ok(false);
            }
            Decision::Create => {
                let at = self.server.create_slot();
                self.begin_at(at);
                at
            }
            Decision::Fresh { at } => {
                if self.damaged {
                    self.begin_at(at);
                }
                at
            }
            Decision::Start { at } => at,
            Decision::Halt(halt) if self.damaged => {
                self.trace.note(format_args!("{}", halt.code));
                *self.also.entry(halt.code.as_str()).or_default() += 1;
                self.reset();
                return Ok(true);
            }
            Decision::Halt(halt) => return Err(Anomaly::NeedlessHalt(halt.reason)),
        };
        // A checkpoint of the session before may still be on its way, and a later start may stumble over it.
        self.damaged &= self.process.as_ref().is_some_and(|process| process.storing.is_some());
        self.trace.note(format_args!("starts at {at}"));
        if let Some(process) = &mut self.process {
            process.begin(self.server.identity.clone(), at)?;
            self.connection = Some(Connection::new(&self.server, at));
        }
        Ok(true)
    }

    fn begin_at(&mut self, at: Lsn) {
        self.baseline = at;
        // A message names the end of its record: one that names the start of the slot is before it.
        let from = PostgresKey::message_outside(at).to_order_key();
        self.receivers.values_mut().for_each(|receiver| receiver.start_at(from));
    }

    /// What the operator does after a halt: forget the position, drop the slot, copy the tables anew.
    fn reset(&mut self) {
        self.process = None;
        self.connection = None;
        self.disk.wipe();
        self.durable = None;
        self.server.slot = None;
        self.baseline = Lsn::ZERO;
    }

    fn read(&mut self) -> Result<bool, Anomaly> {
        let (Some(process), Some(connection)) = (&mut self.process, &mut self.connection) else {
            return Ok(false);
        };
        // Mostly a whole frame or more, sometimes a byte.
        let count = if self.rng.u8(..4) == 0 { self.rng.usize(..40) } else { self.rng.usize(..4_000) };
        process.read(&mut connection.down, count)
    }

    /// Calls one of a lane's steps with what it needs.
    fn with_lane<T>(
        &mut self,
        at: usize,
        work: impl FnOnce(&mut Lane, &mut Around<'_>) -> Result<T, Anomaly>,
    ) -> Result<Option<T>, Anomaly> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let Some(lane) = process.lanes.get_mut(at) else { return Ok(None) };
        let Some(receiver) = self.receivers.get_mut(&lane.name) else { return Ok(None) };
        let nothing = LaneMark::at(OrderKey::EMPTY);
        let now = process.acks.mark(lane.number).unwrap_or(nothing.clone());
        let at_start = process.at_start.get(&lane.name).unwrap_or(&nothing);
        let mut around = Around {
            rng: &mut self.rng,
            truth: &self.truth,
            receiver,
            had: [at_start, &now],
            flaky: !self.calm,
        };
        work(lane, &mut around).map(Some)
    }

    fn lane(&mut self) -> Result<bool, Anomaly> {
        let lanes = self.process.as_ref().map_or(0, |process| process.lanes.len());
        if lanes == 0 {
            return Ok(false);
        }
        let at = self.rng.usize(..lanes);
        let name = self.process.as_ref().map(|process| process.lanes[at].name.as_str());
        if !self.calm && name == self.slow && self.rng.u8(..20) != 0 {
            return Ok(false);
        }
        let Some(Some(settled)) = self.with_lane(at, |lane, around| lane.step(around))? else {
            return Ok(false);
        };
        if let Some(process) = &mut self.process {
            let number = process.lanes[at].number;
            process.settle(number, &settled);
        }
        Ok(true)
    }

    /// One step of the checkpointer: begin to write, or have it on the device.
    fn store(&mut self) -> Result<bool, Anomaly> {
        let Some(process) = &mut self.process else { return Ok(false) };
        if process.storing.is_some() && !self.calm && self.rng.u8(..10) < self.disk_slowness {
            return Ok(false);
        }
        if let Some(storing) = process.storing.take() {
            self.disk.sync();
            process.stored(storing);
            self.look_at_disk()?;
            return Ok(true);
        }
        if let Some(storing) = process.checkpoint() {
            let bytes = storing.checkpoint.encode();
            let bytes = bytes.map_err(|error| Anomaly::Unreadable(error.to_string()))?;
            self.disk.write(&bytes);
            process.storing = Some(storing);
            return Ok(true);
        }
        if process.stopping && process.is_drained() {
            return self.stopped();
        }
        Ok(false)
    }

    /// A clean end: everything that was delivered is stored as such, and the server knows.
    fn stopped(&mut self) -> Result<bool, Anomaly> {
        self.status();
        self.hear(usize::MAX);
        let torn = self.process.as_ref().is_some_and(|process| process.torn);
        let lanes = self.durable.as_ref().and_then(|durable| durable.strands.get(""));
        for receiver in self.receivers.values().filter(|_| !torn && !self.damaged) {
            let mark = lanes.and_then(|strand| strand.lanes.get(&receiver.lane));
            receiver.left_nothing(mark.map_or(OrderKey::EMPTY, |mark| mark.mark))?;
        }
        self.connection = None;
        self.process = None;
        *self.also.entry("Stopped").or_default() += 1;
        Ok(true)
    }

    fn cut(&mut self) {
        let heard = self.rng.usize(..4);
        self.hear(heard);
        self.connection = None;
        if let Some(process) = &mut self.process {
            process.connected = false;
        }
    }

    /// pgcdc is gone; what its sinks were doing may have been done.
    fn kill(&mut self) -> Result<bool, Anomaly> {
        let Some(process) = &self.process else { return Ok(false) };
        for at in 0..process.lanes.len() {
            self.with_lane(at, |lane, around| lane.reach(around))?;
        }
        self.cut();
        self.process = None;
        Ok(true)
    }

    fn fault(&mut self, what: Do) -> Result<bool, Anomaly> {
        match what {
            Do::Kill => return self.kill(),
            Do::PowerFailure => {
                self.kill()?;
                self.disk.power_failure(&mut self.rng);
                self.look_at_disk()?;
            }
            Do::Cut => self.cut(),
            Do::ServerCrash => {
                self.cut();
                self.server.crash();
            }
            Do::Stop => {
                let Some(process) = self.process.as_mut().filter(|process| !process.stopping) else {
                    return Ok(false);
                };
                process.stop();
            }
            Do::DiskFails => {
                let Some(process) = &mut self.process else { return Ok(false) };
                if process.storing.take().is_none() {
                    return Ok(false);
                }
                self.disk.fail(&mut self.rng);
                self.disk.open();
                self.look_at_disk()?;
            }
            Do::Reload | Do::Join | Do::Leave => return Ok(self.reload(what)),
            _ => return Ok(self.damage(what)),
        }
        Ok(true)
    }

    /// A lane is replaced, joins or leaves while all the others go on.
    fn reload(&mut self, what: Do) -> bool {
        let Some(process) = self.process.as_mut().filter(|process| process.is_between_batches()) else {
            return false;
        };
        if what == Do::Join {
            if self.extras > 2 || process.acks.delivered() == 0 {
                return false;
            }
            self.extras += 1;
            let (name, from) = (format!("extra{}", self.extras), process.acks.reached());
            self.plan(&name, from);
            return self.add_lane(&name, LaneMark::at(OrderKey::EMPTY));
        }
        let lanes = process.lanes.len();
        if lanes == 0 {
            return false;
        }
        let at = self.rng.usize(..lanes);
        let (name, number) = (process.lanes[at].name.clone(), process.lanes[at].number);
        if what == Do::Leave {
            if !name.starts_with("extra") {
                return false;
            }
            self.plans.remove(&name);
            self.receivers.remove(&name);
            process.leave(at).is_some()
        } else if process.lanes[at].is_idle() && process.acks.open(number) == 0 {
            let Some(mark) = process.leave(at) else { return false };
            self.add_lane(&name, mark)
        } else {
            false
        }
    }

    fn add_lane(&mut self, name: &str, mark: LaneMark) -> bool {
        let (Some(process), Some(plan)) = (&mut self.process, self.plans.get(name)) else { return false };
        process.join(name, mark, |number| Lane::new(number, name, plan.style, plan.queue_max));
        true
    }

    /// What pgcdc must notice, and not go on.
    fn damage(&mut self, what: Do) -> bool {
        if self.server.slot.is_none() || !self.server.up {
            return false;
        }
        match what {
            Do::SlotDropped => self.server.slot = None,
            Do::SlotAnew | Do::SlotMoved if !self.server.is_idle() => return false,
            Do::SlotAnew => _ = self.server.create_slot(),
            Do::SlotMoved => self.server.confirm(self.server.end),
            Do::PublicationAnew => self.server.identity.publication_oid += 1,
            Do::FailOver => {
                self.cut();
                self.server.fail_over(self.server.end);
                return true;
            }
            _ => {
                self.cut();
                let least = self.server.slot_on_disk();
                let ends: Vec<Lsn> = self.server.items.iter().map(|item| item.end).collect();
                let ends: Vec<Lsn> = ends.into_iter().filter(|end| *end >= least).rev().take(8).collect();
                if ends.is_empty() {
                    return false;
                }
                let left_at = ends[self.rng.usize(..ends.len())];
                self.server.fail_over(left_at);
                self.truth.abandon_from(left_at);
                self.receivers.values_mut().for_each(|receiver| receiver.forget_abandoned(&self.truth));
            }
        }
        self.cut();
        self.damaged = true;
        true
    }
}

fn resume_of(checkpoint: &Checkpoint) -> Lsn {
    let strand = checkpoint.strands.get("");
    strand.and_then(|strand| Lsn::from_bytes(&strand.resume)).unwrap_or_default()
}
