//! The loop of a keeper: gives signs of life, has taken what is dealt to this node, and has given away what is not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh64::xxh64;

use super::handing::Stop;
use super::holder::Holder;
use super::holding::{Duty, Hold, Holding};
use super::keeper::Word;
use super::lingering::Lingering;
use super::membership::{Member, MemberId, Membership, MembershipError};
use super::rules::{self, Observer, Standing};
use super::tenure::Tenure;
use super::view::View;
use crate::clock::Clock;
use crate::model::ShardSet;
use crate::observe::with_causes;
use crate::store::{RegisterName, RegisterStore, Registered, StoreError};

/// How long a member whose write met another's waits at most before it tries again.
const AGAIN_AFTER_MAX_MS: u64 = 50;

pub(super) struct Keeping {
    pub(super) me: Member,
    pub(super) has_tried: bool,
    pub(super) observer: Observer,
    pub(super) holding: Holding,
    pub(super) lingering: Lingering,
    /// Who waits until it has left.
    pub(super) left: Option<oneshot::Sender<()>>,
    /// What was said of the store, so that it is said once.
    pub(super) told: String,
    pub(super) work: JoinSet<()>,
    /// The newest look at what is paused.
    pub(super) pauses_look: Option<AbortHandle>,
    pub(super) words: mpsc::Sender<Word>,
    pub(super) shown: watch::Sender<Arc<View>>,
    pub(super) store: Arc<dyn RegisterStore>,
    pub(super) holder: Arc<dyn Holder>,
    pub(super) tenure: Tenure,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ttl: Duration,
}

/// How a turn went.
enum Turn {
    /// The sign of life was taken.
    Taken,
    /// Another member wrote at the same time.
    Met,
    TakenOut,
    Left,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Document(#[from] MembershipError),
    #[error("the store gave no answer within {} ms", .0.as_millis())]
    Silent(Duration),
}

impl Keeping {
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Word>) {
        loop {
            let pause = match self.turn().await {
                Ok(Turn::Taken) => {
                    self.tell_well();
                    rules::interval(self.ttl)
                }
                Ok(Turn::Met) => self.short_pause(),
                Ok(Turn::TakenOut) => {
                    self.begin_anew().await;
                    continue;
                }
                Ok(Turn::Left) => break,
                Err(error) => {
                    self.tell_trouble(&error);
                    rules::interval(self.ttl)
                }
            };
            self.wait(pause, &mut inbox).await;
        }
        self.tenure.end();
        if let Some(left) = self.left.take() {
            // Whoever asked may have gone.
            let _ = left.send(());
        }
    }

