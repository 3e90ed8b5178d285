//! The proof of the promise: every instant that the stored triggers name in a past range has exactly one outcome.

use std::collections::BTreeMap;

use crate::model::{Entry, EntryName, Identity, Lease, RecordKind, Revision, Shard, Timestamp};
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

/// Looks at every task that was in force in the range and gives each finding to `tell`, by task, entry and instant.
/// Instants whose records were cleared or pruned are left out: nothing can be said about them.
pub async fn verify(store: &dyn Store, range: Range, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreError> {
    let leases = store.leases().await?;
    let before = Timestamp::from_millis(range.from.millis() - 1);
    let mut pages = store.revisions(before);
    let mut of_task: Vec<Revision> = Vec::new();
    while let Some(page) = pages.recv().await {
        for revision in page? {
            if of_task.last().is_some_and(|last| last.task.identity != revision.task.identity) {
                verify_task(store, &leases, &of_task, range, tell).await?;
                of_task.clear();
            }
            of_task.push(revision);
        }
    }
    verify_task(store, &leases, &of_task, range, tell).await
}

async fn verify_task(
    store: &dyn Store,
    leases: &[Lease],
    revisions: &[Revision],
    range: Range,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), StoreError> {
    let Some(identity) = revisions.first().map(|revision| &revision.task.identity) else { return Ok(()) };
    let deleted_through = store.deleted_through(identity).await?;
    let after = Timestamp::from_millis(range.from.millis() - 1).max(deleted_through);
    let settled_through = leases.get(Shard::of(identity).index()).map(|lease| lease.settled_through);
    for (name, named) in by_entry(revisions) {
        let outcomes = store.outcomes(identity, name, after).await?;
        let span = Span { after, until: range.to, settled_through: settled_through.unwrap_or(Timestamp::EPOCH) };
        for (first, last, count, verdict) in compare(&named, &outcomes, span) {
            tell(Finding { identity: identity.clone(), entry: name.clone(), first, last, count, verdict });
        }
    }
    Ok(())
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
        let ticks = revision.ticks(entry);
        let after = revision.in_force_from.max(span.after);
        let until = revision.in_force_until.unwrap_or(span.until).min(span.until);
        std::iter::successors(ticks.next(after), move |&last| ticks.next(last))
            .take_while(move |&fire_time| fire_time <= until)
    })
}
