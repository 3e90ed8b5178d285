//! Instants that are fired late, one after the other: oldest first, and not more of them a second than is allowed.
//!
//! They stand aside from the agenda, so that what comes on time never waits behind them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{EntryOptions, Fire, Identity, Revision, Shard, ShardSet, Stretch, Timestamp, Trigger};

/// Instants of one entry that have passed and are to be fired. All of them are claimed.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    pub(super) revision: Arc<Revision>,
    pub(super) entry: usize,
    /// What is left, oldest first. Never empty.
    stretches: VecDeque<Stretch>,
    /// A crash left it uncertain whether they were sent.
    pub(super) is_uncertain: bool,
}

impl Backlog {
    /// `None`, if there is nothing to catch up.
    pub(super) fn new(
        revision: Arc<Revision>,
        entry: usize,
        stretches: impl IntoIterator<Item = Stretch>,
        is_uncertain: bool,
    ) -> Option<Self> {
        let stretches: VecDeque<Stretch> = stretches.into_iter().collect();
        let is_empty = stretches.is_empty();
        (!is_empty).then_some(Self { revision, entry, stretches, is_uncertain })
    }

    /// Its oldest instant.
    pub(super) fn oldest(&self) -> Timestamp {
        self.stretches.front().map_or(Timestamp::FAR_FUTURE, |stretch| stretch.first)
    }

    /// What is left of it.
    pub(super) fn stretches(&self) -> impl Iterator<Item = Stretch> {
        self.stretches.iter().copied()
    }

    /// What the entry says beside its trigger.
    pub(super) fn options(&self) -> &EntryOptions {
        self.revision.task.entries[self.entry].options()
    }

    /// Takes its oldest instant.
    fn take(&mut self) -> Option<Fire> {
        let stretch = self.stretches.front_mut()?;
        let (fire_time, entry) = (stretch.first, &self.revision.task.entries[self.entry]);
        let next = self.revision.instants(entry).next(fire_time).filter(|&next| next <= stretch.last);
        match next {
            Some(next) => *stretch = Stretch { first: next, count: stretch.count.saturating_sub(1), ..*stretch },
            None => drop(self.stretches.pop_front()),
        }
        let fire = Fire::planned(self.revision.clone(), self.entry, fire_time, Trigger::CatchUp);
        Some(Fire { redelivered: self.is_uncertain, ..fire })
    }

    /// Takes one instant out of it, wherever it stands; `false`: it is not in it.
    fn take_out(&mut self, fire_time: Timestamp) -> bool {
        let holds = |stretch: &Stretch| stretch.first <= fire_time && fire_time <= stretch.last;
        let Some(place) = self.stretches.iter().position(holds) else { return false };
        let Some(stretch) = self.stretches.remove(place) else { return false };
        let ticks = self.revision.instants(&self.revision.task.entries[self.entry]);
        let before = |instant: Timestamp| Timestamp::from_millis(instant.millis() - 1);
        let older = super::misfire::stretch(ticks, before(stretch.first), before(fire_time));
        let newer = super::misfire::stretch(ticks, fire_time, stretch.last);
        for rest in newer.into_iter().chain(older) {
            self.stretches.insert(place, rest);
        }
        true
    }
}

type BacklogId = u64;

/// All that is caught up on this node.
#[derive(Debug)]
pub(super) struct CatchUp {
    backlogs: HashMap<BacklogId, Backlog>,
    /// For each shard, by the oldest instant.
    order: Vec<BTreeSet<(Timestamp, BacklogId)>>,
    of_task: HashMap<Identity, Vec<BacklogId>>,
    next_id: BacklogId,
}

