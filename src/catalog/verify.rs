//! The proof of the promise: every instant that the stored triggers name in a past range has exactly one outcome.

use std::collections::BTreeMap;

use crate::model::{Entry, EntryName, Identity, Lease, RecordKind, Revision, Shard, ShardSet, Timestamp};
use crate::store::{Outcome, Store, StoreError};

/// The range to look at, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first instant.
    pub from: Timestamp,
    /// The last instant.
    pub to: Timestamp,
}

/// What was found about one instant or one stretch of instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The task.
    pub identity: Identity,
    /// The entry.
    pub entry: EntryName,
    /// The first instant.
    pub first: Timestamp,
    /// The last instant; the same for a single one.
    pub last: Timestamp,
    /// How many instants the trigger names from the first to the last.
    pub count: u64,
    /// What it is.
    pub verdict: Verdict,
}

/// What an instant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly one outcome: all is well.
    Settled(RecordKind),
    /// None yet: it may be on its way, and the next start of the node settles it after a crash.
    Open,
    /// None, although it should have one.
    Missing,
    /// More than one.
    Doubled,
    /// An outcome for an instant that no trigger names.
    Unnamed(RecordKind),
    /// A stretch whose record counts another number of instants than the trigger names.
    Miscounted(RecordKind),
}

impl Verdict {
    /// Whether it breaks the promise.
    pub fn is_broken(self) -> bool {
        match self {
            Self::Settled(_) | Self::Open => false,
            Self::Missing | Self::Doubled | Self::Unnamed(_) | Self::Miscounted(_) => true,
        }
    }
}

/// How many entries are looked at together, and how many instants they may name: it bounds what is in memory.
const ENTRIES_AT_ONCE: usize = 1_000;
const INSTANTS_AT_ONCE: u64 = 200_000;

/// Looks at every task that was in force in the range and gives each finding to `tell`, by task, entry and instant.
/// Instants whose records were cleared or pruned are left out: nothing can be said about them.
pub async fn verify(store: &dyn Store, range: Range, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreError> {
    let leases = store.leases().await?;
    let mut verifying = Verifying { store, leases, range, tell, waiting: Vec::new(), entries: 0, instants: 0 };
    let before = Timestamp::from_millis(range.from.millis() - 1);
    let mut pages = store.revisions(ShardSet::ALL, before);
    let mut of_task: Vec<Revision> = Vec::new();
    while let Some(page) = pages.recv().await {
        for revision in page? {
            if of_task.last().is_some_and(|last| last.task.identity != revision.task.identity) {
                verifying.add(std::mem::take(&mut of_task)).await?;
            }
            of_task.push(revision);
        }
    }
    verifying.add(of_task).await?;
    verifying.look().await
}

struct Verifying<'a> {
    store: &'a dyn Store,
    leases: Vec<Lease>,
    range: Range,
    tell: &'a mut (dyn FnMut(Finding) + Send),
    /// Tasks, each with its revisions, that will be looked at together.
    waiting: Vec<Vec<Revision>>,
    entries: usize,
    instants: u64,
}

impl Verifying<'_> {
    async fn add(&mut self, of_task: Vec<Revision>) -> Result<(), StoreError> {
        if of_task.is_empty() {
            return Ok(());
        }
        for revision in &of_task {
            self.entries += revision.task.entries.len();
            let until = revision.in_force_until.unwrap_or(self.range.to).min(self.range.to);
            let after = revision.in_force_from.max(self.range.from);
            let named = revision.task.entries.iter().map(|entry| revision.instants(entry).count(after, until));
            self.instants += named.sum::<u64>();
        }
        self.waiting.push(of_task);
        if self.entries >= ENTRIES_AT_ONCE || self.instants >= INSTANTS_AT_ONCE { self.look().await } else { Ok(()) }
    }

    /// Looks at what waits.
    async fn look(&mut self) -> Result<(), StoreError> {
        let tasks = std::mem::take(&mut self.waiting);
        (self.entries, self.instants) = (0, 0);
        let identities: Vec<Identity> = tasks.iter().map(|of_task| of_task[0].task.identity.clone()).collect();
        let deleted_through = self.store.deleted_through(&identities).await?;
        let before = Timestamp::from_millis(self.range.from.millis() - 1);
        let mut all: Vec<Named<'_>> = Vec::new();
        for (of_task, deleted_through) in tasks.iter().zip(deleted_through) {
            let identity = &of_task[0].task.identity;
            let lease = self.leases.get(Shard::of(identity).index());
            let settled_through = lease.map_or(Timestamp::EPOCH, |lease| lease.settled_through);
            let span = Span { after: before.max(deleted_through), until: self.range.to, settled_through };
            let named = |(entry, states)| Named { identity, entry, states, span };
            all.extend(by_entry(of_task).into_iter().map(named));
        }
        for some in all.chunks(ENTRIES_AT_ONCE) {
            let entries: Vec<(Identity, EntryName)> =
                some.iter().map(|named| (named.identity.clone(), named.entry.clone())).collect();
            let outcomes = self.store.outcomes(&entries, before).await?;
            for (named, outcomes) in some.iter().zip(outcomes) {
                named.tell(outcomes, self.tell);
            }
        }
        Ok(())
    }
}

