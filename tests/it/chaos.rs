//! The judge of `scripts/chaos`: what it calls missing, doubled, stale and silent.

#[path = "../../benches/chaos/judge/mod.rs"]
mod judge;

use std::collections::HashSet;

use self::judge::{
    Answers, Arrival, Delivery, Evidence, Figures, Finding, Goals, Hit, Outcome, Promise, Row, Task, Times, Word,
    judge, table,
};

/// One scene of twenty seconds: a task for each of two nodes fires each second, the fault lasts from the fifth to the tenth.
struct Played {
    tasks: Vec<Task>,
    arrivals: Vec<Arrival>,
    outcomes: Vec<Outcome>,
    redelivered: HashSet<String>,
    hit: Hit,
    is_recovered: bool,
}

const TIMES: Times = Times { begin: 0, fault: 5_500, relief: 10_500, end: 20_500 };
/// On its way from instant to arrival.
const WAY: i64 = 4;

fn task(identity: &str, shard: usize, delivery: Delivery) -> Task {
    let identity = identity.to_owned();
    Task { identity, shard, every_s: 1, delivery, owed_from: -1, owed_until: i64::MAX, deleted_at: None }
}

fn arrival(task: usize, instant: i64, at: i64, node: usize) -> Arrival {
    Arrival { at, task, instant, run: format!("{task}/{instant}"), node }
}

fn outcome(task: usize, first: i64, last: i64, word: Word) -> Outcome {
    Outcome { task, first, last, word }
}

impl Played {
    /// Nothing goes wrong: task 0 is fired by node 0, task 1 by node 1.
    fn well() -> Self {
        let tasks = vec![task("zero", 0, Delivery::AtLeastOnce), task("one", 1, Delivery::AtMostOnce)];
        let instants = || (1..=20).map(|second| second * 1_000);
        let arrivals = instants().flat_map(|instant| [0, 1].map(|task| arrival(task, instant, instant + WAY, task)));
        let outcomes =
            instants().flat_map(|instant| [0, 1].map(|task| outcome(task, instant, instant, Word::Success))).collect();
        let (redelivered, hit) = (HashSet::new(), Hit::Node(0));
        Self { arrivals: arrivals.collect(), tasks, outcomes, redelivered, hit, is_recovered: true }
    }

    /// The other node takes over and catches up what came between the fault and this moment.
    fn taken_over_at(mut self, at: i64) -> Self {
        for arrival in self.arrivals.iter_mut().filter(|arrival| arrival.task == 0) {
            if (TIMES.fault..TIMES.relief).contains(&arrival.instant) {
                arrival.at = arrival.at.max(at);
                arrival.node = 1;
            }
        }
        self.sorted()
    }

    fn sorted(mut self) -> Self {
        self.arrivals.sort_by_key(|arrival| arrival.at);
        self
    }

    fn and(mut self, more: Arrival) -> Self {
        self.arrivals.push(more);
        self.sorted()
    }

    fn judged(&self) -> Finding {
        judge(&Evidence {
            times: TIMES,
            hit: self.hit,
            counts_from_relief: false,
            is_recovered: self.is_recovered,
            tasks: &self.tasks,
            arrivals: &self.arrivals,
            outcomes: &self.outcomes,
            redelivered: &self.redelivered,
        })
    }

    fn broken(&self) -> Vec<(Promise, String, i64)> {
        let breaches = self.judged().breaches.into_iter();
        breaches.map(|breach| (breach.promise, breach.identity, breach.instant)).collect()
    }

    fn figures(&self) -> Figures {
        self.judged().figures
    }

    fn without_request(mut self, task: usize, instant: i64) -> Self {
        self.arrivals.retain(|arrival| (arrival.task, arrival.instant) != (task, instant));
        self
    }

    fn with_word(mut self, task: usize, instant: i64, word: Option<Word>) -> Self {
        self.outcomes.retain(|outcome| (outcome.task, outcome.first) != (task, instant));
        self.outcomes.extend(word.map(|word| outcome(task, instant, instant, word)));
        self
    }
}

fn breach(promise: Promise, identity: &str, instant: i64) -> Vec<(Promise, String, i64)> {
    vec![(promise, identity.to_owned(), instant)]
}

#[test]
fn a_scene_in_which_all_goes_well_breaks_nothing() {
    let played = Played::well();

    assert_eq!(played.broken(), []);
    let figures = played.figures();
    assert_eq!((figures.owed, figures.fired, figures.resent, figures.unsent), (40, 40, 0, 0));
    assert_eq!((figures.silence, figures.lateness.max, figures.caught_up), (WAY, WAY, None));
}

