//! What becomes of a run, step by step. No step waits for anything: what takes time is done apart and told as an event.

use std::sync::Arc;
use std::time::Duration;

use log::{debug, error};
use tokio::time::Instant;

use super::departure::Departure;
use super::lanes::Admission;
use super::mission::{Mission, is_retried};
use super::overlap::Verdict;
use super::run_loop::RunLoop;
use super::runs::{LastWord, Place, Run};
use super::sender::Ended;
use crate::journal::{FireOutcome, skipped_record};
use crate::model::{Attempt, Delivery, Fire, Overlap, RunId, Stretch};

/// What stands in the record of a run that a newer one ends.
const REPLACED: &str = "cancelled: a newer fire took its place (overlap cancel_running)";
/// What stands in the record of a run whose attempt ended in a way that none should.
const BROKE_OFF: &str = "the attempt broke off: an internal error, see the log";

impl RunLoop {
    /// Takes a run over.
    pub(super) fn take(&mut self, fire: Fire) {
        let run_id = fire.run_id();
        if self.runs.contains(run_id) {
            // A planned run and what a crash left of it are one.
            debug!(run_id:%; "a run was handed over twice");
            return;
        }
        let key = self.keys.entry(fire.identity(), &fire.entry().name);
        let run = Run::new(fire, key);
        let (is_notice, is_planned, has_begun) = (run.fire.notice.is_some(), run.fire.is_planned(), run.has_begun());
        let (backfill, given_up) = (run.backfill(), run.given_up_before());
        self.runs.insert(run_id, run);
        if let Some(why) = given_up {
            self.conclude(run_id, why.to_owned(), true);
        } else if is_notice {
            self.go_on(run_id);
        } else if let Some(backfill) = backfill {
            match self.groups.join(backfill, run_id) {
                Some(number) => self.put(run_id, Place::Grouped(number)),
                None => self.start_of_backfill(run_id),
            }
        } else if has_begun {
            self.overlaps.join(key, run_id);
            self.go_on(run_id);
        } else if is_planned {
            self.delay(run_id);
        } else if self.overlaps.ask_again(key, run_id) {
            self.enter(run_id);
        }
    }

    fn put(&mut self, run_id: RunId, place: Place) {
        if let Some(run) = self.runs.get_mut(run_id) {
            run.place = place;
        }
    }

    /// Keeps a place for a run that is asked for. The error is the one that waits already.
    pub(super) fn keep_place(&mut self, run_id: RunId, fire: Fire) -> Result<(), RunId> {
        let key = self.keys.entry(fire.identity(), &fire.entry().name);
        let may_start = self.overlaps.ask(key, run_id)?;
        self.runs.insert(run_id, Run { place: Place::Reserved { may_start }, ..Run::new(fire, key) });
        Ok(())
    }

    /// The record of a run that was asked for is durable.
    pub(super) fn start_reserved(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let Place::Reserved { may_start } = run.place else { return };
        run.place = Place::Behind;
        if let Some(word) = &run.last_word {
            let why = word.why.clone();
            self.conclude(run_id, why, false);
        } else if may_start {
            self.enter(run_id);
        }
    }

    /// A run that was asked for is not to start after all.
    pub(super) fn forget_reserved(&mut self, run_id: RunId) {
        let is_reserved = self.runs.get(run_id).is_some_and(|run| matches!(run.place, Place::Reserved { .. }));
        if let Some(run) = is_reserved.then(|| self.runs.remove(run_id)).flatten() {
            self.release(run_id, &run);
        }
    }

    /// A planned run waits for its jitter.
    fn delay(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let starts_at = run.delay();
        if run.due_at.is_some() && starts_at > self.sender.clock.now() {
            run.place = Place::Delayed(self.alarms.set_at(starts_at, run_id));
        } else {
            self.decide(run_id);
        }
    }

    /// A planned run whose time has come meets those in progress.
    fn decide(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        run.place = Place::Behind;
        let (key, policy) = (run.key, run.fire.entry().options().overlap);
        if run.fire.redelivered && matches!(policy, Overlap::Skip | Overlap::QueueOne) {
            // It may have been sent, so nobody can say that it was skipped: it waits for its turn.
            if self.overlaps.ask_again(key, run_id) {
                self.enter(run_id);
            }
            return;
        }
        match self.overlaps.plan(key, run_id, policy) {
            Verdict::Start => self.enter(run_id),
            Verdict::Skip => self.skip(run_id, "overlap skip"),
            Verdict::Wait { instead_of } => {
                instead_of.into_iter().for_each(|older| self.skip(older, "overlap queue_one"))
            }
            Verdict::Replace(older) => {
                older.into_iter().for_each(|older| self.replace(older));
                self.enter(run_id);
            }
        }
    }

