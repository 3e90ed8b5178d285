//! Dead letters: runs that failed for good. Each is dealt with once: whoever takes one in hand keeps others off, and reads it
//! again before anything is done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use log::error;

use super::{Catalog, CatalogError, Rooms, RunRefused};
use crate::journal::{Remedy, dealt_with};
use crate::model::{Identity, Record, RunId};
use crate::observe::with_causes;
use crate::store::RunQuery;

/// How many dead letters one request deals with.
pub const DEAD_LETTERS_MAX: usize = 10_000;
/// How many names a page of the listing gives.
const NAMES_AT_ONCE: usize = 500;
/// How many letters are discarded in one write, and how many of them are read at once: each is in memory whole.
const WRITTEN_AT_ONCE: usize = 50;
const READ_AT_ONCE: usize = 8;

/// The name of a dead letter: its task and its run.
pub type Letter = (Identity, RunId);

/// What became of dead letters. Those that were none any more are in neither list.
#[derive(Debug, Default)]
pub struct Dealt {
    /// Those that were dealt with, each with the run that does it again, if one does.
    pub done: Vec<(RunId, Option<RunId>)>,
    /// Those that stay on the list, and why.
    pub left: Vec<(RunId, Arc<str>)>,
}

impl Dealt {
    /// Leaves letters on the list because of an error.
    fn leave<'a>(&mut self, letters: impl IntoIterator<Item = &'a Letter>, cause: &CatalogError) {
        let reason: Arc<str> = with_causes(cause).into();
        error!("dead letters stay on the list: {reason}");
        self.left.extend(letters.into_iter().map(|(_, run)| (*run, reason.clone())));
    }
}

/// The dead letters that requests deal with at present.
#[derive(Clone, Default)]
pub(super) struct InHand(Arc<Mutex<HashSet<RunId>>>);

/// The right to deal with a dead letter, until it is dropped.
pub(super) struct Held {
    all: InHand,
    run: RunId,
}

impl InHand {
    /// `None`: another request deals with it.
    fn take(&self, run: RunId) -> Option<Held> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
        is_free.then(|| Held { all: self.clone(), run })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.run);
    }
}

impl Catalog {
    /// The names of dead letters, newest first, in pages: none of them is in memory whole.
    pub async fn dead_letters(&self, query: &RunQuery) -> Result<Vec<Letter>, CatalogError> {
        // One that comes meanwhile moves the others on: what stood on a page before is passed over.
        let (mut letters, mut seen, mut skip) = (Vec::new(), HashSet::new(), query.skip);
        while letters.len() < query.limit {
            let page = RunQuery { dead_letters: true, skip, limit: NAMES_AT_ONCE, ..query.clone() };
            let found = self.runs(page).await?.records;
            skip += found.len();
            let is_last = found.len() < NAMES_AT_ONCE;
            let names = found.into_iter().map(|record| (record.identity, RunId::from(record.id)));
            letters.extend(names.filter(|(_, run)| seen.insert(*run)));
            if is_last {
                break;
            }
        }
        letters.truncate(query.limit);
        Ok(letters)
    }

    /// Runs dead letters again. However many there are, each waits for its turn. At an error the rest stays on the list.
    pub async fn rerun_dead_letters(&self, letters: &[Letter], by: &str) -> Dealt {
        let mut dealt = Dealt::default();
        for (place, letter) in letters.iter().enumerate() {
            match self.rerun_dead_letter(letter, by).await {
                Ok(Some(run)) => dealt.done.push((letter.1, Some(run))),
                Ok(None) => {}
                Err(RunRefused::Failed(cause)) => {
                    dealt.leave(&letters[place..], &cause);
                    break;
                }
                Err(refused) => dealt.left.push((letter.1, refused.to_string().into())),
            }
        }
        dealt
    }