#[test]
fn an_instant_without_a_request_is_missing_unless_its_record_says_why() {
    let lost = || Played::well().without_request(0, 7_000);
    let missing = breach(Promise::NoneMissing, "zero", 7_000);

    assert_eq!(lost().broken(), missing, "its record says that it was sent");
    assert_eq!(lost().with_word(0, 7_000, None).broken(), missing);
    assert_eq!(lost().with_word(0, 7_000, Some(Word::Open)).broken(), missing);
    assert_eq!(lost().with_word(0, 7_000, Some(Word::Missing)).broken(), missing);
    let told = lost().with_word(0, 7_000, Some(Word::Told));
    assert_eq!((told.broken(), told.figures().unsent), (vec![], 1));
}

#[test]
fn an_instant_whose_request_came_needs_a_record_all_the_same() {
    let played = Played::well().with_word(1, 8_000, None);

    assert_eq!(played.broken(), breach(Promise::NoneMissing, "one", 8_000));
}

#[test]
fn a_stretch_tells_of_all_its_instants() {
    let mut played = Played::well();
    for instant in [7_000, 8_000, 9_000] {
        played = played.without_request(0, instant).with_word(0, instant, None);
    }
    played.outcomes.push(outcome(0, 7_000, 9_000, Word::Told));

    assert_eq!((played.broken(), played.figures().unsent), (vec![], 3));
}

#[test]
fn a_second_request_is_doubled_unless_at_least_once_says_that_it_was_sent_again() {
    let again = |task| Played::well().and(arrival(task, 6_000, 9_500, 1));
    let mut marked = [again(0), again(1)];
    for (task, played) in marked.iter_mut().enumerate() {
        played.redelivered.insert(format!("{task}/6000"));
    }

    assert_eq!(again(0).broken(), breach(Promise::AllMarked, "zero", 6_000));
    assert_eq!((marked[0].broken(), marked[0].figures().resent), (vec![], 1));
    assert_eq!(marked[1].broken(), breach(Promise::NoneDoubled, "one", 6_000), "at_most_once");
}

#[test]
fn a_second_request_with_another_key_is_doubled_also_when_it_is_marked() {
    let mut played = Played::well().and(Arrival { run: "other".to_owned(), ..arrival(0, 6_000, 9_500, 1) });
    played.redelivered = HashSet::from(["other".to_owned(), "0/6000".to_owned()]);

    assert_eq!(played.broken(), breach(Promise::NoneDoubled, "zero", 6_000));
}

#[test]
fn a_second_outcome_is_doubled() {
    let played = Played::well().with_word(0, 6_000, Some(Word::Doubled));

    assert_eq!(played.broken(), breach(Promise::NoneDoubled, "zero", 6_000));
}

#[test]
fn what_was_doubled_in_an_earlier_scene_is_not_told_again() {
    let mut played = Played::well();
    for at in [-3_000, -2_000] {
        played = played.and(arrival(1, -4_000, at, 1));
    }

    assert_eq!(played.broken(), []);
}

#[test]
fn a_node_that_sends_after_another_has_taken_over_is_stale() {
    let taken_over = || Played::well().taken_over_at(8_200);

    assert_eq!(taken_over().broken(), [], "and it has its shard back after the fault");
    let between = taken_over().and(Arrival { run: "0/9000".to_owned(), ..arrival(0, 9_000, 8_900, 0) });
    assert!(between.broken().contains(&breach(Promise::NoneStale, "zero", 9_000)[0]), "{:?}", between.broken());
    let woken = taken_over().and(arrival(0, 6_000, 10_510, 0));
    assert!(woken.broken().contains(&breach(Promise::NoneStale, "zero", 6_000)[0]), "{:?}", woken.broken());
}

#[test]
fn a_shard_that_came_back_and_went_away_again_was_not_stale_meanwhile() {
    let mut played = Played::well().taken_over_at(8_200);
    for arrival in played.arrivals.iter_mut().filter(|arrival| arrival.task == 0 && arrival.instant > 16_000) {
        arrival.node = 1;
    }

    assert_eq!(played.broken(), []);
}

#[test]
fn a_breach_says_which_node_did_what_and_when() {
    let finding = Played::well().taken_over_at(8_200).and(arrival(0, 6_000, 10_510, 0)).judged();

    let stale = finding.breaches.iter().find(|breach| breach.promise == Promise::NoneStale).unwrap();
    assert_eq!(stale.what, "node 1 sent it at 10510; node 2 acts for shard 0 since 8200");
    let again = finding.breaches.iter().find(|breach| breach.promise == Promise::AllMarked).unwrap();
    assert!(again.what.starts_with("2 requests (node 2 at 8200, node 1 at 10510)"), "{}", again.what);
}

#[test]
fn what_was_on_the_wire_before_another_took_over_is_not_stale() {
    let mut played = Played::well().taken_over_at(8_200);
    let first = played.arrivals.iter_mut().find(|arrival| (arrival.task, arrival.instant) == (0, 6_000)).unwrap();
    (first.at, first.node) = (8_100, 0);

    assert_eq!(played.sorted().broken(), []);
}

