//! What goes on over one connection, and when it has to end. The rules take the time as an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long who has connected is safe from giving way before the first request: it is on its way.
const UNASKED_GIVES_WAY_AFTER: Duration = Duration::from_secs(1);
/// How long an answer that nobody takes is safe from giving way: who reads slowly takes something sooner.
const UNTAKEN_GIVES_WAY_AFTER: Duration = Duration::from_secs(5);

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// For the head of a request, with the handshake before the first one.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// For the next piece of an answer.
    pub(super) write: Duration,
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing until then.
    LookAgain(Instant),
    /// End it politely: nothing is under way.
    Close,
    /// Drop it: the client does not do its part.
    Cut(&'static str),
}

/// What goes on over one connection. Clones are the same.
#[derive(Clone)]
pub(super) struct Activity {
    state: Arc<Mutex<State>>,
    called: Arc<Notify>,
}

struct State {
    patience: Patience,
    /// Requests whose answers are not given whole.
    under_way: usize,
    has_asked: bool,
    /// Since when nothing is under way.
    quiet_since: Instant,
    /// When something came first since then.
    head_since: Option<Instant>,
    /// Since when the system takes no more bytes to send.
    blocked_since: Option<Instant>,
    /// Answers of which a piece is given and the next one is not asked for yet, with when it was given.
    untaken: HashMap<u64, Instant>,
    answers: u64,
    /// Its place is needed for another connection.
    gives_way: bool,
}

impl Activity {
    /// Of a connection that was accepted then.
    pub(super) fn new(patience: Patience, accepted_at: Instant) -> Self {
        let state = State {
            patience,
            under_way: 0,
            has_asked: false,
            quiet_since: accepted_at,
            head_since: None,
            blocked_since: None,
            untaken: HashMap::new(),
            answers: 0,
            gives_way: false,
        };
        Self { state: Arc::new(Mutex::new(state)), called: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come.
    pub(super) fn note_read(&self, now: Instant) {
        let mut state = self.state();
        if state.under_way == 0 {
            state.head_since.get_or_insert(now);
        }
    }

    /// The system takes no more bytes to send.
    pub(super) fn note_blocked(&self, now: Instant) {
        self.state().blocked_since.get_or_insert(now);
    }

    /// It has taken some.
    pub(super) fn note_written(&self) {
        self.state().blocked_since = None;
    }

    /// A request has come whole, up to its body.
    pub(super) fn begin(&self) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.has_asked = true;
        state.head_since = None;
        state.answers += 1;
        UnderWay { activity: self.clone(), number: state.answers }
    }

    /// Since when it waits for its client and may give way to another connection; `None`: something is going on, or it gives way
    /// already.
    pub(super) fn may_give_way(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        if state.gives_way { None } else { state.waits_since(now) }
    }

    /// It was asked to give way, and is about to end.
    pub(super) fn is_leaving(&self, now: Instant) -> bool {
        let state = self.state();
        state.gives_way && state.waits_since(now).is_some()
    }

    /// Its place is needed: it ends as soon as it waits for its client.
    pub(super) fn give_way(&self) {
        self.state().gives_way = true;
        self.called.notify_one();
    }

    /// Waits until its place is needed.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }

    /// What to do now.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        self.state().verdict(now)
    }
}

impl State {
    /// Since when a part of an answer is not taken.
    fn untaken_since(&self) -> Option<Instant> {
        self.untaken.values().copied().chain(self.blocked_since).min()
    }

    fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.blocked_since.is_none()
    }

    fn waits_since(&self, now: Instant) -> Option<Instant> {
        match (self.is_quiet(), self.has_asked) {
            (true, true) => Some(self.quiet_since),
            (true, false) => Some(self.quiet_since).filter(|since| *since + UNASKED_GIVES_WAY_AFTER <= now),
            (false, _) => self.untaken_since().filter(|since| *since + UNTAKEN_GIVES_WAY_AFTER <= now),
        }
    }

    fn verdict(&self, now: Instant) -> Verdict {
        let Patience { head, idle, write } = self.patience;
        if self.gives_way && self.waits_since(now).is_some() {
            return match self.is_quiet() && self.has_asked {
                true => Verdict::Close,
                false => Verdict::Cut("its place was needed"),
            };
        }
        let taken_until = self.untaken_since().map(|since| since + write);
        if taken_until.is_some_and(|until| until <= now) {
            return Verdict::Cut("nothing of the answer was taken for long");
        }
        let asked_until = self.is_quiet().then(|| match self.has_asked {
            false => self.quiet_since + head,
            true => {
                self.head_since.map_or(self.quiet_since + idle, |since| (self.quiet_since + idle).min(since + head))
            }
        });
        match asked_until.filter(|until| *until <= now) {
            // Whether it speaks HTTP at all is not known.
            Some(_) if !self.has_asked => Verdict::Cut("no request came"),
            Some(_) => Verdict::Close,
            // What begins after this moment ends no sooner than the shortest patience after it: nobody has to wake the one who looks.
            None => {
                let soonest = now + head.min(idle).min(write);
                Verdict::LookAgain([taken_until, asked_until].into_iter().flatten().fold(soonest, Instant::min))
            }
        }
    }
}