    /// Runs one again. `None`: it is no dead letter any more.
    async fn rerun_dead_letter(&self, (identity, run): &Letter, by: &str) -> Result<Option<RunId>, RunRefused> {
        let (rooms, identity, run, by) = (self.rooms.clone(), identity.clone(), *run, by.to_owned());
        let rerun = tokio::spawn(async move {
            let held = rooms.in_hand.take(run).ok_or(RunRefused::InHand(run))?;
            let Some(letter) = rooms.dead_letter(&identity, run).await? else { return Ok(None) };
            let (fire, done) = rooms.again(&letter, &by)?;
            let again = fire.run_id();
            let queued = rooms.queue(vec![fire], done).await;
            rooms.let_go(held, queued.is_err());
            Ok(queued.map(|()| Some(again))?)
        });
        rerun.await.unwrap_or(Err(RunRefused::Failed(CatalogError::BrokeOff)))
    }

    /// Takes dead letters off the list. Their records stay, and say by whom. At an error the rest stays on the list.
    pub async fn discard_dead_letters(&self, letters: &[Letter], by: &str) -> Dealt {
        let mut dealt = Dealt::default();
        for (place, some) in letters.chunks(WRITTEN_AT_ONCE).enumerate() {
            let (wanted, by) = (some.to_vec(), by.to_owned());
            match self.apart(|rooms| async move { rooms.discard(wanted, &by).await }).await {
                Ok(discarded) => {
                    dealt.done.extend(discarded.done);
                    dealt.left.extend(discarded.left);
                }
                Err(cause) => {
                    dealt.leave(&letters[place * WRITTEN_AT_ONCE..], &cause);
                    break;
                }
            }
        }
        dealt
    }
}

impl Rooms {
    /// Takes a run in hand if it is a dead letter, and gives it as it stands then.
    pub(super) async fn take_in_hand(&self, record: Record) -> Result<(Record, Option<Held>), RunRefused> {
        if !record.is_dead_letter() {
            return Ok((record, None));
        }
        let run = RunId::from(record.id);
        let held = self.in_hand.take(run).ok_or(RunRefused::InHand(run))?;
        let now = self.store.run(&record.identity, run).await.map_err(CatalogError::from)?;
        Ok((now.ok_or(RunRefused::Unknown)?, Some(held)))
    }

    /// Others may deal with it from now on. What was put back has to be in the store before one of them reads it.
    pub(super) fn let_go(&self, held: Held, was_put_back: bool) {
        if was_put_back {
            let journal = self.journal.clone();
            tokio::spawn(async move {
                // The journal has stopped: so has everything that could deal with it.
                let _ = journal.flush().await;
                drop(held);
            });
        }
    }

    /// A dead letter as it stands now; `None`: it is none any more.
    async fn dead_letter(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, CatalogError> {
        Ok(self.store.run(identity, run).await?.filter(Record::is_dead_letter))
    }

    async fn discard(&self, letters: Vec<Letter>, by: &str) -> Result<Dealt, CatalogError> {
        let (mut dealt, mut held, mut free) = (Dealt::default(), Vec::new(), Vec::new());
        for letter in letters {
            match self.in_hand.take(letter.1) {
                Some(it) => {
                    held.push(it);
                    free.push(letter);
                }
                None => dealt.left.push((letter.1, RunRefused::InHand(letter.1).to_string().into())),
            }
        }
        let read = stream::iter(free)
            .map(|(identity, run)| async move { self.dead_letter(&identity, run).await })
            .buffered(READ_AT_ONCE);
        let read: Vec<Option<Record>> = read.try_collect().await?;
        let discarded = |letter: Record| dealt_with(&letter, Remedy::DiscardedBy(by));
        let discarded: Vec<Record> = read.into_iter().flatten().filter_map(discarded).collect();
        dealt.done = discarded.iter().map(|record| (record.id.into(), None)).collect();
        if !discarded.is_empty() {
            self.store.append(discarded).await?;
        }
        drop(held);
        Ok(dealt)
    }
}
