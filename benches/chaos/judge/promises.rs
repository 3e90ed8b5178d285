//! What must never happen, whatever breaks.

use std::collections::{BTreeSet, HashMap};

use super::evidence::{Arrival, Delivery, Evidence, Hit, Task, Word};

/// What was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// Each instant has a request, or a record that says why it has none.
    NoneMissing,
    /// No instant is sent twice, but with the same key by `at_least_once`; none has two outcomes.
    NoneDoubled,
    /// What is sent again has a record that says so.
    AllMarked,
    /// A node sends nothing for a shard after another one has acted for it.
    NoneStale,
    /// After `ok` to a delete nothing of the task is fired.
    NoneDeleted,
    /// Only instants that a trigger names have requests and outcomes.
    NoneUnnamed,
    /// Once the fault is over, everything fires on time again.
    Recovery,
}

/// A promise that was broken, and where.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    pub(crate) promise: Promise,
    pub(crate) identity: String,
    pub(crate) instant: i64,
    pub(crate) what: String,
}

/// A request may be on its way when a delete is answered. What comes later than this after it was sent after it.
const ON_ITS_WAY_MAX_MS: i64 = 1_000;

/// Every promise that the scene broke.
pub(super) fn breaches(evidence: &Evidence<'_>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    missing(evidence, &mut breaches);
    doubled(evidence, &mut breaches);
    stale(evidence, &mut breaches);
    strange(evidence, &mut breaches);
    if !evidence.is_recovered {
        breaches.push(breach(Promise::Recovery, None, evidence.times.relief, "not everything fires on time again"));
    }
    breaches
}

fn breach(promise: Promise, task: Option<&Task>, instant: i64, what: impl Into<String>) -> Breach {
    let identity = task.map(|task| task.identity.clone()).unwrap_or_default();
    Breach { promise, identity, instant, what: what.into() }
}

/// Goes by own counting of what is owed, not by what the service says about it.
fn missing(evidence: &Evidence<'_>, breaches: &mut Vec<Breach>) {
    let mut words: HashMap<usize, Vec<(i64, i64, Word)>> = HashMap::new();
    for outcome in evidence.outcomes {
        words.entry(outcome.task).or_default().push((outcome.first, outcome.last, outcome.word));
    }
    let came: BTreeSet<(usize, i64)> = evidence.arrivals.iter().map(|one| (one.task, one.instant)).collect();
    for (place, task) in evidence.tasks.iter().enumerate() {
        let words = words.get(&place).map(Vec::as_slice).unwrap_or_default();
        for instant in task.instants(evidence.times.begin, evidence.times.end) {
            let word = words.iter().find(|(first, last, _)| (*first..=*last).contains(&instant)).map(|word| word.2);
            let came = came.contains(&(place, instant));
            let what = match (word, came) {
                (Some(Word::Success), false) => "its record says that it was sent, and no request came",
                (None | Some(Word::Open | Word::Missing), false) => "no request came, and no record says why",
                (None | Some(Word::Open | Word::Missing), true) => "a request came, and no record tells of it",
                (Some(Word::Success | Word::Doubled | Word::Unnamed), true) | (Some(Word::Told), _) => continue,
                (Some(Word::Doubled | Word::Unnamed), false) => continue,
            };
            breaches.push(breach(Promise::NoneMissing, Some(task), instant, what));
        }
    }
}

