//! Where an entry and its runs stand after a crash. Pure.

use std::time::Duration;

use super::misfire::stretch;
use crate::model::{Delivery, Entry, Misfire, Progress, Revision, Stretch, Timestamp};
use crate::store::Outcome;

/// How far an entry can have come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Nothing that is named up to this moment is open.
    pub(super) settled_through: Timestamp,
    /// Nothing later was sent.
    pub(super) claimed_through: Timestamp,
    /// Since when everybody knows that the entry is paused: nothing later was sent either.
    pub(super) paused_since: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// A pause of an entry that was lifted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lull {
    pub(super) since: Timestamp,
    /// When everybody knew of it: nothing later was sent, up to its end.
    pub(super) known_since: Timestamp,
    pub(super) until: Timestamp,
}

/// What lulls leave of an entry that nobody acted for when they ended, or who did not know of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lulled {
    /// Surely not sent, each with the place of its lull.
    pub(super) kept: Vec<(usize, Stretch)>,
    /// They may have been sent by someone who did not know of a lull yet.
    pub(super) uncertain: Vec<Stretch>,
}

/// Where an entry stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// They may have been sent.
    pub(super) uncertain: Vec<Stretch>,
    /// Surely not sent, and older than an outcome: of the records of one planning a crash let only some be written.
    pub(super) unrecorded: Vec<Stretch>,
    /// Where it goes on.
    pub(super) start: Option<Timestamp>,
}

impl Standing {
    pub(super) fn of(revision: &Revision, entry: &Entry, reach: Reach, outcomes: &[Outcome]) -> Self {
        let after = reach.settled_through;
        // An outcome later than now means that the clock was stepped back: what lies before it has passed already.
        let settled_last = outcomes.iter().map(|outcome| outcome.stretch.last).max().unwrap_or(after);
        let passed = reach.now.max(settled_last).min(reach.claimed_through);
        let sent_until = reach.paused_since.map_or(passed, |since| since.min(passed)).max(after);
        Self {
            uncertain: open_stretches(revision, entry, after, sent_until, outcomes),
            unrecorded: open_stretches(revision, entry, sent_until, settled_last, outcomes),
            start: revision.instants(entry).next(sent_until.max(settled_last)),
        }
    }

    /// Takes out what lulls kept from being sent, those in the order of their beginnings. What was not claimed is theirs only if
    /// they come first: what nobody acted for before goes by its misfire policy, and what came later with it.
    pub(super) fn take_lulled(&mut self, revision: &Revision, entry: &Entry, lulls: &[Lull]) -> Lulled {
        let ticks = revision.instants(entry);
        let before = |instant: Timestamp| Timestamp::from_millis(instant.millis() - 1);
        let cut = |whole: Stretch, after: Timestamp, until: Timestamp| {
            stretch(ticks, before(whole.first).max(after), whole.last.min(until))
        };
        let mut lulled = Lulled::default();
        for (place, &Lull { since, known_since, until }) in lulls.iter().enumerate() {
            let known_since = known_since.min(until);
            for whole in std::mem::take(&mut self.uncertain) {
                lulled.uncertain.extend(cut(whole, since, known_since));
                lulled.kept.extend(cut(whole, known_since, until).map(|kept| (place, kept)));
                self.uncertain.extend(cut(whole, before(whole.first), since));
                self.uncertain.extend(cut(whole, until, whole.last));
            }
            if let Some(start) = self.start.filter(|&start| since < start && start <= until) {
                lulled.kept.extend(stretch(ticks, before(start), until).map(|kept| (place, kept)));
                self.start = ticks.next(until);
            }
        }
        lulled
    }
}

/// The instants later than `after` and not later than `until` that no outcome covers.
pub(super) fn open_stretches(
    revision: &Revision,
    entry: &Entry,
    after: Timestamp,
    until: Timestamp,
    outcomes: &[Outcome],
) -> Vec<Stretch> {
    let ticks = revision.instants(entry);
    let mut covered: Vec<Stretch> = outcomes.iter().map(|outcome| outcome.stretch).collect();
    covered.sort_unstable_by_key(|stretch| stretch.first);
    let (mut open, mut from) = (Vec::new(), after);
    for covered in covered.iter().take_while(|covered| covered.first <= until) {
        open.extend(stretch(ticks, from, Timestamp::from_millis(covered.first.millis() - 1)));
        from = from.max(covered.last);
    }
    open.extend(stretch(ticks, from, until));
    open
}

/// Each instant of a stretch.
pub(super) fn instants_of<'a>(
    revision: &'a Revision,
    entry: &'a Entry,
    stretch: Stretch,
) -> impl Iterator<Item = Timestamp> + 'a {
    let ticks = revision.instants(entry);
    std::iter::successors(Some(stretch.first), move |&last| ticks.next(last))
        .take_while(move |&instant| instant <= stretch.last)
}

