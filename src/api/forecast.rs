//! What will fire: of one entry, and of all tasks within a window.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Services;
use super::openapi::words;
use super::parts::{Question, covered};
use super::preview::apart;
use super::reply::ApiError;
use crate::model::{Entry, EntryState, Identity, Revision, Schedule, ShardSet, TimeZone, Timestamp};

/// How far ahead days with a change of the clocks are looked for.
const REMARKS_AHEAD: Duration = Duration::from_secs(400 * 24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The next instants of an entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryForecast {
    /// What its trigger says.
    description: String,
    /// The zone in which its trigger is read.
    #[schema(value_type = words::TimeZone)]
    zone: &'static str,
    /// Whether it fires at all.
    #[schema(value_type = words::EntryStateWord)]
    state: &'static str,
    /// In the zone of the task.
    #[schema(value_type = Vec<words::ZonedDate>)]
    next: Vec<String>,
    /// What is special on days when the clocks change.
    remarks: Vec<String>,
}

impl EntryForecast {
    /// Looks `count` instants ahead, as if the task were switched on. `after` is no earlier than when it is in force.
    pub(super) fn new(revision: &Revision, entry: &Entry, after: Timestamp, count: usize) -> Self {
        let zone = revision.task.time_zone;
        let instants = revision.instants(entry);
        let next: Vec<Timestamp> =
            std::iter::successors(instants.next(after), |&last| instants.next(last)).take(count).collect();
        let (effective, remarks) = match &entry.schedule {
            Schedule::Cron { expr, .. } => {
                (expr.zone().unwrap_or(zone), expr.dst_remarks(zone, after, after.plus(REMARKS_AHEAD)))
            }
            Schedule::Every { .. } | Schedule::At { .. } => (zone, Vec::new()),
        };
        Self {
            description: entry.schedule.describe(),
            zone: effective.name(),
            state: EntryState::of(revision, entry, next.first().copied().or_else(|| instants.next(after))).as_str(),
            next: next.into_iter().map(|instant| instant.rfc3339_exact_in(zone)).collect(),
            remarks,
        }
    }
}

/// A stretch of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// How many tasks are looked at without a pause for others.
const TASKS_AT_ONCE: usize = 1_000;
/// How many tasks are told by how often they fire. The others are only counted.
const TASKS_MAX: usize = 1_000;

/// One instant of one entry.
struct Instant {
    at: Timestamp,
    revision: Arc<Revision>,
    entry: usize,
}

impl Instant {
    fn key(&self) -> (Timestamp, &str, usize) {
        (self.at, self.revision.task.identity.as_str(), self.entry)
    }
}

/// What tasks fire within a window: how often in all, which the most, and the first instants.
pub(super) struct Forecast {
    window: Window,
    limit: usize,
    total: u64,
    tasks_firing: usize,
    most: Vec<(u64, Arc<Revision>)>,
    first: Vec<Instant>,
    /// Nothing later than this is among the first.
    until: Timestamp,
}

impl Forecast {
    /// An empty one that will tell `limit` instants.
    pub(super) fn new(window: Window, limit: usize) -> Self {
        let until = window.to;
        Self { window, limit, total: 0, tasks_firing: 0, most: Vec::new(), first: Vec::new(), until }
    }

    /// Adds a task. Memory grows with what is told, not with how many tasks there are.
    pub(super) fn add(&mut self, revision: &Arc<Revision>) {
        if !revision.enabled {
            return;
        }
        let after = self.window.from.minus(MILLISECOND).max(revision.in_force_from);
        let mut count = 0;
        for (index, entry) in revision.task.entries.iter().enumerate() {
            let instants = revision.instants(entry);
            let named = instants.count(after, self.window.to);
            count += named;
            if named > 0 {
                let all = std::iter::successors(instants.next(after), |&last| instants.next(last));
                for at in all.take(self.limit) {
                    if at > self.until {
                        break;
                    }
                    self.first.push(Instant { at, revision: revision.clone(), entry: index });
                }
                self.keep_first();
            }
        }
        self.total += count;
        if count > 0 {
            self.tasks_firing += 1;
            self.most.push((count, revision.clone()));
            if self.most.len() >= 2 * TASKS_MAX {
                self.keep_most();
            }
        }
    }

    fn keep_first(&mut self) {
        if self.first.len() < 2 * self.limit.max(1) {
            return;
        }
        self.first.sort_unstable_by(|one, other| one.key().cmp(&other.key()));
        self.first.truncate(self.limit);
        if let Some(last) = self.first.last() {
            self.until = last.at;
        }
    }

    fn keep_most(&mut self) {
        self.most.sort_by(|one, other| {
            let key = |&(count, ref revision): &(u64, Arc<Revision>)| (Reverse(count), revision.task.identity.clone());
            key(one).cmp(&key(other))
        });
        self.most.truncate(TASKS_MAX);
    }

    /// What it tells. Dates are written in `zone`.
    pub(super) fn end(mut self, zone: Option<TimeZone>) -> Told {
        self.keep_most();
        self.first.sort_unstable_by(|one, other| one.key().cmp(&other.key()));
        self.first.truncate(self.limit);
        let fires = self.first.iter().map(|coming| {
            let task = &coming.revision.task;
            ComingFire {
                at: coming.at.millis(),
                identity: task.identity.as_str().to_owned(),
                place: coming.entry,
                entry: task.entries[coming.entry].name.as_str().to_owned(),
                fire_time: coming.at.rfc3339_exact_in(zone.unwrap_or(task.time_zone)),
            }
        });
        let most = self.most.iter().map(|(count, revision)| (*count, revision.task.identity.as_str().to_owned()));
        Told { total: self.total, tasks_firing: self.tasks_firing, most: most.collect(), fires: fires.collect() }
    }
}

/// What the tasks of one node fire within a window.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    total: u64,
    tasks_firing: usize,
    most: Vec<(u64, String)>,
    fires: Vec<ComingFire>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct ComingFire {
    at: i64,
    identity: String,
    /// The place of its entry among those of the task.
    place: usize,
    entry: String,
    fire_time: String,
}

impl ForecastView {
    /// Of all nodes together.
    pub(super) fn of(told: Vec<Told>, limit: usize) -> Self {
        let (total, tasks_firing) = told
            .iter()
            .fold((0, 0), |(total, tasks_firing), told| (total + told.total, tasks_firing + told.tasks_firing));
        let (mut most, mut fires) = (Vec::new(), Vec::new());
        for told in told {
            most.extend(told.most);
            fires.extend(told.fires);
        }
        most.sort_unstable_by(|one, other| (Reverse(one.0), &one.1).cmp(&(Reverse(other.0), &other.1)));
        fires.sort_unstable();
        let tasks = most.into_iter().take(TASKS_MAX).map(|(count, identity)| CountView { identity, count });
        let fires = fires.into_iter().take(limit);
        let fires =
            fires.map(|ComingFire { identity, entry, fire_time, .. }| ComingView { fire_time, identity, entry });
        Self { total, tasks_firing, tasks: tasks.collect(), fires: fires.collect() }
    }
}

/// What all tasks fire within a window.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Coming {
    /// In milliseconds of the epoch.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) limit: usize,
    pub(super) prefix: String,
    /// The tasks that the caller knows of.
    #[serde(default)]
    pub(super) covered: Vec<String>,
    /// The zone of the dates, if it is not that of each task.
    pub(super) zone: Option<String>,
}