/// What is known of one entry before its outcomes are.
struct Named<'a> {
    identity: &'a Identity,
    entry: &'a EntryName,
    states: Vec<(&'a Revision, &'a Entry)>,
    span: Span,
}

impl Named<'_> {
    fn tell(&self, mut outcomes: Vec<Outcome>, tell: &mut (dyn FnMut(Finding) + Send)) {
        outcomes.retain(|outcome| outcome.stretch.last > self.span.after);
        for (first, last, count, verdict) in compare(&self.states, &outcomes, self.span) {
            let (identity, entry) = (self.identity.clone(), self.entry.clone());
            tell(Finding { identity, entry, first, last, count, verdict });
        }
    }
}

/// The states of each entry of a task, in the order of time.
fn by_entry(revisions: &[Revision]) -> BTreeMap<&EntryName, Vec<(&Revision, &Entry)>> {
    let mut entries: BTreeMap<&EntryName, Vec<(&Revision, &Entry)>> = BTreeMap::new();
    for revision in revisions {
        for entry in &revision.task.entries {
            entries.entry(&entry.name).or_default().push((revision, entry));
        }
    }
    entries
}

#[derive(Clone, Copy)]
struct Span {
    after: Timestamp,
    until: Timestamp,
    settled_through: Timestamp,
}

type Compared = (Timestamp, Timestamp, u64, Verdict);

/// Holds the instants that an entry names against its outcomes.
fn compare(named: &[(&Revision, &Entry)], outcomes: &[Outcome], span: Span) -> Vec<Compared> {
    let mut outcomes: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.stretch.first <= span.until).collect();
    outcomes.sort_by_key(|outcome| outcome.stretch.first);
    let mut found: Vec<Compared> = Vec::new();
    let mut named_in: Vec<u64> = vec![0; outcomes.len()];
    let mut begin = 0;
    for fire_time in instants(named, span) {
        while begin < outcomes.len() && outcomes[begin].stretch.last < fire_time {
            begin += 1;
        }
        let covers = |&(_, outcome): &(usize, &&Outcome)| outcome.stretch.last >= fire_time;
        let reachable = outcomes.iter().enumerate().skip(begin);
        let covering: Vec<usize> = reachable
            .take_while(|(_, outcome)| outcome.stretch.first <= fire_time)
            .filter(covers)
            .map(|(index, _)| index)
            .collect();
        for &index in &covering {
            named_in[index] += 1;
        }
        match covering.len() {
            0 if fire_time > span.settled_through => found.push((fire_time, fire_time, 1, Verdict::Open)),
            0 => found.push((fire_time, fire_time, 1, Verdict::Missing)),
            1 => {}
            _ => found.push((fire_time, fire_time, 1, Verdict::Doubled)),
        }
    }
    found.extend(outcomes.iter().zip(named_in).map(|(outcome, named)| judge(outcome, named, span)));
    found.sort_by_key(|&(first, ..)| first);
    found
}

/// An outcome against the number of instants that the trigger names in it.
fn judge(outcome: &Outcome, named: u64, span: Span) -> Compared {
    let stretch = outcome.stretch;
    let is_cut = stretch.first <= span.after || stretch.last > span.until;
    let verdict = match named {
        0 => Verdict::Unnamed(outcome.kind),
        _ if named == stretch.count || is_cut => Verdict::Settled(outcome.kind),
        _ => Verdict::Miscounted(outcome.kind),
    };
    (stretch.first, stretch.last, if is_cut { named } else { stretch.count }, verdict)
}

