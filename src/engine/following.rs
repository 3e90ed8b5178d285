//! How pauses that are stored come into force in this loop, whoever has written them.
//!
//! What holds for a node is what it has in force, and each instant goes by that: nobody asks what another node did with its
//! own. What is paused newly stops at once; then what stood to be caught up has its records, and what waits in dispatch is
//! given up. What is lifted has the records of what it kept from firing first, up to its end and no further: that end stands
//! in what is stored, so a node that learns of it late does not skip what came after it, but fires it late. Only then the
//! version counts as in force, and who waits for this node is told so.
//!
//! A node that loads tasks meanwhile does not act for them before it has in force what it read with them.

use std::sync::Arc;

use log::info;
use tokio::sync::oneshot;

use super::agenda::{Agenda, Passed, SlotId};
use super::catch_up::Backlog;
use super::pausing::{Answer, Pausing, unfired};
use super::run_loop::RunLoop;
use crate::dispatch::{Dispatch, Scope};
use crate::journal::{Journal, paused_by};
use crate::model::{Pause, PauseScope, Pauses, Timestamp};

/// Pauses that were read from the store.
pub(super) struct Follow {
    pub(super) stored: Pauses,
    pub(super) asker: Asker,
}

/// Who is told when they are in force.
pub(super) enum Asker {
    /// Whoever wanted a pause, or its end: the pause that holds, or that was lifted.
    Order(Answer, Option<Pause>),
    /// Whoever looked into the store: the version that is in force.
    Look(oneshot::Sender<u64>),
    Nobody,
}

impl Asker {
    fn tell(self, version: u64) {
        // The caller may have gone: it holds all the same.
        match self {
            Self::Order(answer, told) => drop(answer.send(Ok(told))),
            Self::Look(answer) => drop(answer.send(version)),
            Self::Nobody => {}
        }
    }
}

/// Pauses that come into force.
pub(super) struct Following {
    stored: Pauses,
    /// What is not caught up any more, until it has its records.
    pub(super) aside: Vec<Backlog>,
    /// `None`: nothing is left to be given up.
    given_up: Option<oneshot::Receiver<()>>,
    /// When this node learnt of them.
    since: Timestamp,
    asker: Asker,
}

impl Following {
    /// Waits until all is given up; for ever when nothing is left.
    pub(super) async fn given_up(&mut self) {
        match &mut self.given_up {
            // An error: it broke off, and the next start finds what has no record.
            Some(given_up) => drop(given_up.await),
            None => std::future::pending().await,
        }
    }
}

impl RunLoop {
    /// Begins to bring into force what is stored. What `held` names holds already, and `aside` with it.
    pub(super) fn follow(&mut self, stored: Pauses, held: Option<PauseScope>, mut aside: Vec<Backlog>, asker: Asker) {
        let mut holds = self.agenda.pauses().clone();
        if stored.version <= holds.version && held.is_none() {
            return asker.tell(holds.version);
        }
        let news: Vec<PauseScope> = stored.scopes().filter(|scope| holds.get(scope).is_none()).collect();
        for scope in &news {
            info!("{scope} is paused, by way of another node");
            stored.get(scope).into_iter().for_each(|pause| holds.insert(scope, pause.clone()));
        }
        if !news.is_empty() {
            self.agenda.set_pauses(holds);
            aside.extend(self.set_aside(&news));
        }
        let scopes: Vec<PauseScope> = held.into_iter().chain(news).collect();
        let given_up = (!scopes.is_empty()).then(|| {
            let (journal, dispatch) = (self.journal.clone(), self.dispatch.clone());
            let giving_up = GivingUp { journal, dispatch, scopes, pauses: stored.clone(), now: self.latest };
            let (done, given_up) = oneshot::channel();
            let aside = aside.clone();
            tokio::spawn(async move {
                giving_up.give_up(aside).await;
                // The loop may have stopped: then nobody waits.
                let _ = done.send(());
            });
            given_up
        });
        self.pausing = Pausing::Following(Box::new(Following { stored, aside, given_up, since: self.latest, asker }));
    }

    pub(super) fn note_given_up(&mut self) {
        if let Pausing::Following(following) = &mut self.pausing {
            following.given_up = None;
            following.aside.clear();
        }
    }

    /// Brings them into force as soon as nothing is left to be recorded; `true`: they are.
    pub(super) fn go_on_following(&mut self, following: Box<Following>) -> bool {
        let waits = following.given_up.is_some() || self.planning.is_some();
        let is_ending = || !self.agenda.ending(&following.stored, following.since, 1).is_empty();
        if waits || is_ending() {
            self.wants_plan |= !waits;
            self.pausing = Pausing::Following(following);
            return false;
        }
        let Following { stored, asker, .. } = *following;
        let version = stored.version;
        self.agenda.set_pauses(stored);
        self.decide_about(self.agenda.late(self.late_after()));
        self.pauses_shown.send_replace(Arc::new(self.agenda.pauses().clone()));
        asker.tell(version);
        true
    }

    /// Entries that are paused no more, as soon as their instants have the records up to the end of it.
    pub(super) fn ending(&self, max: usize) -> Option<Vec<(Passed, Timestamp)>> {
        let Pausing::Following(following) = &self.pausing else { return None };
        Some(self.agenda.ending(&following.stored, following.since, max))
    }
}

impl Agenda {
    /// Entries that these pauses cover no more and whose oldest instant is not later than the end of theirs, each with that end;
    /// at most `max`. No end is later than `now`.
    fn ending(&self, stored: &Pauses, now: Timestamp, max: usize) -> Vec<(Passed, Timestamp)> {
        let lifted = self.pauses.scopes().filter(|scope| stored.get(scope).is_none());
        let ends = lifted.map(|scope| (stored.lifted_at(&scope).map_or(now, |until| until.min(now)), scope));
        let ends: Vec<(Timestamp, PauseScope)> = ends.collect();
        let Some(last) = ends.iter().map(|(until, _)| *until).max() else { return Vec::new() };
        let passed = self.shards.iter().flat_map(|shard| shard.paused.range(..=(last, SlotId::MAX)));
        let ending = passed.filter_map(|&(oldest, id)| {
            let options = self.slots[id as usize].as_ref()?.entry().options();
            let of_entry = ends.iter().filter(|(_, scope)| scope.covers(options));
            let until = of_entry.map(|(until, _)| *until).max().filter(|&until| oldest <= until)?;
            if stored.cover(options) { None } else { Some((self.passed(oldest, id)?, until)) }
        });
        ending.take(max).collect()
    }
}

/// What is paused newly, and has to be given up.
struct GivingUp {
    journal: Journal,
    dispatch: Dispatch,
    scopes: Vec<PauseScope>,
    pauses: Pauses,
    now: Timestamp,
}

impl GivingUp {
    /// Records what is not caught up any more, and has dispatch give up what waits.
    async fn give_up(self, aside: Vec<Backlog>) {
        for backlog in &aside {
            let Some(cover) = self.pauses.of(backlog.options()) else { continue };
            for record in unfired(backlog, cover, self.now) {
                if self.journal.record(record).await.is_err() {
                    return;
                }
            }
        }
        for scope in self.scopes {
            let (scope, tag) = match scope {
                PauseScope::All => (Scope::All, None),
                PauseScope::Tag(tag) => (Scope::Tag(tag.clone()), Some(tag)),
            };
            // It has stopped only if the node goes down: the next start finds what waited.
            let _ = self.dispatch.cancel(scope, paused_by(tag.as_deref())).await;
        }
        // After a crash what has no record may have been sent.
        let _ = self.journal.secure().await;
    }
}
