//! The runs that dispatch holds, by name and by task, and where each of them stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::alarms::Alarm;
use super::departure::Departure;
use super::handle::{Broken, Patience};
use super::keys::{EntryKey, TaskKey};
use super::lanes::{GivesWay, HostKey, Waiter};
use super::request::request_of;
use crate::journal::{FireOutcome, RunStage, Started};
use crate::model::{Attempt, Backfill, Fire, Misfire, RunId, Shard, ShardSet, Timestamp};

/// Where a run stands.
#[derive(Debug)]
pub(super) enum Place {
    /// It was asked for, and who asks makes its record durable.
    Reserved {
        /// Nothing else keeps it from starting.
        may_start: bool,
    },
    /// Its time has not come yet.
    Delayed(Alarm),
    /// Other runs of its entry are in progress.
    Behind,
    /// Other runs of its backfill are in progress.
    Grouped(u64),
    /// Limits of what may be in flight hold it back.
    InLane(u64),
    /// An attempt is made.
    InFlight(Option<oneshot::Sender<()>>),
    /// An attempt failed, the next one is to come.
    Pausing(Alarm),
    /// Its outcome is given to the journal.
    Ending,
    /// The node goes down, or no longer acts for the task: who acts for it next goes on with it.
    Left,
    /// The node that gave its shard away has an attempt under way, and records how that ends.
    Elsewhere,
}

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) fire: Fire,
    pub(super) key: EntryKey,
    pub(super) host: HostKey,
    /// When it is to start, if that is later than its instant on purpose.
    pub(super) due_at: Option<Timestamp>,
    pub(super) attempts: Vec<Attempt>,
    /// Of its newest record.
    pub(super) phase: u32,
    pub(super) place: Place,
    /// Of the newest attempt; `None`: there was none.
    pub(super) departure: Option<Arc<Departure>>,
    /// It counts among those of its backfill that are in progress.
    pub(super) is_in_group: bool,
    /// Why no further attempt is made.
    pub(super) last_word: Option<Box<LastWord>>,
    /// It was under way when its shard was given away, and ends here all the same.
    pub(super) lingers: bool,
}

/// What ends a run before its time.
#[derive(Debug)]
pub(super) struct LastWord {
    pub(super) why: String,
    /// Wants to know what became of it.
    pub(super) asker: Option<oneshot::Sender<Broken>>,
}

impl Run {
    pub(super) fn new(fire: Fire, key: EntryKey) -> Self {
        let progress = fire.progress.as_deref();
        let (attempts, phase) = progress.map(|it| (it.attempts.clone(), it.phase)).unwrap_or_default();
        let host = HostKey::from(request_of(&fire).url.origin());
        let (place, is_in_group, lingers) = (Place::Behind, false, false);
        let (departure, last_word) = (None, None);
        Self { fire, key, host, due_at: None, attempts, phase, place, departure, is_in_group, last_word, lingers }
    }

    /// When it is to start.
    pub(super) fn delay(&mut self) -> Timestamp {
        self.due_at = self.fire.due_at();
        self.due_at.unwrap_or(self.fire.fire_time)
    }

    /// Whether surely nothing of it was sent before this process had it, and no attempt of this one has ended.
    pub(super) fn is_fresh(&self) -> bool {
        self.attempts.is_empty() && !self.fire.redelivered && !self.is_under_way()
    }

    /// Whether an earlier process may have sent an attempt whose end nobody knows.
    fn is_under_way(&self) -> bool {
        self.fire.progress.as_ref().is_some_and(|progress| progress.is_under_way)
    }

    /// Whether an earlier process began it.
    pub(super) fn has_begun(&self) -> bool {
        !self.attempts.is_empty() || self.is_under_way()
    }

    /// Whether it is sent, or was and will be again; else it only waits.
    pub(super) fn goes(&self) -> bool {
        self.has_begun() || matches!(self.place, Place::InFlight(_) | Place::Ending)
    }