    fn replace(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get(run_id) else { return };
        if run.fire.is_planned() && run.is_fresh() && run.is_waiting() {
            self.skip(run_id, "overlap cancel_running");
        } else {
            self.stop(run_id, LastWord { why: REPLACED.to_owned(), asker: None });
        }
    }

    fn start_of_backfill(&mut self, run_id: RunId) {
        if let Some(run) = self.runs.get_mut(run_id) {
            run.place = Place::Behind;
            run.is_in_group = true;
            self.overlaps.join_aside(run.key, run_id);
            self.go_on(run_id);
        }
    }

    /// A run in progress makes its next attempt, when the pause that an earlier process began is over.
    fn go_on(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let pause = run.pause_left(self.sender.clock.now());
        if pause.is_zero() {
            self.enter(run_id);
        } else {
            run.place = Place::Pausing(self.alarms.set_after(Instant::now() + pause, run_id));
        }
    }

    /// A run in progress wants to be in flight.
    fn enter(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let waiter = run.waiter(run_id, self.patience);
        match self.lanes.admit(&run.host, waiter, self.sender.clock.now()) {
            Admission::Starts => self.send(run_id),
            Admission::Waits { number, superseded } => {
                run.place = Place::InLane(number);
                let Some(older) = superseded else { return };
                if let Some(policy) = self.runs.get(older).map(Run::policy_of_patience) {
                    self.skip(older, policy);
                }
            }
        }
    }

    fn send(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let departure = Arc::<Departure>::default();
        run.departure = Some(departure.clone());
        let mission = Mission {
            run_id,
            departure,
            term: self.sender.tenure.term(run.fire.revision.shard()),
            fire: run.fire.clone(),
            due_at: run.due_at,
            attempts: run.attempts.clone(),
            phase: run.phase,
        };
        run.place = Place::InFlight(Some(self.sender.start(mission)));
    }

    /// The time of a run has come.
    pub(super) fn wake(&mut self, run_id: RunId) {
        match self.runs.get(run_id).map(|run| &run.place) {
            Some(Place::Delayed(_)) => self.decide(run_id),
            Some(Place::Pausing(_)) => self.enter(run_id),
            Some(_) | None => {}
        }
    }