impl Question for Coming {
    const NAME: &'static str = "coming";
    type Answer = Told;

    async fn answer(&self, services: &Services, shards: ShardSet) -> Result<Told, ApiError> {
        let window = Window { from: Timestamp::from_millis(self.from), to: Timestamp::from_millis(self.to) };
        let covered = covered(&self.covered)?;
        let zone = self.zone.as_deref().and_then(|name| TimeZone::parse(name).ok());
        let (mut forecast, mut after) = (Forecast::new(window, self.limit), None::<Identity>);
        loop {
            let slice =
                services.catalog.page(shards, &self.prefix, after.as_ref().map(Identity::as_str), TASKS_AT_ONCE);
            if slice.shards != shards {
                return Err(ApiError::Elsewhere);
            }
            let mut tasks = slice.tasks;
            tasks.retain(|revision| covered.cover(&revision.task.identity));
            forecast = apart(move || {
                tasks.iter().for_each(|revision| forecast.add(revision));
                forecast
            })
            .await?;
            after = slice.through;
            if after.is_none() {
                return Ok(forecast.end(zone));
            }
        }
    }
}

/// What a window holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Forecast)]
pub(super) struct ForecastView {
    /// How many instants there are.
    pub(super) total: u64,
    /// How many tasks they are of.
    tasks_firing: usize,
    /// The tasks that fire most often, those first.
    tasks: Vec<CountView>,
    /// The first instants, in their order.
    fires: Vec<ComingView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskCount)]