    /// Waits for the next turn, or for a word that asks for one now.
    async fn wait(&mut self, pause: Duration, inbox: &mut mpsc::Receiver<Word>) {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                Some(word) = inbox.recv() => {
                    let mut asks = self.hear(word);
                    // More may wait behind it, of other shards.
                    while let Ok(word) = inbox.try_recv() {
                        asks |= self.hear(word);
                    }
                    if asks {
                        return;
                    }
                }
            }
        }
    }

    /// Whether it asks for a turn.
    fn hear(&mut self, word: Word) -> bool {
        match word {
            Word::Look => true,
            Word::Drain(is_drained) => {
                self.me.is_leaving = is_drained || self.left.is_some();
                true
            }
            Word::Leave(done) => {
                self.me.is_leaving = true;
                self.left = Some(done);
                true
            }
            Word::Taken(life, shards) => {
                if life == self.me.id {
                    shards.iter().for_each(|shard| {
                        self.holding.taken(shard);
                    });
                    info!(shards = shards.len(); "this node acts for shards that it took");
                    self.show(None);
                }
                false
            }
            // The others wait for it.
            Word::Pauses(version) => std::mem::replace(&mut self.me.pauses, version) != version,
            Word::Stopped(life, Stop { number, shards, lingers }) => {
                let of_this_life = shards.iter().filter(|_| life == self.me.id);
                let stopped: ShardSet = of_this_life.filter(|shard| self.holding.stopped(*shard)).collect();
                stopped.iter().for_each(|shard| self.tenure.close(shard));
                // The write that gives them away says so.
                self.lingering.stopped(number, stopped & lingers);
                self.show(None);
                true
            }
            Word::Ended(life, stop, shards) => life == self.me.id && self.lingering.ended(stop, shards),
            Word::Looked(life, over) => {
                if life == self.me.id {
                    self.lingering.looked(over);
                }
                false
            }
        }
    }

    async fn turn(&mut self) -> Result<Turn, TurnError> {
        let now = self.read().await?;
        let seen_at = self.clock.elapsed();
        self.observer.look(&now, seen_at);
        let silent = self.observer.silent(seen_at, self.ttl);
        let goes = self.left.is_some() && self.holding.is_empty() && self.lingering.own().is_empty();
        let next = if goes { Ok(rules::without(&now, self.me.id)) } else { self.next(&now, &silent) };
        let Ok(next) = next else { return Ok(Turn::TakenOut) };
        // Before it is written: whatever is answered, from now on it may stand there.
        self.has_tried = true;
        let begun = self.clock.elapsed();
        if !self.write(&next).await? {
            return Ok(Turn::Met);
        }
        if goes {
            return Ok(Turn::Left);
        }
        self.tell_silent(&now, &next, seen_at);
        self.tenure.extend(rules::deadline(begun, self.ttl));
        self.follow(&next);
        self.show(Some(next));
        self.look_at_pauses();
        Ok(Turn::Taken)
    }

    /// Shows how things stand, and what was written.
    fn show(&self, written: Option<Membership>) {
        let acting = self.holding.at(Hold::Acting).collect();
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.shown.send_modify(|view| {
            let view = Arc::make_mut(view);
            view.note(self.me.id, acting);
            if let Some(membership) = written {
                view.follow(membership, now, elapsed);
            }
        });
    }

    /// Apart: a sign of life does not wait for it. What it finds is written with the next one, at once. Not before the others have
    /// taken a sign of life: whoever was taken out must not record anything of what it had.
    fn look_at_pauses(&mut self) {
        if self.pauses_look.as_ref().is_some_and(|look| !look.is_finished()) {
            return;
        }
        let (holder, words, patience) = (self.holder.clone(), self.words.clone(), self.ttl);
        self.pauses_look = Some(self.work.spawn(async move {
            // Otherwise the next turn looks again: until then this node stands there with the version before.
            if let Ok(Ok(version)) = timeout(patience, holder.follow_pauses()).await {
                // The keeper may have ended.
                let _ = words.send(Word::Pauses(version)).await;
            }
        }));
    }

    fn next(&self, now: &Membership, silent: &BTreeSet<MemberId>) -> Result<Membership, rules::TakenOut> {
        let me = Member { clock: self.clock.now().millis(), lingers: self.lingering.own(), ..self.me.clone() };
        let stopped = self.holding.at(Hold::Stopped).collect();
        rules::next(now, &Standing { me: &me, has_tried: self.has_tried, silent, stopped })
    }

    async fn read(&self) -> Result<Membership, TurnError> {
        let patience = self.ttl;
        let read = timeout(patience, self.store.register(RegisterName::Cluster))
            .await
            .map_err(|_| TurnError::Silent(patience))??;
        Ok(match read {
            Some(Registered { version, text }) => Membership::read(version, &text)?,
            None => Membership::default(),
        })
    }

    async fn write(&self, next: &Membership) -> Result<bool, TurnError> {
        let patience = self.ttl;
        let registered = Registered { version: next.version, text: next.write() };
        let written = timeout(patience, self.store.set_register(RegisterName::Cluster, &registered)).await;
        Ok(written.map_err(|_| TurnError::Silent(patience))??)
    }

    fn follow(&mut self, written: &Membership) {
        let (mut take, mut stop) = (ShardSet::EMPTY, ShardSet::EMPTY);
        for duty in self.holding.follow(written, self.me.id) {
            match duty {
                Duty::Take(shard) => {
                    // Nothing acts for it before it is loaded, and then at once.
                    self.tenure.open(shard);
                    take.insert(shard);
                }
                Duty::Stop(shard) => {
                    stop.insert(shard);
                }
            }
        }
        if !take.is_empty() {
            self.take(take, written);
        }
        if !stop.is_empty() {
            let comes_after = written.members().iter().any(|member| member.id != self.me.id && !member.is_leaving);
            self.give_away(stop, comes_after);
        }
        self.look_at_lingering(written);
        while self.work.try_join_next().is_some() {}
    }

    /// The others have taken this node out: it ends what it does, and joins as another one.
    async fn begin_anew(&mut self) {
        self.tenure.end();
        self.work.abort_all();
        while self.work.join_next().await.is_some() {}
        if !self.holding.is_empty() {
            warn!("the others took this node out, as it gave no sign of life: it ends what it does and joins anew");
        }
        self.holder.lose().await;
        self.me = Member { id: MemberId::random(), ..self.me.clone() };
        self.has_tried = false;
        self.observer = Observer::default();
        self.holding = Holding::default();
        self.lingering = Lingering::default();
    }

    /// Of two who met, not both try again at the same moment.
    fn short_pause(&self) -> Duration {
        let dice =
            xxh64(self.me.id.to_string().as_bytes(), u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(0));
        Duration::from_millis(1 + dice % AGAIN_AFTER_MAX_MS)
    }

    fn tell_silent(&self, before: &Membership, after: &Membership, seen_at: Duration) {
        let gone = before.members().iter().filter(|member| after.member(member.id).is_none());
        for member in gone.filter(|member| member.home != self.me.home) {
            let silence = self.observer.silence(member.id, seen_at).unwrap_or_default();
            warn!(node = &*member.url, silent_ms = silence.as_millis(); "a node gives no sign of life, it is taken out");
        }
    }

    fn tell_trouble(&mut self, error: &TurnError) {
        let text = with_causes(error);
        if text != self.told {
            let left_ms = self.tenure.left().as_millis();
            warn!(left_ms; "no sign of life could be given, after this time nothing is fired: {text}");
            self.told = text;
        }
    }

    fn tell_well(&mut self) {
        if !self.told.is_empty() {
            info!("signs of life are taken again");
            self.told.clear();
        }
    }
}