/// The scene in which the further request came answers for it, not the one of its instant.
fn doubled(evidence: &Evidence<'_>, breaches: &mut Vec<Breach>) {
    let mut sent: HashMap<(usize, i64), Vec<&Arrival>> = HashMap::new();
    for arrival in evidence.arrivals {
        sent.entry((arrival.task, arrival.instant)).or_default().push(arrival);
    }
    for ((place, instant), arrivals) in sent {
        let (Some(last), true) = (arrivals.last(), arrivals.len() > 1) else { continue };
        if last.at < evidence.times.begin {
            continue;
        }
        let task = &evidence.tasks[place];
        let is_one_run = arrivals.iter().all(|arrival| arrival.run == last.run);
        let is_marked = evidence.redelivered.contains(&last.run);
        let (promise, why) = match (task.delivery, is_one_run, is_marked) {
            (Delivery::AtMostOnce, ..) => (Promise::NoneDoubled, "at_most_once"),
            (Delivery::AtLeastOnce, false, _) => (Promise::NoneDoubled, "with different keys"),
            (Delivery::AtLeastOnce, true, false) => (Promise::AllMarked, "its record does not say `redelivered`"),
            (Delivery::AtLeastOnce, true, true) => continue,
        };
        let times: Vec<String> = arrivals.iter().map(|one| format!("node {} at {}", one.node + 1, one.at)).collect();
        let what = format!("{} requests ({}): {why}", arrivals.len(), times.join(", "));
        breaches.push(breach(promise, Some(task), instant, what));
    }
    for outcome in evidence.outcomes.iter().filter(|outcome| outcome.word == Word::Doubled) {
        let task = &evidence.tasks[outcome.task];
        breaches.push(breach(Promise::NoneDoubled, Some(task), outcome.first, "it has more than one outcome"));
    }
}

/// Another node sent something for the same shard so shortly before and so shortly after: the shard did not move to and fro.
const BETWEEN_MAX_MS: i64 = 2_000;

/// After the fault has begun: the hit node between two requests of others for the same shard; or, after it was woken, for an
/// instant that was due before, of a shard that others have acted for meanwhile. What had left it before is judged by its arrival:
/// it came before theirs, as they wait for it.
fn stale(evidence: &Evidence<'_>, breaches: &mut Vec<Breach>) {
    let Hit::Node(hit) = evidence.hit else { return };
    let (fault, relief) = (evidence.times.fault, evidence.times.relief);
    let mut of_shards: HashMap<usize, Vec<&Arrival>> = HashMap::new();
    for arrival in evidence.arrivals.iter().filter(|arrival| arrival.at >= fault) {
        of_shards.entry(evidence.tasks[arrival.task].shard).or_default().push(arrival);
    }
    for arrivals in of_shards.values() {
        let others: Vec<&Arrival> = arrivals.iter().copied().filter(|arrival| arrival.node != hit).collect();
        let Some(taken) = others.first() else { continue };
        let is_stale = |arrival: &Arrival| {
            let after = others.partition_point(|other| other.at <= arrival.at);
            let is_near =
                |other: Option<&&Arrival>| other.is_some_and(|other| (other.at - arrival.at).abs() <= BETWEEN_MAX_MS);
            let is_between = after > 0 && is_near(others.get(after - 1)) && is_near(others.get(after));
            let is_of_before = arrival.at >= relief && arrival.instant < relief && taken.at < relief;
            is_between || is_of_before
        };
        for arrival in arrivals.iter().filter(|arrival| arrival.node == hit && is_stale(arrival)) {
            let task = &evidence.tasks[arrival.task];
            let what = format!(
                "node {} sent it at {}; node {} acts for shard {} since {}",
                hit + 1,
                arrival.at,
                taken.node + 1,
                task.shard,
                taken.at
            );
            breaches.push(breach(Promise::NoneStale, Some(task), arrival.instant, what));
        }
    }
}

fn strange(evidence: &Evidence<'_>, breaches: &mut Vec<Breach>) {
    for arrival in evidence.arrivals.iter().filter(|arrival| arrival.at >= evidence.times.begin) {
        let task = &evidence.tasks[arrival.task];
        if arrival.instant.rem_euclid(task.every_s * 1_000) != 0 {
            let what = format!("node {} sent it, and no trigger names it", arrival.node + 1);
            breaches.push(breach(Promise::NoneUnnamed, Some(task), arrival.instant, what));
        }
        let Some(deleted_at) = task.deleted_at else { continue };
        if arrival.instant > deleted_at || arrival.at > deleted_at + ON_ITS_WAY_MAX_MS {
            let what = format!("node {} sent it at {}, deleted at {deleted_at}", arrival.node + 1, arrival.at);
            breaches.push(breach(Promise::NoneDeleted, Some(task), arrival.instant, what));
        }
    }
    for outcome in evidence.outcomes.iter().filter(|outcome| outcome.word == Word::Unnamed) {
        let task = &evidence.tasks[outcome.task];
        breaches.push(breach(Promise::NoneUnnamed, Some(task), outcome.first, "an outcome that no trigger names"));
    }
}