/// A request that is under way, until it is dropped.
pub(super) struct UnderWay {
    activity: Activity,
    number: u64,
}

impl UnderWay {
    /// A piece of its answer was given away.
    pub(super) fn note_given(&self, now: Instant) {
        self.activity.state().untaken.insert(self.number, now);
    }

    /// The next piece is asked for.
    pub(super) fn note_taken(&self) {
        self.activity.state().untaken.remove(&self.number);
    }

    fn end(&self, now: Instant) {
        let mut state = self.activity.state();
        state.untaken.remove(&self.number);
        state.under_way -= 1;
        if state.under_way == 0 {
            state.quiet_since = now;
            state.head_since = None;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.end(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> Patience {
        Patience { head: 10 * SECOND, idle: 60 * SECOND, write: 20 * SECOND }
    }

    fn seconds(verdict: Verdict, begin: Instant) -> u64 {
        let Verdict::LookAgain(at) = verdict else { panic!("{verdict:?}") };
        at.duration_since(begin).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_has_to_come_within_the_time_of_a_head_whatever_drips_in() {
        let (begin, activity) = (Instant::now(), Activity::new(patience(), Instant::now()));

        activity.note_read(begin + 9 * SECOND);

        assert_eq!(seconds(activity.verdict(begin + 9 * SECOND), begin), 10);
        assert_eq!(activity.verdict(begin + 10 * SECOND), Verdict::Cut("no request came"));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_client_may_be_idle_for_longer_and_a_head_that_has_begun_may_not() {
        let (begin, activity) = (Instant::now(), Activity::new(patience(), Instant::now()));
        drop(activity.begin());

        assert_eq!(seconds(activity.verdict(begin + 55 * SECOND), begin), 60);
        activity.note_read(begin + 30 * SECOND);
        activity.note_read(begin + 39 * SECOND);
        assert_eq!(seconds(activity.verdict(begin + 39 * SECOND), begin), 40);
        assert_eq!(activity.verdict(begin + 40 * SECOND), Verdict::Close);
        drop(activity.begin());
        assert_eq!(seconds(activity.verdict(begin + 55 * SECOND), begin), 60);
        assert_eq!(activity.verdict(begin + 60 * SECOND), Verdict::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_be_worked_on_for_ever_and_its_answer_has_to_be_taken() {
        let (begin, activity) = (Instant::now(), Activity::new(patience(), Instant::now()));
        let (one, other) = (activity.begin(), activity.begin());
        let after = |seconds: u32| begin + seconds * SECOND;

        assert_eq!(seconds(activity.verdict(after(1_000)), after(1_000)), 10);
        one.note_given(after(1_000));
        other.note_given(after(1_015));
        one.note_taken();
        assert_eq!(seconds(activity.verdict(after(1_034)), begin), 1_035);
        assert_eq!(activity.verdict(after(1_035)), Verdict::Cut("nothing of the answer was taken for long"));
        drop(other);
        assert_eq!(seconds(activity.verdict(after(1_035)), begin), 1_045);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_idle_while_the_end_of_an_answer_is_still_going_out() {
        let (begin, activity) = (Instant::now(), Activity::new(patience(), Instant::now()));
        drop(activity.begin());

        activity.note_blocked(begin + 59 * SECOND);
        assert_eq!(seconds(activity.verdict(begin + 70 * SECOND), begin), 79);
        assert!(matches!(activity.verdict(begin + 79 * SECOND), Verdict::Cut(_)));
        activity.note_written();
        assert_eq!(activity.verdict(begin + 79 * SECOND), Verdict::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn what_gives_way_ends_when_it_waits_for_its_client_and_not_while_it_is_worked_on() {
        let (begin, activity) = (Instant::now(), Activity::new(patience(), Instant::now()));
        let silent = Activity::new(patience(), begin);
        assert_eq!(silent.may_give_way(begin + SECOND / 2), None, "its request is on its way");
        assert_eq!(silent.may_give_way(begin + SECOND), Some(begin));
        let asked = activity.begin();
        assert_eq!(activity.may_give_way(begin + 100 * SECOND), None);

        activity.give_way();
        silent.give_way();

        silent.called().await;
        assert_eq!(silent.verdict(begin + SECOND), Verdict::Cut("its place was needed"));
        assert_eq!(silent.may_give_way(begin + SECOND), None, "it is called once");
        assert_eq!([&silent, &activity].map(|one| one.is_leaving(begin + SECOND)), [true, false]);
        assert!(matches!(activity.verdict(begin + SECOND), Verdict::LookAgain(_)));
        drop(asked);
        assert_eq!(activity.verdict(begin + SECOND), Verdict::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_gives_way_after_a_while() {
        let (begin, activity) = (Instant::now(), Activity::new(patience(), Instant::now()));
        let asked = activity.begin();
        asked.note_given(begin + SECOND);

        assert_eq!(activity.may_give_way(begin + 5 * SECOND), None);
        assert_eq!(activity.may_give_way(begin + 6 * SECOND), Some(begin + SECOND));
        activity.give_way();
        assert_eq!(activity.verdict(begin + 6 * SECOND), Verdict::Cut("its place was needed"));
        asked.note_taken();
        assert!(matches!(activity.verdict(begin + 6 * SECOND), Verdict::LookAgain(_)));
    }
}