/// What the revisions of an entry name within the span, each in its own time.
fn instants(named: &[(&Revision, &Entry)], span: Span) -> impl Iterator<Item = Timestamp> {
    named.iter().filter(|(revision, _)| revision.enabled).flat_map(move |(revision, entry)| {
        let ticks = revision.instants(entry);
        let after = revision.in_force_from.max(span.after);
        let until = revision.in_force_until.unwrap_or(span.until).min(span.until);
        std::iter::successors(ticks.next(after), move |&last| ticks.next(last))
            .take_while(move |&fire_time| fire_time <= until)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Request, Schedule, Stretch, TargetUrl, Task, TimeZone};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + second)
    }

    /// In force from `from` to `until`, an instant every ten seconds counted from `from`.
    fn revision(from: i64, until: Option<i64>, enabled: bool) -> Revision {
        let request = Request::post(TargetUrl::parse("http://a/").unwrap());
        let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("@every 10s").unwrap(), request);
        let identity = Identity::parse("t").unwrap();
        let task = Task::new(identity, TimeZone::UTC, vec![entry]);
        Revision { number: 1, enabled, in_force_until: until.map(at), ..Revision::new(task, at(from)) }
    }

    fn outcome(kind: RecordKind, first: i64, last: i64, count: u64) -> Outcome {
        Outcome { kind, stretch: Stretch { first: at(first), last: at(last), count } }
    }

    fn found(revisions: &[Revision], outcomes: &[Outcome], settled_through: i64) -> Vec<(i64, Verdict)> {
        let named: Vec<(&Revision, &Entry)> = revisions.iter().map(|it| (it, &it.task.entries[0])).collect();
        let span = Span { after: at(0), until: at(60), settled_through: at(settled_through) };
        let found = compare(&named, outcomes, span);
        found.into_iter().map(|(first, _, _, verdict)| (first.secs() - at(0).secs(), verdict)).collect()
    }

    use RecordKind::{Skipped, Success};
    use Verdict::{Doubled, Miscounted, Missing, Open, Settled, Unnamed};

    #[test]
    fn each_instant_with_one_outcome_is_settled() {
        let outcomes = [outcome(Success, 10, 10, 1), outcome(Skipped, 20, 50, 4), outcome(Success, 60, 60, 1)];

        let expected = [(10, Settled(Success)), (20, Settled(Skipped)), (60, Settled(Success))];
        assert_eq!(found(&[revision(0, None, true)], &outcomes, 60), expected);
    }

    #[test]
    fn an_instant_without_one_is_missing_or_open_where_the_shard_is_not_settled() {
        let outcomes = [outcome(Skipped, 10, 40, 4)];

        let expected = [(10, Settled(Skipped)), (50, Missing), (60, Open)];
        assert_eq!(found(&[revision(0, None, true)], &outcomes, 59), expected);
    }

    #[test]
    fn an_instant_with_two_is_doubled_and_a_stretch_with_another_count_is_told() {
        let outcomes = [outcome(Skipped, 10, 40, 3), outcome(Success, 30, 30, 1), outcome(Skipped, 50, 60, 2)];

        let expected = [(10, Miscounted(Skipped)), (30, Doubled), (30, Settled(Success)), (50, Settled(Skipped))];
        let mut found = found(&[revision(0, None, true)], &outcomes, 60);
        found.sort_by_key(|&(second, verdict)| (second, format!("{verdict:?}")));
        assert_eq!(found, expected);
    }

    #[test]
    fn each_revision_names_instants_in_its_own_time_and_none_while_switched_off() {
        let revisions = [revision(0, Some(20), true), revision(20, Some(33), false), revision(33, None, true)];
        let outcomes = [
            outcome(Success, 10, 10, 1),
            outcome(Success, 20, 20, 1),
            outcome(Success, 30, 30, 1),
            outcome(Success, 43, 43, 1),
            outcome(Success, 53, 53, 1),
        ];

        let settled = |second| (second, Settled(Success));
        let expected = [settled(10), settled(20), (30, Unnamed(Success)), settled(43), settled(53)];
        assert_eq!(found(&revisions, &outcomes, 60), expected);
    }
}