    /// An attempt has ended, or the giving of an outcome.
    pub(super) fn ended(&mut self, run_id: RunId, ended: Ended) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let host = matches!(run.place, Place::InFlight(_)).then(|| run.host.clone());
        match ended {
            Ended::Done(notices) => self.finish(run_id, notices),
            Ended::Again { attempts, phase, pause } => self.pause(run_id, attempts, phase, pause),
            Ended::Stopped { attempts } => self.stopped(run_id, attempts),
            // Whoever acts for it knows what it has to know.
            Ended::Unsent { is_lost: true, .. } => self.forget(run_id),
            Ended::Unsent { phase, is_lost: false } => {
                run.phase = phase;
                run.place = Place::Left;
            }
            Ended::Lost if host.is_some() => {
                error!(run_id:%; "an attempt broke off");
                self.conclude(run_id, BROKE_OFF.to_owned(), true);
            }
            Ended::Lost => self.finish(run_id, Vec::new()),
        }
        if let Some(host) = host {
            self.lanes.ended(&host).into_iter().for_each(|next| self.send(next));
        }
    }

    fn stopped(&mut self, run_id: RunId, attempts: Vec<Attempt>) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        run.attempts = attempts;
        let why = run.last_word.as_ref().map_or(BROKE_OFF, |word| &word.why).to_owned();
        let is_announced = run.fire.entry().options().delivery == Delivery::AtMostOnce;
        let is_called_off = run.departure.as_ref().is_some_and(|departure| departure.is_called_off());
        if run.fire.is_planned() && run.is_fresh() && is_called_off && !is_announced {
            // Nothing of it was sent, and no record says that it was begun.
            return self.skip(run_id, &why);
        }
        if let Some(last) = run.attempts.last_mut().filter(|last| last.error.is_none()) {
            last.error = Some(why.as_str().into());
        }
        self.conclude(run_id, why, false);
    }

    fn pause(&mut self, run_id: RunId, attempts: Vec<Attempt>, phase: u32, pause: Duration) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        (run.attempts, run.phase) = (attempts, phase);
        if let Some(word) = &run.last_word {
            let why = word.why.clone();
            self.conclude(run_id, why, false);
        } else if self.alarms.pauses() >= self.retries_waiting_max {
            let why = format!("no further attempt: {} runs pause between two already", self.retries_waiting_max);
            self.conclude(run_id, why, true);
        } else {
            run.place = Place::Pausing(self.alarms.set_after(Instant::now() + pause, run_id));
        }
    }

    /// Takes a run out of where it waits.
    fn withdraw(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        match std::mem::replace(&mut run.place, Place::Ending) {
            Place::Delayed(alarm) | Place::Pausing(alarm) => self.alarms.unset(alarm),
            Place::InLane(number) => self.lanes.leave(&run.host, number),
            Place::Grouped(number) => {
                if let Some(backfill) = run.backfill() {
                    self.groups.leave(backfill, number);
                    run.is_in_group = false;
                }
            }
            Place::Reserved { .. } | Place::Behind | Place::InFlight(_) | Place::Ending | Place::Left => {}
        }
    }

    /// Has the outcome of a run recorded of which no attempt is under way, and that fails for a reason of ours.
    fn conclude(&mut self, run_id: RunId, why: String, may_be_dead_letter: bool) {
        self.withdraw(run_id);
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let outcome = run.given_up(why, self.sender.clock.now());
        let is_dead_letter = may_be_dead_letter && is_retried(&run.fire);
        self.ending += 1;
        self.sender.conclude_apart(run_id, run.fire.clone(), FireOutcome { is_dead_letter, ..outcome });
    }

    /// A run that is not to go on: an attempt under way is broken off.
    pub(super) fn stop(&mut self, run_id: RunId, word: LastWord) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let why = word.why.clone();
        if let Some(asker) = run.last_word.replace(Box::new(word)).and_then(|earlier| earlier.asker) {
            let _ = asker.send(false);
        }
        if let Place::InFlight(stop) = &mut run.place {
            // Where it has just ended there is nobody to tell.
            let _ = stop.take().map(|stop| stop.send(()));
        } else if run.is_waiting() {
            self.conclude(run_id, why, false);
        }
    }

    /// The outcome of a run is with the journal.
    fn finish(&mut self, run_id: RunId, notices: Vec<Fire>) {
        let Some(mut run) = self.runs.remove(run_id) else { return };
        let was_given_up = matches!(run.place, Place::Ending);
        self.ending -= usize::from(was_given_up);
        if let Some(asker) = run.last_word.take().and_then(|word| word.asker) {
            let _ = asker.send(was_given_up);
        }
        self.release(run_id, &run);
        notices.into_iter().for_each(|notice| self.take(notice));
    }

    /// A planned run of which nothing was sent is not to run: a policy decided so.
    pub(super) fn skip(&mut self, run_id: RunId, policy: &str) {
        self.withdraw(run_id);
        let Some(run) = self.runs.remove(run_id) else { return };
        let (fire, stretch) = (&run.fire, Stretch::one(run.fire.fire_time));
        let record = skipped_record(fire.identity(), &fire.entry().name, stretch, policy, self.sender.clock.now());
        self.skipped.push(record);
        self.release(run_id, &run);
    }

    /// Another node goes on with a run.
    pub(super) fn forget(&mut self, run_id: RunId) {
        self.withdraw(run_id);
        if let Some(run) = self.runs.remove(run_id) {
            self.release(run_id, &run);
        }
    }

    /// Others take the place of a run that is gone.
    fn release(&mut self, run_id: RunId, run: &Run) {
        if run.fire.notice.is_none()
            && let Some(next) = self.overlaps.ended(run.key, run_id)
        {
            self.begin(next);
        }
        if let Some(backfill) = run.backfill().filter(|_| run.is_in_group)
            && let Some(next) = self.groups.ended(backfill)
        {
            self.start_of_backfill(next);
        }
    }

    /// A run that waited for others is in progress now.
    fn begin(&mut self, run_id: RunId) {
        match self.runs.get_mut(run_id).map(|run| &mut run.place) {
            Some(Place::Reserved { may_start }) => *may_start = true,
            Some(Place::Behind) => self.go_on(run_id),
            // It ends already.
            Some(_) | None => {}
        }
    }
}
