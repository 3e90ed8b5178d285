//! The run loop's part in a change of a task: it lets go of the task, and goes on with it as it is then.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::agenda::Passed;
use super::catch_up::Backlog;
use super::handle::{EngineError, Order, Settlement};
use super::planning;
use super::recovery::CHANGED_SINCE;
use super::run_loop::RunLoop;
use crate::journal::{missed_record, skipped_record};
use crate::model::{Epoch, Identity, Record, Revision, Shard, Timestamp};

/// Who asked to hold a task.
pub(super) type HoldAnswer = oneshot::Sender<Result<(Timestamp, Epoch), EngineError>>;

/// A task whose change is being written.
pub(super) struct HeldTask {
    since: Timestamp,
    /// What was on the agenda.
    revision: Option<Arc<Revision>>,
    /// What was still to be caught up.
    backlogs: Vec<Backlog>,
}

impl HeldTask {
    /// Nothing later than this counts as handed out.
    fn settled_until(&self) -> Timestamp {
        let oldest = self.backlogs.iter().map(|backlog| Timestamp::from_millis(backlog.oldest().millis() - 1));
        oldest.min().map_or(self.since, |oldest| oldest.min(self.since))
    }

    /// Takes out what is chosen of what was still to be caught up.
    pub(super) fn take_where(&mut self, is_chosen: impl Fn(&Backlog) -> bool) -> Vec<Backlog> {
        self.backlogs.extract_if(.., |backlog| is_chosen(backlog)).collect()
    }
}

/// Why what stood aside for a pause that did not come about is not caught up.
const GONE_MEANWHILE: &str = "deleted or switched off before it could be sent";

