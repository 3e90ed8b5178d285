//! The run loop's part in pauses.
//!
//! A pause first holds in this loop, then it is made durable: so nothing later than its beginning can have been sent, and
//! after a crash nothing later is uncertain. An end first has the records of what was not fired, then it is made durable,
//! then it holds here.
//!
//! Where nodes share a store, the others follow what one of them has written ([`super::following`]). Only here the beginning of
//! a pause is exact; others may have fired for a little longer. Whoever asked is answered by the catalog, when all follow.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;

use super::catch_up::Backlog;
use super::following::{Asker, Follow, Following};
use super::handle::EngineError;
use super::pause_writing::{Kept, PauseChange, Writing};
use super::run_loop::RunLoop;
use crate::journal::{missed_record, paused_record};
use crate::model::{Pause, PauseScope, Pauses, Record, Shard, ShardSet, Timestamp};

/// How long the instants of a paused entry wait for their records: so what is settled moves on, and a start has to look
/// back this far.
pub(super) const RECORD_PAUSED_EVERY: Duration = Duration::from_secs(10 * 60);
/// How many paused entries one planning writes records for.
pub(super) const PAUSED_AT_ONCE: usize = 10_000;
/// A change that takes longer waits for a store that is away: further ones are refused meanwhile.
const WRITING_TOO_LONG_AFTER: Duration = Duration::from_secs(20);

/// Why the instants of an entry that is paused are not caught up.
pub(super) const UNCERTAIN_AND_PAUSED: &str =
    "a crash left it uncertain whether it was sent, and firing was paused since";

pub(super) type Answer = oneshot::Sender<Result<Option<Pause>, EngineError>>;

/// What somebody wants: a pause, or its end.
pub(super) struct PauseOrder {
    pub(super) scope: PauseScope,
    /// Who pauses, and why; `None`: who lifts the pause.
    pub(super) pause: Option<(Box<str>, Option<Box<str>>)>,
    /// Tells the pause that is in force then, or that was lifted.
    pub(super) answer: Answer,
}

/// How far a change of pauses is. One at a time.
#[derive(Default)]
pub(super) enum Pausing {
    #[default]
    Idle,
    /// It waits for what is due to be handed out, or for the records of what has passed up to an instant.
    Waiting(PauseOrder, Timestamp),
    /// It is being written.
    Writing {
        kept: oneshot::Receiver<Kept>,
        since: Timestamp,
        /// What was in force before.
        before: Pauses,
        /// What holds already.
        held: Option<PauseScope>,
        /// What is not caught up meanwhile, nor later if the pause comes about.
        aside: Vec<Backlog>,
    },
    /// What is stored comes into force.
    Following(Box<Following>),
}

/// What a change of pauses waited for.
pub(super) enum Came {
    /// The end of its writing.
    Kept(Option<Kept>),
    /// The records of what is given up.
    GivenUp,
}

impl Pausing {
    fn aside(&self) -> &[Backlog] {
        match self {
            Self::Writing { aside, .. } => aside,
            Self::Following(following) => &following.aside,
            Self::Idle | Self::Waiting(..) => &[],
        }
    }

    /// Nothing later than this counts as handed out.
    pub(super) fn settled_until(&self, shard: Shard) -> Option<Timestamp> {
        let of_shard = self.aside().iter().filter(|backlog| backlog.revision.shard() == shard);
        of_shard.map(|backlog| Timestamp::from_millis(backlog.oldest().millis() - 1)).min()
    }

    /// What stands aside of these shards is for their next owner to settle.
    pub(super) fn forget(&mut self, shards: ShardSet) {
        let stays = |backlog: &Backlog| !shards.contains(backlog.revision.shard());
        match self {
            Self::Writing { aside, .. } => aside.retain(stays),
            Self::Following(following) => following.aside.retain(stays),
            Self::Idle | Self::Waiting(..) => {}
        }
    }

    /// Whether what is in force is what is stored, as far as this node knows.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Idle | Self::Waiting(..))
    }

    /// Waits for what the change waits for; for ever when there is nothing.
    pub(super) async fn came(&mut self) -> Came {
        match self {
            Self::Writing { kept, .. } => Came::Kept(kept.await.ok()),
            Self::Following(following) => {
                following.given_up().await;
                Came::GivenUp
            }
            Self::Idle | Self::Waiting(..) => std::future::pending().await,
        }
    }
}

impl RunLoop {
    /// Goes on with the change of pauses under way, or begins the next; `true`: one has ended, others may have waited for it.
    /// Everything due was handed over just before.
    pub(super) fn change_pauses(&mut self) -> bool {
        if let Pausing::Writing { since, .. } = self.pausing
            && self.now().since(since) > WRITING_TOO_LONG_AFTER
        {
            for order in self.pauses_waiting.drain(..) {
                // The caller may have gone: then nobody needs the answer.
                let _ = order.answer.send(Err(EngineError::NotKept));
            }
        }
        if self.pausing.is_settled() {
            self.begin_next();
        }
        match std::mem::take(&mut self.pausing) {
            Pausing::Waiting(order, until) => self.go_on_with(order, until),
            Pausing::Following(following) => self.go_on_following(following),
            idle_or_written => {
                self.pausing = idle_or_written;
                false
            }
        }
    }