impl CatchUp {
    pub(super) fn new() -> Self {
        let order = vec![BTreeSet::new(); Shard::COUNT];
        Self { backlogs: HashMap::new(), order, of_task: HashMap::new(), next_id: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.backlogs.is_empty()
    }

    /// Whether something of a task is left.
    pub(super) fn holds(&self, identity: &Identity) -> bool {
        self.of_task.contains_key(identity)
    }

    pub(super) fn add(&mut self, backlog: Backlog) {
        self.next_id += 1;
        let (id, identity) = (self.next_id, backlog.revision.task.identity.clone());
        self.order[backlog.revision.shard().index()].insert((backlog.oldest(), id));
        self.of_task.entry(identity).or_default().push(id);
        self.backlogs.insert(id, backlog);
    }

    /// The oldest instant of a shard that is still to be fired.
    pub(super) fn oldest(&self, shard: Shard) -> Option<Timestamp> {
        self.order[shard.index()].first().map(|&(oldest, _)| oldest)
    }

    /// Takes the oldest instants, at most `max`.
    pub(super) fn take(&mut self, max: usize) -> Vec<Fire> {
        let mut fires = Vec::new();
        while fires.len() < max {
            let oldest = self.order.iter().filter_map(|order| order.first().copied()).min();
            let Some((_, id)) = oldest else { break };
            let Some(mut backlog) = self.remove(id) else { break };
            if let Some(fire) = backlog.take() {
                fire.entry().last_fire.note(fire.fire_time);
                fires.push(fire);
            }
            self.put_back(id, backlog);
        }
        fires
    }

    /// Takes out all that is left of a task.
    pub(super) fn take_task(&mut self, identity: &Identity) -> Vec<Backlog> {
        let ids = self.of_task.get(identity).cloned().unwrap_or_default();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes out all that is chosen.
    pub(super) fn take_where(&mut self, is_chosen: impl Fn(&Backlog) -> bool) -> Vec<Backlog> {
        let chosen = self.backlogs.iter().filter(|(_, backlog)| is_chosen(backlog));
        let ids: Vec<BacklogId> = chosen.map(|(&id, _)| id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes out all that is left of the tasks of shards.
    pub(super) fn take_shards(&mut self, shards: ShardSet) -> Vec<Backlog> {
        let of_shards = self.backlogs.iter().filter(|(_, backlog)| shards.contains(backlog.revision.shard()));
        let ids: Vec<BacklogId> = of_shards.map(|(&id, _)| id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes one instant of an entry out, if it is to be caught up.
    pub(super) fn take_instant(&mut self, identity: &Identity, entry: usize, fire_time: Timestamp) -> bool {
        let of_entry = |id: &BacklogId| self.backlogs.get(id).is_some_and(|backlog| backlog.entry == entry);
        let ids: Vec<BacklogId> = self.of_task.get(identity).into_iter().flatten().copied().filter(of_entry).collect();
        for id in ids {
            let Some(mut backlog) = self.remove(id) else { continue };
            let is_taken = backlog.take_out(fire_time);
            self.put_back(id, backlog);
            if is_taken {
                return true;
            }
        }
        false
    }

    fn remove(&mut self, id: BacklogId) -> Option<Backlog> {
        let backlog = self.backlogs.remove(&id)?;
        self.order[backlog.revision.shard().index()].remove(&(backlog.oldest(), id));
        let identity = &backlog.revision.task.identity;
        if let Some(of_task) = self.of_task.get_mut(identity) {
            of_task.retain(|&other| other != id);
            if of_task.is_empty() {
                self.of_task.remove(identity);
            }
        }
        Some(backlog)
    }

    /// Unless nothing is left of it.
    fn put_back(&mut self, id: BacklogId, backlog: Backlog) {
        if backlog.stretches.is_empty() {
            return;
        }
        self.order[backlog.revision.shard().index()].insert((backlog.oldest(), id));
        self.of_task.entry(backlog.revision.task.identity.clone()).or_default().push(id);
        self.backlogs.insert(id, backlog);
    }
}

/// Spreads what is allowed in a second over that second.
#[derive(Debug)]
pub(super) struct Pace {
    per_s: u64,
    /// The second that is counted.
    second: Timestamp,
    /// How many were taken in it.
    taken: u64,
}

impl Pace {
    pub(super) fn new(per_s: u32) -> Self {
        Self { per_s: u64::from(per_s.max(1)), second: Timestamp::EPOCH, taken: 0 }
    }

    /// How many may be taken now.
    pub(super) fn allowed(&mut self, now: Timestamp) -> usize {
        if now.floor_to_second() != self.second {
            (self.second, self.taken) = (now.floor_to_second(), 0);
        }
        let passed_ms = u64::try_from(now.since(self.second).as_millis()).unwrap_or(0);
        let so_far = (self.per_s * (passed_ms + 1)).div_ceil(1_000).min(self.per_s);
        usize::try_from(so_far.saturating_sub(self.taken)).unwrap_or(usize::MAX)
    }

    /// Notes that some were taken.
    pub(super) fn note(&mut self, taken: usize) {
        self.taken += taken as u64;
    }

    /// When more may be taken than at the last look.
    pub(super) fn next(&self) -> Timestamp {
        let after_ms = if self.taken >= self.per_s { 1_000 } else { self.taken * 1_000 / self.per_s };
        Timestamp::from_millis(self.second.millis() + i64::try_from(after_ms).unwrap_or(1_000))
    }
}

/// Fires that were caught up and have no durable outcome yet. Their number is bounded, so that they never fill the lane of a
/// host that what comes on time has to use.
#[derive(Debug)]
pub(super) struct Outstanding {
    max: usize,
    fires: Vec<(Shard, Timestamp)>,
}

impl Outstanding {
    /// At the usual rate fewer than one host may have in flight; else as many as a second brings.
    const MAX: u32 = 256;

    pub(super) fn new(per_s: u32) -> Self {
        Self { max: per_s.max(Self::MAX) as usize, fires: Vec::new() }
    }

    /// For how many there is room, once those that have ended are forgotten.
    pub(super) fn room(&mut self, is_open: impl Fn(Shard, Timestamp) -> bool) -> usize {
        if self.is_full() {
            self.fires.retain(|&(shard, fire_time)| is_open(shard, fire_time));
        }
        self.max.saturating_sub(self.fires.len())
    }

    pub(super) fn is_full(&self) -> bool {
        self.fires.len() >= self.max
    }

    pub(super) fn note(&mut self, fires: &[Fire]) {
        self.fires.extend(fires.iter().map(|fire| (fire.revision.shard(), fire.fire_time)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Entry, EntryName, Request, Schedule, TargetUrl, Task, TimeZone};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + second)
    }

    fn revision(identity: &str) -> Arc<Revision> {
        let request = Request::post(TargetUrl::parse("http://a/").unwrap());
        let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("@every 10s").unwrap(), request);
        let task = Task::new(Identity::parse(identity).unwrap(), TimeZone::UTC, vec![entry]);
        Arc::new(Revision::new(task, at(0)))
    }

    fn backlog(identity: &str, first: i64, last: i64) -> Backlog {
        let count = u64::try_from((last - first) / 10 + 1).unwrap();
        Backlog::new(revision(identity), 0, [Stretch { first: at(first), last: at(last), count }], false).unwrap()
    }

    fn taken(catch_up: &mut CatchUp, max: usize) -> Vec<(String, i64)> {
        let fires = catch_up.take(max);
        let second = |fire: &Fire| fire.fire_time.secs() - at(0).secs();
        fires.iter().map(|fire| (fire.identity().to_string(), second(fire))).collect()
    }

    fn named(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
        pairs.iter().map(|&(identity, second)| (identity.to_owned(), second)).collect()
    }

    #[test]
    fn the_oldest_of_all_entries_goes_first_and_nothing_is_left_of_what_went() {
        let mut catch_up = CatchUp::new();
        catch_up.add(backlog("one", 20, 40));
        catch_up.add(backlog("two", 10, 30));

        assert_eq!(taken(&mut catch_up, 3), named(&[("two", 10), ("one", 20), ("two", 20)]));
        assert_eq!(catch_up.oldest(revision("one").shard()), Some(at(30)));
        assert_eq!(taken(&mut catch_up, 9), named(&[("one", 30), ("two", 30), ("one", 40)]));
        assert!(catch_up.is_empty() && catch_up.of_task.is_empty());
        assert_eq!(catch_up.oldest(revision("one").shard()), None);
    }

    #[test]
    fn an_instant_is_taken_out_of_the_middle_and_the_rest_goes_on() {
        let mut catch_up = CatchUp::new();
        catch_up.add(backlog("one", 10, 50));
        let identity = Identity::parse("one").unwrap();

        assert!(catch_up.take_instant(&identity, 0, at(30)));
        assert!(!catch_up.take_instant(&identity, 0, at(30)));
        assert!(catch_up.take_instant(&identity, 0, at(10)));

        let left = catch_up.take_task(&identity);
        let stretches: Vec<Stretch> = left[0].stretches().collect();
        let expected = [(20, 20, 1), (40, 50, 2)];
        assert_eq!(stretches, expected.map(|(first, last, count)| Stretch { first: at(first), last: at(last), count }));
        assert!(catch_up.is_empty());
    }

    #[test]
    fn a_second_lets_as_many_go_as_are_allowed_spread_over_it() {
        for per_s in [1_u32, 3, 100, 999, 2_500] {
            let (mut pace, mut now, mut gone) = (Pace::new(per_s), at(0), Vec::new());
            while now < at(3) {
                let allowed = pace.allowed(now);
                pace.note(allowed);
                gone.push((now, allowed));
                let next = pace.next();
                assert!(next > now, "{per_s} a second, at {now}");
                now = next;
            }
            let in_second = |second: i64| -> usize {
                let within = |instant: Timestamp| at(second) <= instant && instant < at(second + 1);
                gone.iter().filter(|&&(instant, _)| within(instant)).map(|&(_, count)| count).sum()
            };
            assert_eq!([0, 1, 2].map(in_second), [per_s as usize; 3]);
            let most = gone.iter().map(|&(_, count)| count).max().unwrap();
            assert!(most <= (per_s as usize).div_ceil(1_000) + 1, "{per_s} a second: {most} at once");
        }
    }

    #[test]
    fn only_so_many_are_on_their_way_at_once() {
        let (mut outstanding, mut catch_up) = (Outstanding::new(100), CatchUp::new());
        catch_up.add(backlog("one", 10, 10_000));
        let fires = catch_up.take(256);

        assert_eq!(outstanding.room(|_, _| true), 256);
        outstanding.note(&fires);
        assert_eq!(outstanding.room(|_, _| true), 0);
        assert_eq!(outstanding.room(|_, fire_time| fire_time > at(60)), 6);
    }

    #[test]
    fn a_late_look_does_not_make_up_for_the_seconds_before() {
        let mut pace = Pace::new(100);
        assert_eq!(pace.allowed(at(0)), 1);
        pace.note(1);

        assert_eq!(pace.allowed(at(7).plus(Duration::from_millis(500))), 51);
    }
}
