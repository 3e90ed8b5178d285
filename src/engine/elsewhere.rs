//! Runs that former owners of shards have under way: this node looks whether they have ended there, and goes on with what they left.
//!
//! A former owner writes how its requests end, and nothing else: the next attempt and the messages about an end are for this node.
//! Of a shard for which nobody lingers any more nobody works on such a run: it goes by its delivery, as after a crash.

use std::collections::{HashMap, HashSet};

use log::info;

use super::recovery::ASKED_AT_ONCE;
use super::unfinished::{GONE, close, resumed};
use crate::dispatch::{Dispatch, EndsElsewhere};
use crate::journal::{Journal, StartedRun, read_started};
use crate::model::{Fire, Record, RunId, Shard, ShardSet, Timestamp};
use crate::store::{Store, StoreError};

/// What is known of such runs beside what dispatch holds of them.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Records that are closed when nobody works on their runs any more, and why.
    to_close: HashMap<RunId, (Shard, &'static str)>,
    /// Runs that have ended there: messages about them are this node's.
    ended: HashMap<RunId, Fire>,
    /// Messages that this node has taken.
    notices: HashMap<RunId, Shard>,
}

impl Elsewhere {
    /// Nothing is known of these shards any more.
    pub fn forget(&mut self, shards: ShardSet) {
        self.to_close.retain(|_, (shard, _)| !shards.contains(*shard));
        self.ended.retain(|_, fire| !shards.contains(fire.revision.shard()));
        self.notices.retain(|_, shard| !shards.contains(*shard));
    }

    /// Adds what else is known.
    pub fn absorb(&mut self, other: Self) {
        self.to_close.extend(other.to_close);
        self.ended.extend(other.ended);
        self.notices.extend(other.notices);
    }

    pub(super) fn close_later(&mut self, record: &Record, why: &'static str) {
        self.to_close.insert(record.id.into(), (Shard::of(&record.identity), why));
    }

    pub(super) fn note_notice(&mut self, fire: &Fire) {
        self.notices.insert(fire.run_id(), fire.revision.shard());
    }

    fn is_empty_of(&self, shards: ShardSet) -> bool {
        let mut known = self.to_close.values().map(|(shard, _)| *shard);
        let mut ended = self.ended.values().map(|fire| fire.revision.shard());
        !known.any(|shard| shards.contains(shard)) && !ended.any(|shard| shards.contains(shard))
    }
}

/// A look at such runs.
pub struct Look<'a> {
    /// Knows how they stand.
    pub store: &'a dyn Store,
    /// Takes the records of what is closed.
    pub journal: &'a Journal,
    /// Holds them.
    pub dispatch: &'a Dispatch,
    /// When it is.
    pub now: Timestamp,
    /// Of these shards.
    pub shards: ShardSet,
    /// For these of them nobody lingers any more.
    pub over: ShardSet,
}

/// What a look finds.
#[derive(Default)]
struct Findings {
    /// They are under way still.
    goes_on: HashSet<RunId>,
    ends: EndsElsewhere,
    to_close: Vec<(Record, &'static str)>,
    notices: HashMap<RunId, Shard>,
}

impl Look<'_> {
    /// Brings what was found to dispatch, and gives what is known now in addition. `known`: what was known before.
    pub async fn take(self, known: &Elsewhere) -> Result<Elsewhere, StoreError> {
        let stopped = |error: crate::dispatch::DispatchStopped| StoreError::Unavailable {
            doing: "looking at runs of former owners",
            source: error.into(),
        };
        let fires = self.dispatch.elsewhere(self.shards).await.map_err(stopped)?;
        if fires.is_empty() && known.is_empty_of(self.shards) {
            return Ok(Elsewhere::default());
        }
        let fires: HashMap<RunId, Fire> = fires.into_iter().map(|fire| (fire.run_id(), fire)).collect();
        let mut findings = Findings::default();
        let mut pages = self.store.unfinished(self.shards);
        while let Some(page) = pages.recv().await {
            for record in page? {
                if let Some(run) = read_started(&record) {
                    self.judge(record, run, &fires, known, &mut findings);
                }
            }
        }
        let Findings { goes_on, mut ends, to_close, notices } = findings;
        for some in to_close.chunks(ASKED_AT_ONCE) {
            close(self.store, self.journal, some, self.now).await?;
        }
        let ended: HashMap<RunId, Fire> = fires.into_iter().filter(|(run_id, _)| !goes_on.contains(run_id)).collect();
        ends.ended = ended.keys().copied().collect();
        if !ends.ended.is_empty() || !ends.go_on.is_empty() {
            info!(ended = ends.ended.len(), go_on = ends.go_on.len(); "runs of former owners have ended or go on here");
        }
        self.dispatch.end_elsewhere(ends).await.map_err(stopped)?;
        Ok(Elsewhere { ended, notices, ..Elsewhere::default() })
    }

    fn judge(
        &self,
        record: Record,
        run: StartedRun,
        fires: &HashMap<RunId, Fire>,
        known: &Elsewhere,
        findings: &mut Findings,
    ) {
        let run_id = RunId::from(record.id);
        let is_over = self.over.contains(Shard::of(&record.identity));
        let (fire, to_close) = (fires.get(&run_id), known.to_close.get(&run_id));
        if run.progress.is_under_way && !is_over {
            findings.goes_on.insert(run_id);
        } else if let Some((_, why)) = to_close {
            findings.to_close.push((record, why));
        } else if let Some(fire) = fire {
            findings.goes_on.insert(run_id);
            findings.ends.go_on.push(resumed(fire.clone(), run.progress));
        } else if let Some(about) = run.notice.as_ref().map(|notice| notice.about) {
            self.judge_notice(record, run, (about, fires.get(&about).or(known.ended.get(&about))), known, findings);
        }
    }

    /// A message about the end of a run that was under way elsewhere.
    fn judge_notice(
        &self,
        record: Record,
        run: StartedRun,
        (about, of): (RunId, Option<&Fire>),
        known: &Elsewhere,
        findings: &mut Findings,
    ) {
        let run_id = RunId::from(record.id);
        if known.notices.contains_key(&run_id) {
            return;
        }
        let progress = run.progress.clone();
        match of.and_then(|fire| run.into_fire(&fire.revision)) {
            Some(fire) => {
                findings.notices.insert(run_id, fire.revision.shard());
                findings.ends.go_on.push(resumed(fire, progress));
            }
            // The run has no place here, as its task or entry is gone.
            None if known.to_close.contains_key(&about) => findings.to_close.push((record, GONE)),
            None => {}
        }
    }
}
