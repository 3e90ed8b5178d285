//! The run loop's part in pauses.
//!
//! A pause first holds in this loop, then it is made durable: so nothing later than its beginning can have been sent, and
//! after a crash nothing later is uncertain. An end first has the records of what was not fired, then it is made durable,
//! then it holds here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info};
use tokio::sync::oneshot;

use super::catch_up::Backlog;
use super::handle::EngineError;
use super::run_loop::RunLoop;
use crate::dispatch::{Dispatch, Scope};
use crate::journal::{Journal, missed_record, paused_by, paused_record};
use crate::model::{Pause, PauseScope, Pauses, Record, Shard, Timestamp};
use crate::observe::with_causes;
use crate::store::Store;

/// How long the instants of a paused entry wait for their records: so what is settled moves on, and a start has to look
/// back this far.
pub(super) const RECORD_PAUSED_EVERY: Duration = Duration::from_secs(10 * 60);
/// How many paused entries one planning writes records for.
pub(super) const PAUSED_AT_ONCE: usize = 10_000;
/// A change that takes longer waits for a store that is away: further ones are refused meanwhile.
const WRITING_TOO_LONG_AFTER: Duration = Duration::from_secs(20);
/// How long the loop waits before it asks a store again what it holds.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Why the instants of an entry that is paused are not caught up.
const UNCERTAIN_AND_PAUSED: &str = "a crash left it uncertain whether it was sent, and firing was paused since";

type Answer = oneshot::Sender<Result<Option<Pause>, EngineError>>;

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
        /// What is not caught up meanwhile, nor later if the pause comes about.
        aside: Vec<Backlog>,
    },
}

impl Pausing {
    /// Nothing later than this counts as handed out.
    pub(super) fn settled_until(&self, shard: Shard) -> Option<Timestamp> {
        let Self::Writing { aside, .. } = self else { return None };
        let of_shard = aside.iter().filter(|backlog| backlog.revision.shard() == shard);
        of_shard.map(|backlog| Timestamp::from_millis(backlog.oldest().millis() - 1)).min()
    }

    /// Waits for the end of the writing; for ever when nothing is written.
    pub(super) async fn kept(&mut self) -> Option<Kept> {
        match self {
            Self::Writing { kept, .. } => kept.await.ok(),
            Self::Idle | Self::Waiting(..) => std::future::pending().await,
        }
    }
}

/// What a writing left.
pub(super) struct Kept {
    /// What the store holds.
    stored: Pauses,
    /// Whether that is what was to be written. Then what stood aside has its records.
    is_kept: bool,
    /// Whom to tell what, when it holds here.
    answer: Option<(Answer, Option<Pause>)>,
}

impl RunLoop {
    /// Goes on with the change of pauses under way, or begins the next. Everything due was handed over just before.
    pub(super) fn change_pauses(&mut self) {
        if matches!(self.pausing, Pausing::Idle)
            && let Some(order) = self.pauses_waiting.pop_front()
        {
            self.pausing = Pausing::Waiting(order, self.latest);
        }
        if let Pausing::Writing { since, .. } = self.pausing
            && self.now().since(since) > WRITING_TOO_LONG_AFTER
        {
            for order in self.pauses_waiting.drain(..) {
                // The caller may have gone: then nobody needs the answer.
                let _ = order.answer.send(Err(EngineError::NotKept));
            }
        }
        if !matches!(self.pausing, Pausing::Waiting(..)) {
            return;
        }
        let Pausing::Waiting(order, until) = std::mem::take(&mut self.pausing) else { return };
        if self.planning_takes_too_long() {
            // The caller may have gone: then nobody needs the answer.
            let _ = order.answer.send(Err(EngineError::CannotClaim));
        } else if self.planning.is_some() {
            self.pausing = Pausing::Waiting(order, until);
        } else {
            self.begin_change(order, until);
        }
    }

    fn begin_change(&mut self, order: PauseOrder, until: Timestamp) {
        let has_to_wait = match &order.pause {
            Some(_) => self.agenda.has_due(&order.scope, self.latest),
            None if self.agenda.pauses().get(&order.scope).is_none() => {
                // There is nothing to lift.
                let _ = order.answer.send(Ok(None));
                return;
            }
            None => self.agenda.next_paused().is_some_and(|next| next <= until),
        };
        if !has_to_wait {
            self.write_pauses(order);
        } else if self.status.is_claiming.load(std::sync::atomic::Ordering::Relaxed) {
            self.wants_plan |= order.pause.is_none();
            self.pausing = Pausing::Waiting(order, until);
        } else {
            // The caller may have gone: then nobody needs the answer.
            let _ = order.answer.send(Err(EngineError::CannotClaim));
        }
    }