    /// Why the start of this process gave it up.
    pub(super) fn given_up_before(&self) -> Option<&'static str> {
        self.fire.progress.as_ref().and_then(|progress| progress.given_up)
    }

    /// Whether it waits for something, so that it can be given up without more ado.
    pub(super) fn is_waiting(&self) -> bool {
        match self.place {
            Place::Delayed(_) | Place::Behind | Place::Grouped(_) | Place::InLane(_) | Place::Pausing(_) => true,
            Place::Reserved { .. } | Place::InFlight(_) | Place::Ending | Place::Left | Place::Elsewhere => false,
        }
    }

    pub(super) fn backfill(&self) -> Option<Backfill> {
        self.fire.asked.as_ref().filter(|_| self.fire.notice.is_none()).and_then(|asked| asked.backfill)
    }

    /// How it waits at a lane: what the schedule names, and was not begun, gives way when it has waited for too long.
    pub(super) fn waiter(&self, run_id: RunId, patience: Patience) -> Waiter {
        let options = self.fire.entry().options();
        let patience = match options.misfire {
            Misfire::Skip | Misfire::FireOnce => patience.misfire_grace,
            Misfire::FireAll => options.catch_up_window.unwrap_or(patience.catch_up_window).max(patience.misfire_grace),
        };
        let since = self.due_at.unwrap_or(self.fire.fire_time);
        let gives_way = self.fire.is_planned() && self.is_fresh();
        Waiter { run: run_id, gives_way: gives_way.then_some(GivesWay { entry: self.key, since, patience }) }
    }

    /// The policy that gives it up when it has waited at a lane for too long.
    pub(super) fn policy_of_patience(&self) -> &'static str {
        match self.fire.entry().options().misfire {
            Misfire::FireOnce => "fire_once",
            Misfire::Skip => "misfire skip",
            Misfire::FireAll => "misfire fire_all, beyond the catch-up window",
        }
    }

    /// How it ends when it is given up for a reason: what failed last stands before it.
    pub(super) fn given_up(&mut self, why: String, ended_at: Timestamp) -> FireOutcome {
        let last = self.attempts.last().and_then(|last| last.error.as_deref()).filter(|error| *error != why);
        FireOutcome {
            messages: last.map(str::to_owned).into_iter().chain([why]).collect(),
            attempts: std::mem::take(&mut self.attempts),
            ended_at,
            due_at: self.due_at,
            ..FireOutcome::default()
        }
    }

    /// The record by which the next start finds it: that nothing is under way.
    pub(super) fn left(&self, at: Timestamp) -> Started {
        let stage = if self.attempts.is_empty() { RunStage::Queued } else { RunStage::BackingOff };
        let (fire, attempts) = (self.fire.clone(), self.attempts.clone());
        Started { fire, stage, attempts, phase: self.phase + 1, at, resume_at: None }
    }

    /// The record by which the next owner of its shard knows that its attempt is under way here.
    pub(super) fn under_way(&self, since: Timestamp) -> Started {
        // The same as the attempt itself writes when it takes long.
        Started { stage: RunStage::Running, ..self.left(since) }
    }

    /// Whether something of it was sent, or may have been.
    pub(super) fn may_be_sent(&self) -> bool {
        !self.is_fresh()
            || matches!(self.place, Place::InFlight(_)) && self.departure.as_ref().is_some_and(|it| it.has_gone())
    }

    /// Whether it has a record by which another process finds it, as long as it waits.
    pub(super) fn is_told(&self) -> bool {
        !self.fire.is_planned() || self.fire.progress.is_some() || !self.attempts.is_empty()
    }

    /// How long it still pauses after what an earlier process did.
    pub(super) fn pause_left(&self, now: Timestamp) -> Duration {
        let resume_at = self.fire.progress.as_ref().and_then(|progress| progress.resume_at);
        resume_at.map_or(Duration::ZERO, |at| at.since(now))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    by_id: HashMap<RunId, Run>,
    /// Without callbacks: those outlive their task.
    of_task: BTreeSet<(TaskKey, RunId)>,
    /// How many are under way elsewhere.
    elsewhere: usize,
    /// How many linger, of shards of which some do.
    lingering: BTreeMap<Shard, usize>,
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, run_id: RunId) -> Option<&Run> {
        self.by_id.get(&run_id)
    }

    pub(super) fn get_mut(&mut self, run_id: RunId) -> Option<&mut Run> {
        self.by_id.get_mut(&run_id)
    }

    pub(super) fn insert(&mut self, run_id: RunId, run: Run) {
        if run.fire.notice.is_none() {
            self.of_task.insert((run.key.task, run_id));
        }
        self.elsewhere += usize::from(matches!(run.place, Place::Elsewhere));
        self.by_id.insert(run_id, run);
    }

    pub(super) fn remove(&mut self, run_id: RunId) -> Option<Run> {
        self.end_lingering(run_id);
        let run = self.by_id.remove(&run_id)?;
        self.of_task.remove(&(run.key.task, run_id));
        self.elsewhere -= usize::from(matches!(run.place, Place::Elsewhere));
        Some(run)
    }

    /// How many are under way elsewhere.
    pub(super) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// A run ends here although its shard was given away.
    pub(super) fn linger(&mut self, run_id: RunId) {
        if let Some(run) = self.by_id.get_mut(&run_id).filter(|run| !run.lingers) {
            run.lingers = true;
            *self.lingering.entry(run.fire.revision.shard()).or_default() += 1;
        }
    }

    /// The attempt that was under way has ended.
    pub(super) fn end_lingering(&mut self, run_id: RunId) {
        let Some(run) = self.by_id.get_mut(&run_id).filter(|run| run.lingers) else { return };
        run.lingers = false;
        let shard = run.fire.revision.shard();
        if let Some(count) = self.lingering.get_mut(&shard) {
            *count -= 1;
            if *count == 0 {
                self.lingering.remove(&shard);
            }
        }
    }

    /// The shards of which runs linger.
    pub(super) fn lingering(&self) -> ShardSet {
        self.lingering.keys().copied().collect()
    }

    /// The runs of a task, or of one with the same key; the oldest first.
    pub(super) fn of_task(&self, key: TaskKey) -> Vec<RunId> {
        let all = self.of_task.range((key, RunId::MIN)..=(key, RunId::MAX));
        all.map(|&(_, run_id)| run_id).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RunId, &Run)> {
        self.by_id.iter().map(|(&run_id, run)| (run_id, run))
    }
}