    /// What others have written goes first: an order may wait for long.
    fn begin_next(&mut self) {
        let is_free = self.planning.is_none();
        if is_free && let Some(Follow { stored, asker }) = self.follows.pop_front() {
            if let Pausing::Waiting(order, _) = std::mem::take(&mut self.pausing) {
                self.pauses_waiting.push_front(order);
            }
            self.follow(stored, None, Vec::new(), asker);
        } else if matches!(self.pausing, Pausing::Idle)
            && let Some(order) = self.pauses_waiting.pop_front()
        {
            self.pausing = Pausing::Waiting(order, self.latest);
        }
    }

    fn go_on_with(&mut self, order: PauseOrder, until: Timestamp) -> bool {
        if self.planning_takes_too_long() {
            // The caller may have gone: then nobody needs the answer.
            let _ = order.answer.send(Err(EngineError::CannotClaim));
            true
        } else if self.planning.is_some() {
            self.pausing = Pausing::Waiting(order, until);
            false
        } else {
            self.begin_change(order, until)
        }
    }

    fn begin_change(&mut self, order: PauseOrder, until: Timestamp) -> bool {
        let has_to_wait = match &order.pause {
            Some(_) => self.agenda.has_due(&order.scope, self.latest),
            None if self.agenda.pauses().get(&order.scope).is_none() => {
                // There is nothing to lift.
                let _ = order.answer.send(Ok(None));
                return true;
            }
            None => self.agenda.next_paused().is_some_and(|next| next <= until),
        };
        if !has_to_wait {
            self.write_pauses(order, until);
            false
        } else if self.cannot_claim() {
            // The caller may have gone: then nobody needs the answer.
            let _ = order.answer.send(Err(EngineError::CannotClaim));
            true
        } else {
            self.wants_plan |= order.pause.is_none();
            self.pausing = Pausing::Waiting(order, until);
            false
        }
    }

    fn write_pauses(&mut self, order: PauseOrder, until: Timestamp) {
        let PauseOrder { scope, pause, answer } = order;
        let before = self.agenda.pauses().clone();
        let lifted = before.get(&scope).cloned().filter(|_| pause.is_none());
        let (mut aside, mut held) = (Vec::new(), None);
        if let Some((by, note)) = &pause {
            if before.get(&scope).is_none() {
                let mut holds = before.clone();
                holds.insert(&scope, Pause { since: self.latest, by: by.clone(), note: note.clone() });
                self.agenda.set_pauses(holds);
            }
            aside = self.set_aside(std::slice::from_ref(&scope));
            held = Some(scope.clone());
        }
        let at = if pause.is_some() { self.latest } else { until };
        let change = PauseChange { scope, pause, at };
        let writing = Writing { store: self.store.clone(), change, before: before.clone(), lifted };
        let (done, kept) = oneshot::channel();
        tokio::spawn(async move {
            // The loop may have stopped: then the next start reads what is stored.
            let _ = done.send(writing.write(answer).await);
        });
        self.pausing = Pausing::Writing { kept, since: self.latest, before, held, aside };
    }

    /// What of these scopes is being caught up is not, from now on, also where it stands aside for a change already.
    pub(super) fn set_aside(&mut self, scopes: &[PauseScope]) -> Vec<Backlog> {
        let is_covered = |backlog: &Backlog| scopes.iter().any(|scope| scope.covers(backlog.options()));
        let mut aside = self.agenda.catch_up.take_where(is_covered);
        aside.extend(self.held.values_mut().flat_map(|held| held.take_where(is_covered)));
        aside
    }

    /// What a change of pauses waited for has come. Not while a planning is under way: it may record as skipped what would then
    /// be fired.
    pub(super) fn note_came(&mut self, came: Came) {
        let kept = match came {
            Came::Kept(kept) => kept,
            Came::GivenUp => return self.note_given_up(),
        };
        let Pausing::Writing { before, held, aside, .. } = std::mem::take(&mut self.pausing) else { return };
        match kept {
            Some(Kept { stored, is_kept: true, answer }) => {
                let asker = answer.map_or(Asker::Nobody, |(answer, told)| Asker::Order(answer, told));
                self.follow(stored, held, aside, asker);
            }
            Some(Kept { stored, .. }) => {
                self.agenda.set_pauses(before);
                self.give_back(aside);
                self.decide_about(self.agenda.late(self.late_after()));
                self.follows.push_back(Follow { stored, asker: Asker::Nobody });
            }
            // It broke off: what holds stays held, as nobody knows what is stored.
            None => self.give_back(aside),
        }
    }
}

/// The records of what is not caught up as it is paused: missed, if it may have been sent before a crash.
pub(super) fn unfired(backlog: &Backlog, cover: (Option<&str>, &Pause), now: Timestamp) -> Vec<Record> {
    let (identity, name) = (&backlog.revision.task.identity, &backlog.revision.task.entries[backlog.entry].name);
    let record = |stretch| match backlog.is_uncertain {
        true => missed_record(identity, name, stretch, UNCERTAIN_AND_PAUSED, now),
        false => paused_record(identity, name, stretch, cover, now),
    };
    backlog.stretches().map(record).collect()
}

/// Pauses that wait for their turn.
pub(super) type PausesWaiting = VecDeque<PauseOrder>;