    fn write_pauses(&mut self, order: PauseOrder) {
        let PauseOrder { scope, pause, answer } = order;
        let pauses = self.agenda.pauses();
        let before = pauses.get(&scope).cloned();
        // Whoever pauses what is paused says why anew. It began where it began.
        let since = before.as_ref().map_or(self.latest, |before| before.since);
        let pause = pause.map(|(by, note)| Pause { since, by, note });
        let next = pauses.with(&scope, pause.clone());
        let mut aside = Vec::new();
        if pause.is_some() {
            self.agenda.set_pauses(next.clone());
            aside = self.agenda.catch_up.take_where(|options| scope.covers(options));
            // What stands aside for a change is caught up after it: the pause reaches that, too.
            aside.extend(self.held.values_mut().flat_map(|held| held.take_covered(&scope)));
        }
        let told = pause.clone().or(before);
        let (store, journal, dispatch) = (self.store.clone(), self.journal.clone(), self.dispatch.clone());
        let writing = Writing { store, journal, dispatch, scope, pause, next, now: self.latest };
        let (done, kept) = oneshot::channel();
        let given_up = aside.clone();
        tokio::spawn(async move {
            // The loop may have stopped: then the next start reads what is stored.
            let _ = done.send(writing.write(given_up, (answer, told)).await);
        });
        self.pausing = Pausing::Writing { kept, since: self.latest, aside };
    }

    /// Brings into force what is stored now. Not while a planning is under way: it may record as skipped what would then be
    /// fired.
    pub(super) fn note_kept(&mut self, kept: Option<Kept>) {
        let Pausing::Writing { aside, .. } = std::mem::take(&mut self.pausing) else { return };
        if !kept.as_ref().is_some_and(|kept| kept.is_kept) {
            self.give_back(aside);
        }
        let Some(Kept { stored, answer, .. }) = kept else { return };
        self.agenda.set_pauses(stored);
        self.decide_about(self.agenda.late(self.late_after()));
        self.show_pauses();
        if let Some((answer, told)) = answer {
            // The caller may have gone: it holds all the same.
            let _ = answer.send(Ok(told));
        }
    }

    pub(super) fn show_pauses(&self) {
        self.pauses_shown.send_replace(Arc::new(self.agenda.pauses().clone()));
    }
}

/// Pauses on their way into the store.
struct Writing {
    store: Arc<dyn Store>,
    journal: Journal,
    dispatch: Dispatch,
    scope: PauseScope,
    /// `None`: it is lifted.
    pause: Option<Pause>,
    next: Pauses,
    now: Timestamp,
}

impl Writing {
    async fn write(self, aside: Vec<Backlog>, answer: (Answer, Option<Pause>)) -> Kept {
        let mut answer = Some(answer);
        let stored = match self.store.set_pauses(&self.next).await {
            Ok(true) => self.next.clone(),
            refused => {
                let why = refused.err().map_or("someone else changed them".to_owned(), |error| with_causes(&error));
                error!("what is paused cannot be changed: {why}");
                // An answer may have got lost on its way: only the store knows what holds. Until it says so the scope stays
                // as it is here; nothing fires without it anyway.
                let stored = self.stored(&mut answer).await;
                if stored != self.next {
                    return Kept { stored, is_kept: false, answer: None };
                }
                stored
            }
        };
        if let Some(pause) = &self.pause {
            info!(by = &*pause.by; "paused {}", self.scope);
            self.give_up(&aside, pause).await;
        }
        Kept { stored, is_kept: true, answer }
    }

    /// What the store holds. Who waits is told at once that it went wrong.
    async fn stored(&self, answer: &mut Option<(Answer, Option<Pause>)>) -> Pauses {
        loop {
            match self.store.pauses().await {
                Ok(stored) if stored == self.next => return stored,
                read => {
                    if let Some((answer, _)) = answer.take() {
                        // The caller may have gone: then nobody needs the answer.
                        let _ = answer.send(Err(EngineError::NotKept));
                    }
                    if let Ok(stored) = read {
                        return stored;
                    }
                }
            }
            tokio::time::sleep(READ_AGAIN_AFTER).await;
        }
    }

    /// Records what is not caught up any more, and has dispatch give up what waits.
    async fn give_up(&self, aside: &[Backlog], pause: &Pause) {
        let tag = match &self.scope {
            PauseScope::All => None,
            PauseScope::Tag(tag) => Some(&**tag),
        };
        for record in aside.iter().flat_map(|backlog| unfired(backlog, (tag, pause), self.now)) {
            if self.journal.record(record).await.is_err() {
                return;
            }
        }
        let scope = match &self.scope {
            PauseScope::All => Scope::All,
            PauseScope::Tag(tag) => Scope::Tag(tag.clone()),
        };
        // It has stopped only if the node goes down: the next start finds what waited.
        let _ = self.dispatch.cancel(scope, paused_by(tag)).await;
        // After a crash what has no record may have been sent.
        let _ = self.journal.secure().await;
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