/// What becomes of a run that had not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on where it was.
    GoesOn {
        /// What goes out now may have gone out before.
        redelivered: bool,
    },
    /// It may have been sent, and must not be sent twice.
    GivenUp,
}

/// By how far it had come.
pub(super) fn fate(delivery: Delivery, progress: &Progress, redelivered: bool) -> Fate {
    match (progress.is_under_way, delivery) {
        (false, _) => Fate::GoesOn { redelivered },
        (true, Delivery::AtLeastOnce) => Fate::GoesOn { redelivered: true },
        (true, Delivery::AtMostOnce) => Fate::GivenUp,
    }
}

/// What becomes of a planned run that waited when the last process ended, and of which surely nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It is not late.
    OnTime,
    /// It is sent late.
    CaughtUp,
    /// The policy does not send it.
    Skipped,
    /// It is too old to be sent.
    Missed,
}

impl Unsent {
    /// By when it was to start: the same as [`super::misfire::decide`] does with an instant that was not handed out. Of several
    /// that wait, dispatch lets the newest stand for all.
    pub(super) fn of(policy: Misfire, due_at: Timestamp, now: Timestamp, grace: Duration, window: Duration) -> Self {
        if due_at >= now.minus(grace) {
            return Self::OnTime;
        }
        match policy {
            Misfire::Skip => Self::Skipped,
            Misfire::FireOnce | Misfire::FireAll if due_at <= now.minus(window) => Self::Missed,
            Misfire::FireOnce | Misfire::FireAll => Self::CaughtUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{EntryName, Identity, RecordKind, Request, Schedule, TargetUrl, Task, TimeZone};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + second)
    }