#[test]
fn a_fire_after_the_delete_was_answered_breaks_the_promise_one_on_its_way_does_not() {
    let deleted = |at| {
        let mut played = Played::well();
        played.tasks[0].owed_until = at - 20;
        played.tasks[0].deleted_at = Some(at);
        played.arrivals.retain(|arrival| arrival.task == 1 || arrival.instant < at);
        played
    };

    assert_eq!(deleted(12_002).broken(), []);
    assert_eq!(
        deleted(12_500).and(arrival(0, 13_000, 13_004, 0)).broken(),
        breach(Promise::NoneDeleted, "zero", 13_000)
    );
    let late = deleted(12_500).without_request(0, 12_000).and(arrival(0, 12_000, 13_600, 0));
    assert_eq!(late.broken(), breach(Promise::NoneDeleted, "zero", 12_000));
}

#[test]
fn what_no_trigger_names_is_told() {
    let odd = Played::well().and(arrival(0, 7_500, 7_504, 0));

    assert_eq!(odd.broken(), breach(Promise::NoneUnnamed, "zero", 7_500));
}

#[test]
fn a_task_owes_only_what_lies_between_its_put_and_its_delete() {
    let task = Task { every_s: 5, owed_from: 5_000, owed_until: 20_000, ..task("t", 0, Delivery::AtLeastOnce) };
    let never = Task { owed_from: i64::MAX, ..task.clone() };

    assert_eq!(task.instants(0, 60_000).collect::<Vec<_>>(), [10_000, 15_000]);
    assert_eq!(task.instants(10_000, 15_000).collect::<Vec<_>>(), Vec::<i64>::new());
    assert_eq!(never.instants(0, 60_000).count(), 0);
}

#[test]
fn silence_lasts_from_the_first_instant_that_is_due_until_the_shard_fires_again() {
    let played = Played::well().taken_over_at(8_200);

    let figures = played.figures();

    // Of the fault at 5.5 s nobody can see anything before the instant at 6 s.
    assert_eq!((figures.silence, figures.lateness.max), (2_200, 2_200));
    assert_eq!(figures.caught_up, Some(8_200 - TIMES.fault), "7 s came 1.2 s late");
}

#[test]
fn silence_of_shards_that_were_not_hit_does_not_count_unless_all_were() {
    let mut played = Played::well();
    for arrival in played.arrivals.iter_mut().filter(|arrival| arrival.task == 1 && arrival.instant == 12_000) {
        arrival.at = 12_900;
    }
    let played = played.sorted();

    assert_eq!(played.figures().silence, WAY);
    assert_eq!(Played { hit: Hit::All, ..played }.figures().silence, 900);
}

#[test]
fn what_was_late_before_the_fault_is_not_its_doing() {
    let mut played = Played::well();
    for arrival in played.arrivals.iter_mut().filter(|arrival| arrival.instant == 3_000) {
        arrival.at = 4_900;
    }

    let figures = played.sorted().figures();

    assert_eq!((figures.silence, figures.lateness.max, figures.caught_up), (WAY, WAY, None));
}

#[test]
fn what_is_told_as_unsent_makes_no_silence_and_what_never_came_does() {
    let lost = || Played::well().without_request(0, 7_000);

    assert_eq!(lost().with_word(0, 7_000, Some(Word::Told)).figures().silence, WAY);
    assert_eq!(lost().figures().silence, 1_000 + WAY, "from 7 s until the next arrival");
}

#[test]
fn a_cluster_that_does_not_recover_breaks_a_promise() {
    let played = Played { is_recovered: false, ..Played::well() };

    assert_eq!(played.broken(), breach(Promise::Recovery, "", TIMES.relief));
}

#[test]
fn the_table_shows_what_was_broken_and_which_goal_was_not_reached() {
    let goals = Goals { silence: Some(1_500), caught_up: Some(10_000), lateness_p99: None };
    let row = |scene: &str, played: &Played| {
        let answers = Answers { ok: 3, refused: 1, failed: 0, slowest: 1_234 };
        Row { scene: scene.to_owned(), goals, answers, finding: played.judged() }
    };
    let rows = [
        row("kill", &Played::well()),
        row("pause", &Played::well().taken_over_at(8_200)),
        row("cut", &Played::well().without_request(0, 7_000)),
    ];

    let table = table(&rows);

    let lines: Vec<&str> = table.lines().collect();
    let of_kill =
        "| kill | 40 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 4 ms (≤ 1.5 s) | – | 4 ms / 4 ms / 4 ms | 3 / 1 / 0, 1.2 s | kept |";
    assert_eq!(lines[2], of_kill);
    assert!(lines[3].contains("| 2.2 s (≤ 1.5 s) | 2.7 s (≤ 10.0 s) |"), "{}", lines[3]);
    assert!(lines[3].ends_with("| kept; goal not reached: silence |"), "{}", lines[3]);
    assert!(lines[4].contains("| **1** |") && lines[4].ends_with("| **broken: missing** |"), "{}", lines[4]);
    assert_eq!(rows.map(|row| row.is_kept()), [true, true, false]);
}