struct CountView {
    #[schema(value_type = words::Identity)]
    identity: String,
    count: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ComingFire)]
struct ComingView {
    #[schema(value_type = words::ZonedDate)]
    fire_time: String,
    #[schema(value_type = words::Identity)]
    identity: String,
    #[schema(value_type = words::EntryName)]
    entry: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{EntryName, Request, TargetUrl, Task};

    const NOON: i64 = 1_800_014_400;

    fn revision(identity: &str, crons: &[&str]) -> Arc<Revision> {
        let entry = |(index, cron): (usize, &&str)| {
            let request = Request::post(TargetUrl::parse("http://a/").unwrap());
            Entry::new(EntryName::parse(&format!("e{index}")).unwrap(), Schedule::cron(cron).unwrap(), request)
        };
        let entries = crons.iter().enumerate().map(entry).collect();
        let task = Task::new(Identity::parse(identity).unwrap(), TimeZone::UTC, entries);
        Arc::new(Revision::new(task, Timestamp::from_secs(NOON)))
    }

    fn window(seconds: i64) -> Window {
        Window { from: Timestamp::from_secs(NOON + 1), to: Timestamp::from_secs(NOON + seconds) }
    }

    fn told(tasks: &[Arc<Revision>], window: Window, limit: usize) -> ForecastView {
        let mut forecast = Forecast::new(window, limit);
        tasks.iter().for_each(|task| forecast.add(task));
        ForecastView::of(vec![forecast.end(Some(TimeZone::UTC))], limit)
    }

    #[test]
    fn a_window_tells_how_often_each_task_fires_and_its_first_instants() {
        let stopped = Revision { enabled: false, ..Revision::clone(&revision("off", &["* * * * * *"])) };
        let tasks = [
            revision("a", &["0 * * * * *"]),
            revision("b", &["*/20 * * * * *", "59 * * * * *"]),
            Arc::new(stopped),
            revision("never", &["0 0 0 1 1 *"]),
        ];

        let view = told(&tasks, window(60), 3);

        assert_eq!((view.total, view.tasks_firing), (5, 2));
        let counts: Vec<(&str, u64)> = view.tasks.iter().map(|task| (task.identity.as_str(), task.count)).collect();
        assert_eq!(counts, [("b", 4), ("a", 1)]);
        let fires: Vec<(&str, &str)> =
            view.fires.iter().map(|fire| (&fire.fire_time[17..19], fire.identity.as_str())).collect();
        assert_eq!(fires, [("20", "b"), ("40", "b"), ("59", "b")]);
    }

    #[test]
    fn both_ends_of_a_window_count() {
        let second = |second: i64| Timestamp::from_secs(NOON + second);

        assert_eq!(
            told(&[revision("a", &["*/20 * * * * *"])], Window { from: second(20), to: second(40) }, 9).total,
            2
        );
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_tasks_the_first_instants_are_the_same(
            periods in prop::collection::vec(1u32..30, 1..12), limit in 0usize..12, seconds in 1i64..200,
        ) {
            let task = |(index, period): (usize, &u32)| revision(&format!("t{index:02}"), &[&format!("@every {period}s")]);
            let tasks: Vec<Arc<Revision>> = periods.iter().enumerate().map(task).collect();
            let backwards: Vec<Arc<Revision>> = tasks.iter().rev().cloned().collect();
            let mut all: Vec<(i64, usize)> = periods.iter().enumerate()
                .flat_map(|(index, &period)| (1..=seconds / i64::from(period)).map(move |n| (n * i64::from(period), index)))
                .collect();
            all.sort_unstable();

            let (view, other) = (told(&tasks, window(seconds), limit), told(&backwards, window(seconds), limit));
            let parts = tasks.chunks(3).map(|part| {
                let mut forecast = Forecast::new(window(seconds), limit);
                part.iter().for_each(|task| forecast.add(task));
                forecast.end(Some(TimeZone::UTC))
            });
            let of_nodes = ForecastView::of(parts.collect(), limit);

            prop_assert_eq!(view.total, all.len() as u64);
            prop_assert_eq!(&view.fires, &other.fires);
            prop_assert_eq!((&view.fires, view.total), (&of_nodes.fires, of_nodes.total));
            let first: Vec<String> = all.iter().take(limit).map(|&(_, index)| format!("t{index:02}")).collect();
            let told: Vec<String> = view.fires.iter().map(|fire| fire.identity.clone()).collect();
            prop_assert_eq!(told, first);
        }
    }
}