impl RunLoop {
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Plan => {
                self.asked_to_plan_at = self.now();
                self.status.asked_to_plan_at.store(self.asked_to_plan_at.millis(), Ordering::Relaxed);
                self.plan();
            }
            Order::Hold(identity, answer) => self.holds_waiting.push_back((identity, answer)),
            Order::Settle(identity, settlement, done) => {
                let way = self.on_the_way.begin();
                let records = self.settle(&identity, settlement);
                // The caller may have gone: the change is in force all the same, and the next start finds what is open.
                let _ = done.send((records, way));
            }
            Order::Release(identity) => {
                if let Some(held) = self.held.remove(&identity) {
                    self.put_back(held.revision, held.since);
                    self.catch_up_again(held.backlogs);
                }
            }
            Order::Pause(order) => self.pauses_waiting.push_back(order),
            Order::Follow(follow) => self.follows.push_back(*follow),
            Order::Take(recovered, done) => self.tenancy.takes.push_back((recovered, done)),
            Order::Give(shards, done) => self.tenancy.gives.push_back((shards, done)),
            Order::Lose(shards, done) => {
                self.lose(shards);
                // The caller may have gone: they are lost all the same.
                let _ = done.send(());
            }
            Order::Stop(_) => unreachable!("the loop takes this one itself"),
        }
    }

    /// Brings a change into force. Gives the records of what will not be caught up any more: they count as unsettled.
    fn settle(&mut self, identity: &Identity, settlement: Settlement) -> Vec<Record> {
        let Some(held) = self.held.remove(identity) else { return Vec::new() };
        match settlement {
            Settlement::Replaced(next) => {
                self.put_back(Some(next), held.since);
                self.catch_up_again(held.backlogs);
                Vec::new()
            }
            Settlement::Ended(why) => {
                let records: Vec<Record> =
                    held.backlogs.iter().flat_map(|backlog| given_up(backlog, why.as_str(), self.latest)).collect();
                self.note_unsettled(&records);
                self.put_back(None, held.since);
                records
            }
            Settlement::Finished => {
                self.put_back(None, held.since);
                Vec::new()
            }
        }
    }

    pub(super) fn put_back(&mut self, revision: Option<Arc<Revision>>, since: Timestamp) {
        if let Some(revision) = revision {
            self.agenda.put(&revision, since);
            self.decide_about(self.agenda.late_of(&revision.task.identity, self.late_after()));
        }
        self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
    }

    /// What passed while an entry stood aside is claimed with the instants of others: its misfire policy decides about it all
    /// the same. A crash before the records are durable leaves it uncertain, as all that is claimed.
    pub(super) fn decide_about(&mut self, late: Vec<Passed>) {
        let mut records = Vec::new();
        for passed in late {
            let claimed_through = self.agenda.shards()[passed.revision.shard().index()].claimed_through;
            let (moved, of_entry) = planning::misfire(passed, self.latest.min(claimed_through), &self.settings);
            records.extend(of_entry);
            self.go_on(moved, true);
        }
        self.write(records);
    }

    /// An instant that has not been fired by now and is older than this is a misfire.
    pub(super) fn late_after(&self) -> Timestamp {
        self.latest.minus(self.settings.misfire_grace)
    }

    /// Before records are on their way: what is settled must not go past them.
    fn note_unsettled(&self, records: &[Record]) {
        let settled = records.iter().filter_map(|record| Some((Shard::of(&record.identity), record.settles()?)));
        self.journal.unsettled().open(settled.map(|(shard, settled)| (shard, settled.stretch.first)));
    }

    /// Gives back what stood aside for a pause that did not come about. Of a task that is held it stands aside further, and of
    /// one that is gone by now nothing is caught up.
    pub(super) fn give_back(&mut self, aside: Vec<Backlog>) {
        let mut records = Vec::new();
        for backlog in aside {
            let identity = &backlog.revision.task.identity;
            if let Some(held) = self.held.get_mut(identity) {
                held.backlogs.push(backlog);
            } else if self.agenda.tasks.contains_key(identity) {
                self.agenda.catch_up.add(backlog);
            } else {
                records.extend(given_up(&backlog, GONE_MEANWHILE, self.latest));
            }
        }
        self.write(records);
    }

    /// Has records written for which nobody waits.
    fn write(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        self.note_unsettled(&records);
        let (journal, way) = (self.journal.clone(), self.on_the_way.begin());
        tokio::spawn(async move {
            let _way = way;
            for record in records {
                // It has stopped only if the node goes down: the next start finds what is open.
                let _ = journal.settle(record).await;
            }
        });
    }

    fn catch_up_again(&mut self, backlogs: Vec<Backlog>) {
        for backlog in backlogs {
            self.agenda.catch_up.add(backlog);
        }
    }

    /// Answers the holds that need not wait any longer. Everything due was handed over just before.
    pub(super) fn answer_holds(&mut self) {
        if self.planning.is_some() {
            if self.planning_takes_too_long() {
                for (_, answer) in self.holds_waiting.drain(..) {
                    // The caller may have gone: then nobody needs the answer.
                    let _ = answer.send(Err(EngineError::CannotClaim));
                }
            }
            return;
        }
        for _ in 0..self.holds_waiting.len() {
            let Some((identity, answer)) = self.holds_waiting.pop_front() else { break };
            if !self.owns(Shard::of(&identity)) {
                // The caller may have gone: then nobody needs the answer.
                let _ = answer.send(Err(EngineError::NotOwned));
            } else if self.held.contains_key(&identity) {
                self.holds_waiting.push_back((identity, answer));
            } else if !self.agenda.is_open(&identity, self.latest) {
                self.hold(identity, answer);
            } else if self.cannot_claim() {
                // The caller may have gone: then nobody needs the answer.
                let _ = answer.send(Err(EngineError::CannotClaim));
            } else {
                // What was not fired as it is paused has to be recorded first.
                self.wants_plan |= !self.agenda.paused_of(&identity, self.latest).is_empty();
                self.holds_waiting.push_back((identity, answer));
            }
        }
    }

    fn hold(&mut self, identity: Identity, answer: HoldAnswer) {
        let since = self.latest;
        let epoch = self.agenda.shards()[Shard::of(&identity).index()].epoch;
        let revision = self.agenda.take_out(&identity);
        let backlogs = self.agenda.catch_up.take_task(&identity);
        if answer.send(Ok((since, epoch))).is_ok() {
            self.held.insert(identity, HeldTask { since, revision, backlogs });
        } else {
            self.put_back(revision, since);
            self.catch_up_again(backlogs);
        }
    }

    /// What a held task names after this moment is not on the agenda: it counts as not handed out. The same goes for what
    /// is caught up and stands aside for a change.
    pub(super) fn held_since(&self, shard: Shard) -> Timestamp {
        let of_shard = self.held.iter().filter(|(identity, _)| Shard::of(identity) == shard);
        let held = of_shard.map(|(_, held)| held.settled_until());
        held.chain(self.pausing.settled_until(shard)).min().unwrap_or(Timestamp::FAR_FUTURE)
    }

    pub(super) fn release_all(&mut self) {
        for (_, held) in std::mem::take(&mut self.held) {
            // Nothing is decided about what has passed: the change may be stored.
            if let Some(revision) = held.revision {
                self.agenda.put(&revision, held.since);
            }
            self.catch_up_again(held.backlogs);
        }
    }
}

/// The records of instants that will not be caught up: skipped, or missed if they may have been sent before a crash.
fn given_up(backlog: &Backlog, policy: &str, now: Timestamp) -> Vec<Record> {
    let (identity, name) = (&backlog.revision.task.identity, &backlog.revision.task.entries[backlog.entry].name);
    let record = |stretch| match backlog.is_uncertain {
        true => missed_record(identity, name, stretch, CHANGED_SINCE, now),
        false => skipped_record(identity, name, stretch, policy, now),
    };
    backlog.stretches().map(record).collect()
}
