//! Whether this node may act for a shard at this very moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::Shard;

/// The end of a tenure that has none.
const ENDLESS: u64 = u64::MAX;
/// How often is looked whether a sign of life was taken.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What this node may act for, and until when. Cheap to clone; asked right before each request and each change of a task.
#[derive(Clone, Debug)]
pub struct Tenure {
    held: Arc<Held>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Held {
    /// A bit for each shard.
    shards: AtomicU64,
    /// How often each shard was opened: what was begun in one term is not gone on with in the next.
    terms: [AtomicU64; Shard::COUNT],
    /// In microseconds of [`Clock::elapsed`].
    until: AtomicU64,
}

impl Tenure {
    /// Of a node that shares its store with nobody: it owns everything, without end.
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, u64::MAX, ENDLESS)
    }

    /// Of a node that has to ask the others: it owns nothing yet.
    pub fn shared(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, 0, 0)
    }

    fn new(clock: Arc<dyn Clock>, shards: u64, until: u64) -> Self {
        let terms = std::array::from_fn(|_| AtomicU64::new(0));
        let held = Held { shards: AtomicU64::new(shards), terms, until: AtomicU64::new(until) };
        Self { held: Arc::new(held), clock }
    }

    /// The term in which this node has a shard, or had it last.
    pub fn term(&self, shard: Shard) -> u64 {
        self.held.terms[shard.index()].load(Ordering::Acquire)
    }

    /// Whether this node may act for a shard now.
    pub fn holds(&self, shard: Shard) -> bool {
        self.owns(shard) && self.is_valid()
    }

    /// Whether this node owns a shard, as far as it knows: the others may have taken it out meanwhile.
    pub fn owns(&self, shard: Shard) -> bool {
        self.held.shards.load(Ordering::Acquire) & (1 << shard.index()) != 0
    }

    /// Whether this node may go on with what it began in a term. Where only a sign of life is missing it waits for it: until then
    /// nobody may act. A shard that was lost and came back is of another term: someone else had it meanwhile.
    pub async fn may_act(&self, shard: Shard, term: u64) -> bool {
        while !self.holds(shard) {
            if self.is_over(shard, term) {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        !self.is_over(shard, term)
    }

    /// Whether a term has ended.
    pub fn is_over(&self, shard: Shard, term: u64) -> bool {
        !self.owns(shard) || self.term(shard) != term
    }

    /// Whether the others still count on this node.
    pub fn is_valid(&self) -> bool {
        let until = self.held.until.load(Ordering::Acquire);
        until == ENDLESS || micros(self.clock.elapsed()) < until
    }

    /// How long this node may still act without another sign of life.
    pub fn left(&self) -> Duration {
        let until = self.held.until.load(Ordering::Acquire);
        Duration::from_micros(until.saturating_sub(micros(self.clock.elapsed())))
    }

    /// A sign of life was taken.
    pub(crate) fn extend(&self, until: Duration) {
        self.held.until.fetch_max(micros(until), Ordering::AcqRel);
    }

    pub(crate) fn open(&self, shard: Shard) {
        self.held.terms[shard.index()].fetch_add(1, Ordering::AcqRel);
        self.held.shards.fetch_or(1 << shard.index(), Ordering::AcqRel);
    }

    pub(crate) fn close(&self, shard: Shard) {
        self.held.shards.fetch_and(!(1 << shard.index()), Ordering::AcqRel);
    }

    /// This life is over: nothing is held until the next one gets something.
    pub(crate) fn end(&self) {
        self.held.shards.store(0, Ordering::Release);
        self.held.until.store(0, Ordering::Release);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;
    use crate::model::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn a_node_acts_for_what_it_holds_until_its_time_is_over() {
        let tenure = Tenure::shared(Arc::new(SimClock::starting_at(Timestamp::EPOCH)));
        let [one, other] = [1, 2].map(Shard::at);
        tenure.open(one);
        assert!(!tenure.holds(one));

        tenure.extend(Duration::from_secs(2));
        assert_eq!((tenure.holds(one), tenure.holds(other)), (true, false));
        tokio::time::advance(Duration::from_millis(1_999)).await;
        assert!(tenure.holds(one) && tenure.left() == Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!tenure.holds(one) && tenure.left().is_zero());

        tenure.extend(Duration::from_secs(5));
        assert!(tenure.holds(one));
        tenure.close(one);
        assert!(!tenure.holds(one) && tenure.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_to_act_waits_for_a_sign_of_life_and_gives_up_when_the_shard_is_gone() {
        let tenure = Tenure::shared(Arc::new(SimClock::starting_at(Timestamp::EPOCH)));
        let [one, other] = [1, 2].map(Shard::at);
        tenure.open(one);
        assert!(!tenure.may_act(other, 0).await);

        let waiting = tokio::spawn({
            let tenure = tenure.clone();
            async move { tenure.may_act(one, 1).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        tenure.extend(Duration::from_secs(2));
        assert!(waiting.await.unwrap());

        tokio::time::sleep(Duration::from_secs(2)).await;
        let waiting = tokio::spawn({
            let tenure = tenure.clone();
            async move { tenure.may_act(one, 1).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Between two looks it is lost, and comes back.
        tenure.end();
        tenure.open(one);
        tenure.extend(Duration::from_secs(9));
        assert!(!waiting.await.unwrap());
        assert!(tenure.may_act(one, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_holds_everything_for_ever() {
        let tenure = Tenure::alone(Arc::new(SimClock::starting_at(Timestamp::EPOCH)));

        tokio::time::advance(Duration::from_secs(1_000_000_000)).await;
        assert!(Shard::all().all(|shard| tenure.holds(shard)));
    }
}