    /// Every ten seconds.
    fn revision() -> Revision {
        let request = Request::post(TargetUrl::parse("http://a/").unwrap());
        let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("@every 10s").unwrap(), request);
        Revision::new(Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry]), at(0))
    }

    fn outcome(first: i64, last: i64) -> Outcome {
        let count = u64::try_from((last - first) / 10 + 1).unwrap();
        Outcome { kind: RecordKind::Success, stretch: Stretch { first: at(first), last: at(last), count } }
    }

    fn reach(settled: i64, claimed: i64, paused: Option<i64>, now: i64) -> Reach {
        let (settled_through, claimed_through, now) = (at(settled), at(claimed), at(now));
        Reach { settled_through, claimed_through, paused_since: paused.map(at), now }
    }

    fn seconds(stretches: &[Stretch]) -> Vec<(i64, i64)> {
        let second = |instant: Timestamp| instant.secs() - at(0).secs();
        stretches.iter().map(|stretch| (second(stretch.first), second(stretch.last))).collect()
    }

    type Stretches = Vec<(i64, i64)>;

    fn standing(reach: Reach, outcomes: &[Outcome]) -> (Stretches, Stretches, Option<i64>) {
        let revision = revision();
        let Standing { uncertain, unrecorded, start } =
            Standing::of(&revision, &revision.task.entries[0], reach, outcomes);
        (seconds(&uncertain), seconds(&unrecorded), start.map(|start| start.secs() - at(0).secs()))
    }

    #[test]
    fn what_was_claimed_and_has_no_outcome_is_uncertain_and_what_was_not_claimed_is_still_to_come() {
        let outcomes = [outcome(10, 10), outcome(40, 50)];

        assert_eq!(standing(reach(0, 75, None, 100), &outcomes), (vec![(20, 30), (60, 70)], vec![], Some(80)));
    }

    #[test]
    fn what_is_not_claimed_and_older_than_an_outcome_was_not_recorded() {
        assert_eq!(standing(reach(0, 15, None, 100), &[outcome(40, 50)]), (vec![(10, 10)], vec![(20, 30)], Some(60)));
    }

    #[test]
    fn nothing_later_than_a_pause_is_uncertain() {
        assert_eq!(standing(reach(0, 75, Some(25), 100), &[outcome(10, 10)]), (vec![(20, 20)], vec![], Some(30)));
        let outcomes = [outcome(10, 20), outcome(30, 60)];
        assert_eq!(standing(reach(0, 75, Some(25), 100), &outcomes), (vec![], vec![], Some(70)));
        assert_eq!(standing(reach(40, 75, Some(25), 100), &[]), (vec![], vec![], Some(50)));
    }

    #[test]
    fn an_outcome_in_the_future_means_that_the_clock_was_stepped_back() {
        assert_eq!(standing(reach(0, 75, None, 5), &[outcome(40, 40)]), (vec![(10, 30)], vec![], Some(50)));
    }

    #[test]
    fn a_request_under_way_is_sent_again_unless_that_is_forbidden() {
        let (under_way, backing_off) =
            (Progress { is_under_way: true, ..Progress::default() }, Progress { phase: 3, ..Progress::default() });

        let sent_again = Fate::GoesOn { redelivered: true };
        assert_eq!(fate(Delivery::AtLeastOnce, &under_way, false), sent_again);
        assert_eq!(fate(Delivery::AtMostOnce, &under_way, false), Fate::GivenUp);
        for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
            assert_eq!(fate(delivery, &backing_off, false), Fate::GoesOn { redelivered: false });
            assert_eq!(fate(delivery, &backing_off, true), sent_again);
        }
    }

    #[test]
    fn a_run_that_waited_goes_by_how_late_it_is_and_by_its_misfire_policy() {
        let of = |policy, due_at: i64| {
            Unsent::of(policy, at(due_at), at(1_000), Duration::from_secs(30), Duration::from_secs(600))
        };

        for policy in Misfire::ALL {
            assert_eq!((of(policy, 970), of(policy, 1_200)), (Unsent::OnTime, Unsent::OnTime));
        }
        assert_eq!([0, 400, 401, 969].map(|due_at| of(Misfire::Skip, due_at)), [Unsent::Skipped; 4]);
        for policy in [Misfire::FireOnce, Misfire::FireAll] {
            let decided = [0, 400, 401, 969].map(|due_at| of(policy, due_at));
            assert_eq!(decided, [Unsent::Missed, Unsent::Missed, Unsent::CaughtUp, Unsent::CaughtUp]);
        }
    }

    #[test]
    fn what_a_pause_kept_from_firing_is_not_sent_once_it_is_lifted() {
        let revision = revision();
        let entry = &revision.task.entries[0];
        let of = |claimed: i64, lulls: &[(i64, i64, i64)]| {
            let mut standing = Standing::of(&revision, entry, reach(0, claimed, None, 200), &[]);
            let lull = |&(since, known_since, until)| Lull {
                since: at(since),
                known_since: at(known_since),
                until: at(until),
            };
            let lulls: Vec<Lull> = lulls.iter().map(lull).collect();
            let lulled = standing.take_lulled(&revision, entry, &lulls);
            let kept: Vec<Stretch> = lulled.kept.iter().map(|(_, kept)| *kept).collect();
            let start = standing.start.map(|start| start.secs() - at(0).secs());
            (seconds(&standing.uncertain), seconds(&lulled.uncertain), seconds(&kept), start)
        };

        assert_eq!(of(100, &[(25, 45, 75)]), (vec![(10, 20), (80, 100)], vec![(30, 40)], vec![(50, 70)], Some(110)));
        assert_eq!(of(55, &[(25, 25, 75)]), (vec![(10, 20)], vec![], vec![(30, 50), (60, 70)], Some(80)));
        assert_eq!(of(25, &[(35, 35, 75)]), (vec![(10, 20)], vec![], vec![], Some(30)), "nobody acted before it");
        let two = of(100, &[(15, 25, 45), (35, 35, 65)]);
        assert_eq!(two, (vec![(10, 10), (70, 100)], vec![(20, 20)], vec![(30, 40), (50, 60)], Some(110)));
        assert_eq!(of(100, &[(25, 90, 55)]), (vec![(10, 20), (60, 100)], vec![(30, 50)], vec![], Some(110)));
    }

    proptest! {
        #[test]
        fn each_instant_is_settled_uncertain_unrecorded_or_still_to_come(
            settled in 0..20_i64, claimed in 0..40_i64, paused in prop::option::of(0..40_i64), now in 0..60_i64,
            covered in prop::collection::vec(0..3_i64, 0..10),
        ) {
            let (mut outcomes, mut tick) = (Vec::new(), settled);
            for length in covered {
                outcomes.push(outcome(tick * 10 + 10, (tick + length) * 10 + 10));
                tick += length + 2;
            }
            let revision = revision();
            let entry = &revision.task.entries[0];
            let paused = paused.map(|tick| tick * 10 + 5);
            let reach = reach(settled * 10, settled * 10 + claimed * 10 + 5, paused, now * 10 + 3);
            let standing = Standing::of(&revision, entry, reach, &outcomes);

            let end = at(100_000);
            for instant in instants_of(&revision, entry, Stretch { first: at(settled * 10 + 10), last: end, count: 0 }) {
                let holds = |stretches: &[Stretch]| stretches.iter().any(|it| it.first <= instant && instant <= it.last);
                let is_settled = outcomes.iter().any(|it| it.stretch.first <= instant && instant <= it.stretch.last);
                let is_to_come = standing.start.is_some_and(|start| start <= instant);
                let places = [is_settled, holds(&standing.uncertain), holds(&standing.unrecorded), is_to_come];
                prop_assert_eq!(places.iter().filter(|it| **it).count(), 1, "{:?} {:?}", instant, standing);
                let may_have_gone = instant <= reach.claimed_through && reach.paused_since.is_none_or(|since| instant <= since);
                prop_assert!(may_have_gone || !holds(&standing.uncertain));
            }
            let named = |stretches: &[Stretch]| stretches.iter().all(|it| instants_of(&revision, entry, *it).count() as u64 == it.count);
            prop_assert!(named(&standing.uncertain) && named(&standing.unrecorded));
        }
    }
}
