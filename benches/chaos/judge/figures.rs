//! How well it went: what may be slow, and is measured.

use std::collections::{HashMap, HashSet};

use super::evidence::{Arrival, Evidence, Hit, Word};

/// A request that comes later than this after its instant catches up.
const CATCH_UP_MS: i64 = 1_000;

/// The figures of one scene, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Instants that were owed.
    pub(crate) owed: usize,
    /// Instants whose request came.
    pub(crate) fired: usize,
    /// Further requests of an instant.
    pub(crate) resent: usize,
    /// Instants without a request, whose record says why.
    pub(crate) unsent: usize,
    /// The longest stretch in which something of a shard that was hit was due, and nothing of that shard came.
    pub(crate) silence: i64,
    /// From the beginning of the fault on.
    pub(crate) lateness: Lateness,
    /// When the last catch-up came, counted from the fault; none if nothing was caught up.
    pub(crate) caught_up: Option<i64>,
}

/// Arrival minus instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lateness {
    pub(crate) p50: i64,
    pub(crate) p99: i64,
    pub(crate) max: i64,
}

pub(super) fn figures(evidence: &Evidence<'_>) -> Figures {
    let times = evidence.times;
    let mut firsts: HashMap<(usize, i64), &Arrival> = HashMap::new();
    let mut resent = 0;
    for arrival in evidence.arrivals {
        let first = *firsts.entry((arrival.task, arrival.instant)).or_insert(arrival);
        resent += usize::from(!std::ptr::eq(first, arrival) && arrival.at >= times.begin);
    }
    let owed = || {
        let tasks = evidence.tasks.iter().enumerate();
        tasks.flat_map(move |(place, task)| task.instants(times.begin, times.end).map(move |instant| (place, instant)))
    };
    let fired = owed().filter(|key| firsts.contains_key(key)).count();
    let late: Vec<&Arrival> = firsts
        .values()
        .copied()
        .filter(|arrival| arrival.at >= times.fault && (times.begin..times.end).contains(&arrival.instant))
        .collect();
    let since = if evidence.counts_from_relief { times.relief } else { times.fault };
    let catch_ups = late.iter().filter(|arrival| arrival.at - arrival.instant > CATCH_UP_MS);
    let told = told(evidence);
    Figures {
        owed: owed().count(),
        fired,
        resent,
        unsent: owed().filter(|key| !firsts.contains_key(key) && told.contains(key)).count(),
        silence: silence(evidence, &firsts, &told),
        lateness: lateness(&late),
        caught_up: catch_ups.map(|arrival| arrival.at - since).max(),
    }
}

/// The instants whose record says why there is no request.
fn told(evidence: &Evidence<'_>) -> HashSet<(usize, i64)> {
    let outcomes = evidence.outcomes.iter().filter(|outcome| outcome.word == Word::Told);
    outcomes
        .flat_map(|outcome| {
            let instants = evidence.tasks[outcome.task].instants(outcome.first - 1, outcome.last + 1);
            instants.map(|instant| (outcome.task, instant))
        })
        .collect()
}

fn lateness(late: &[&Arrival]) -> Lateness {
    let mut millis: Vec<i64> = late.iter().map(|arrival| arrival.at - arrival.instant).collect();
    millis.sort_unstable();
    let at = |percent: usize| millis.get((millis.len().max(1) - 1) * percent / 100).copied().unwrap_or_default();
    Lateness { p50: at(50), p99: at(99), max: at(100) }
}

fn silence(evidence: &Evidence<'_>, firsts: &HashMap<(usize, i64), &Arrival>, told: &HashSet<(usize, i64)>) -> i64 {
    let times = evidence.times;
    let mut dues: HashMap<usize, Vec<(i64, i64)>> = HashMap::new();
    for (place, task) in evidence.tasks.iter().enumerate() {
        for instant in task.instants(times.begin, times.end).filter(|instant| !told.contains(&(place, *instant))) {
            // What never came is waited for until the end.
            let came = firsts.get(&(place, instant)).map_or(times.end, |arrival| arrival.at);
            dues.entry(task.shard).or_default().push((instant, came));
        }
    }
    let mut arrivals: HashMap<usize, Vec<i64>> = HashMap::new();
    let mut owners: HashMap<usize, usize> = HashMap::new();
    for arrival in evidence.arrivals.iter().filter(|arrival| arrival.at >= times.begin) {
        let shard = evidence.tasks[arrival.task].shard;
        arrivals.entry(shard).or_default().push(arrival.at);
        if arrival.at < times.fault {
            owners.insert(shard, arrival.node);
        }
    }
    let is_hit = |shard: &usize| match evidence.hit {
        Hit::Node(node) => owners.get(shard) == Some(&node),
        Hit::All => true,
    };
    let hit = dues.iter().filter(|(shard, _)| is_hit(shard));
    hit.map(|(shard, dues)| of_shard(evidence, dues, arrivals.remove(shard).unwrap_or_default())).max().unwrap_or(0)
}

/// Something is due from its instant until it came; a stretch without any arrival counts from when something was due in it.
fn of_shard(evidence: &Evidence<'_>, dues: &[(i64, i64)], mut arrivals: Vec<i64>) -> i64 {
    let (fault, end) = (evidence.times.fault, evidence.times.end);
    arrivals.retain(|at| *at < end);
    arrivals.push(end);
    let mut before = evidence.times.begin;
    let mut longest = 0;
    for at in arrivals {
        if at > fault {
            let waited = dues.iter().filter(|(due, came)| *due < at && *came >= at).map(|(due, _)| *due).min();
            longest = longest.max(waited.map_or(0, |due| at - due.max(before)));
        }
        before = at;
    }
    longest
}
