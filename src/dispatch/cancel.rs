//! Which runs are given up when somebody wants it, and how.

use tokio::sync::oneshot;

use super::handle::{Scope, TakenBack};
use super::run_loop::RunLoop;
use super::runs::{LastWord, Place, Run};
use crate::model::{Identity, RunId};

/// What becomes of a run in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on.
    None,
    /// It is not fired: a policy decided so.
    Skipped,
    /// It ends as an error.
    Ended,
    /// An attempt under way is its last one.
    LastAttempt,
    /// An attempt that has not gone yet never goes; one that has gone goes on.
    CalledOff,
}

impl Fate {
    fn of(run: &Run, scope: &Scope) -> Self {
        let is_planned = run.fire.is_planned();
        let is_unsent = is_planned && run.is_fresh() && run.is_waiting();
        let is_leaving = is_planned && run.is_fresh() && matches!(run.place, Place::InFlight(_));
        match scope {
            Scope::All if is_leaving => Self::CalledOff,
            Scope::Tag(tag) if is_leaving && run.fire.entry().options().has_tag(tag) => Self::CalledOff,
            Scope::All if is_unsent => Self::Skipped,
            Scope::Tag(tag) if is_unsent && run.fire.entry().options().has_tag(tag) => Self::Skipped,
            Scope::Task(identity) if is_planned => Self::of_task(run, identity, is_unsent),
            Scope::Deleted(identity) => Self::of_task(run, identity, is_unsent),
            Scope::All | Scope::Tag(_) | Scope::Task(_) => Self::None,
        }
    }

    fn of_task(run: &Run, identity: &Identity, is_unsent: bool) -> Self {
        if run.fire.identity() != identity || run.fire.notice.is_some() {
            return Self::None;
        }
        match run.place {
            _ if is_unsent => Self::Skipped,
            _ if run.is_waiting() => Self::Ended,
            Place::InFlight(_) | Place::Reserved { .. } => Self::LastAttempt,
            _ => Self::None,
        }
    }
}

impl RunLoop {
    /// Gives up runs. None of them starts any more.
    pub(super) fn cancel(&mut self, scope: &Scope, why: &str) {
        let mut all = match scope {
            Scope::Task(identity) | Scope::Deleted(identity) => self.runs.of_task(self.keys.task(identity)),
            Scope::All | Scope::Tag(_) => self.runs.iter().map(|(run_id, _)| run_id).collect(),
        };
        // What waits for others goes first: else it would start in the place of those that go.
        let waits_for_others =
            |run: &Run| matches!(run.place, Place::Behind | Place::Grouped(_) | Place::Reserved { .. });
        all.sort_by_key(|&run_id| !self.runs.get(run_id).is_some_and(waits_for_others));
        for run_id in all {
            let fate = self.runs.get(run_id).map_or(Fate::None, |run| Fate::of(run, scope));
            let may_be_sent = self.runs.get(run_id).is_some_and(Run::may_be_sent);
            let why = scope.between_attempts().filter(|_| may_be_sent).unwrap_or(why);
            self.give_up(run_id, fate, why);
        }
    }

    fn give_up(&mut self, run_id: RunId, fate: Fate, why: &str) {
        match fate {
            Fate::None => {}
            Fate::Skipped => self.skip(run_id, why),
            Fate::Ended => self.stop(run_id, LastWord { why: why.to_owned(), asker: None }),
            Fate::LastAttempt => self.allow_no_further(run_id, why),
            Fate::CalledOff => drop(self.call_off(run_id, why)),
        }
    }

    /// Gives up a run that waits, by the same rule as when its task is deleted.
    pub(super) fn take_back(&mut self, run_id: RunId, why: &str) -> TakenBack {
        let Some(run) = self.runs.get(run_id) else { return TakenBack::Unknown };
        match Fate::of(run, &Scope::Deleted(run.fire.identity().clone())) {
            Fate::None | Fate::LastAttempt | Fate::CalledOff => TakenBack::TooLate,
            fate @ (Fate::Skipped | Fate::Ended) => {
                self.give_up(run_id, fate, why);
                TakenBack::Yes
            }
        }
    }

    fn allow_no_further(&mut self, run_id: RunId, why: &str) {
        let is_called_off = self.call_off(run_id, why);
        if let Some(run) = self.runs.get_mut(run_id) {
            run.last_word.get_or_insert_with(|| Box::new(LastWord { why: why.to_owned(), asker: None }));
            // What must not be sent twice writes its record first: meanwhile nothing was sent, and nothing is to be.
            if is_called_off && let Place::InFlight(stop) = &mut run.place {
                // Where it has just ended there is nobody to tell.
                let _ = stop.take().map(|stop| stop.send(()));
            }
        }
    }

    /// From now on an attempt that has not gone never goes; `false`: it has. Its sender ends it when it comes to where it would
    /// have gone, and only if this node may act for the task still.
    fn call_off(&mut self, run_id: RunId, why: &str) -> bool {
        let Some(run) = self.runs.get_mut(run_id) else { return false };
        let is_called_off = run.departure.as_ref().is_some_and(|departure| departure.call_off());
        if is_called_off {
            run.last_word.get_or_insert_with(|| Box::new(LastWord { why: why.to_owned(), asker: None }));
        }
        is_called_off
    }

    /// Ends a run, wherever it stands. Who asks is told when its outcome is with the journal.
    pub(super) fn cancel_run(&mut self, run_id: RunId, by: &str, answer: oneshot::Sender<bool>) {
        let ends = |run: &Run| run.is_waiting() || matches!(run.place, Place::InFlight(_));
        if self.runs.get(run_id).is_some_and(ends) {
            self.stop(run_id, LastWord { why: format!("cancelled by {by}"), asker: Some(answer) });
        } else {
            // The caller may have gone: nothing to tell.
            let _ = answer.send(false);
        }
    }
}
