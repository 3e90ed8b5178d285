//! Carries out the rules: gives signs of life, has taken what is dealt to this node, and has given away what is not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::{error, info, warn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh64::xxh64;

use super::holding::{Duty, Hold, Holding};
use super::membership::{Member, MemberId, Membership, MembershipError};
use super::rules::{self, Observer, Standing};
use super::tenure::Tenure;
use super::view::View;
use crate::clock::Clock;
use crate::model::{Shard, ShardSet};
use crate::observe::with_causes;
use crate::store::{RegisterStore, Registered, StoreError};

/// How long a member whose write met another's waits at most before it tries again.
const AGAIN_AFTER_MAX_MS: u64 = 50;
/// How long a member waits before it loads again what it could not load.
const LOAD_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How many words may wait for the keeper. Each is of a shard, or of somebody who waits for the answer.
const WORDS_MAX: usize = 256;

/// What a node does when its shards change.
#[async_trait]
pub trait Holder: Send + Sync + 'static {
    /// Loads what belongs to these shards. When it returns, the node acts for them. An error: nothing was done.
    async fn take(&self, shards: ShardSet) -> Result<(), StoreError>;

    /// Ends to act for these shards. When it returns, all that the next owner has to know is durable.
    async fn stop(&self, shards: ShardSet);

    /// Ends to act for everything, at once: others may act for it already.
    async fn lose(&self);

    /// How many shards are stopped together, so that the next owner has loaded them before much of them is due.
    fn stops_at_once(&self) -> usize {
        Shard::COUNT
    }

    /// Looks what is paused, and brings into force what is new. Gives the version that is in force then.
    async fn follow_pauses(&self) -> Result<u64, StoreError>;
}

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperSettings {
    /// After how long without a sign of life a node is taken out.
    pub ttl: Duration,
}

/// A running keeper. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper {
    words: mpsc::Sender<Word>,
    view: watch::Receiver<Arc<View>>,
    clock: Arc<dyn Clock>,
    settings: KeeperSettings,
}

#[derive(Debug)]
enum Word {
    /// Something has changed: look now.
    Look,
    /// Give everything away and take nothing, or take part again.
    Drain(bool),
    /// The same, and go.
    Leave(oneshot::Sender<()>),
    Taken(MemberId, ShardSet),
    Stopped(MemberId, ShardSet),
    /// This version of what is paused is in force here.
    Pauses(u64),
}

impl Keeper {
    /// Joins, and takes part until [`Keeper::leave`]. `me`: how this node stands in the document; its name and its beat are chosen here.
    pub fn start(
        me: Member,
        store: Arc<dyn RegisterStore>,
        holder: Arc<dyn Holder>,
        tenure: Tenure,
        clock: Arc<dyn Clock>,
        settings: KeeperSettings,
    ) -> Self {
        let (words, inbox) = mpsc::channel(WORDS_MAX);
        let me = Member { id: MemberId::random(), ..me };
        let (shown, view) = watch::channel(Arc::new(View::new(me.id)));
        let keeping = Keeping {
            me,
            has_tried: false,
            observer: Observer::default(),
            holding: Holding::default(),
            left: None,
            told: String::new(),
            work: JoinSet::new(),
            pauses_look: None,
            words: words.clone(),
            shown,
            store,
            holder,
            tenure,
            clock: clock.clone(),
            ttl: settings.ttl,
        };
        tokio::spawn(keeping.run(inbox));
        Self { words, view, clock, settings }
    }

    /// The cluster as this node has seen it last.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// After how long without a sign of life a node is taken out.
    pub fn ttl(&self) -> Duration {
        self.settings.ttl
    }

    /// By the clock by which the signs of life in a view are told.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Somebody says that something has changed: looks at once, not only with the next sign of life.
    pub fn look(&self) {
        // A full queue means that it looks soon anyway.
        let _ = self.words.try_send(Word::Look);
    }

    /// Gives everything away, and takes nothing until this is called with `false`. This node stays among the others.
    pub async fn drain(&self, is_drained: bool) {
        // An error: it goes already.
        let _ = self.words.send(Word::Drain(is_drained)).await;
    }

    /// Gives everything away, and goes. Returns when it is done, which may take as long as the store is away.
    pub async fn leave(&self) {
        let (done, left) = oneshot::channel();
        if self.words.send(Word::Leave(done)).await.is_ok() {
            // An error: it has gone already.
            let _ = left.await;
        }
    }
}

struct Keeping {
    me: Member,
    has_tried: bool,
    observer: Observer,
    holding: Holding,
    /// Who waits until it has left.
    left: Option<oneshot::Sender<()>>,
    /// What was said of the store, so that it is said once.
    told: String,
    work: JoinSet<()>,
    /// The newest look at what is paused.
    pauses_look: Option<AbortHandle>,
    words: mpsc::Sender<Word>,
    shown: watch::Sender<Arc<View>>,
    store: Arc<dyn RegisterStore>,
    holder: Arc<dyn Holder>,
    tenure: Tenure,
    clock: Arc<dyn Clock>,
    ttl: Duration,
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
    async fn run(mut self, mut inbox: mpsc::Receiver<Word>) {
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
                    let asks = self.hear(word);
                    // More may wait behind it, of other shards.
                    while let Ok(word) = inbox.try_recv() {
                        self.hear(word);
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
            Word::Stopped(life, shards) => {
                let of_this_life = shards.iter().filter(|_| life == self.me.id);
                of_this_life.filter(|shard| self.holding.stopped(*shard)).for_each(|shard| self.tenure.close(shard));
                self.show(None);
                true
            }
        }
    }

    async fn turn(&mut self) -> Result<Turn, TurnError> {
        let now = self.read().await?;
        let seen_at = self.clock.elapsed();
        self.observer.look(&now, seen_at);
        let silent = self.observer.silent(seen_at, self.ttl);
        let goes = self.left.is_some() && self.holding.is_empty();
        let next = if goes { Ok(rules::without(&now, self.me.id)) } else { self.next(&now, &silent) };
        let Ok(next) = next else { return Ok(Turn::TakenOut) };
        for member in now.members().iter().filter(|member| next.member(member.id).is_none()) {
            if member.id != self.me.id {
                let silence = self.observer.silence(member.id, seen_at).unwrap_or_default();
                warn!(node = &*member.url, silent_ms = silence.as_millis(); "a node gives no sign of life, it is taken out");
            }
        }
        // Before it is written: whatever is answered, from now on it may stand there.
        self.has_tried = true;
        let begun = self.clock.elapsed();
        if !self.write(&next).await? {
            return Ok(Turn::Met);
        }
        if goes {
            return Ok(Turn::Left);
        }
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
            (view.me, view.acting) = (self.me.id, acting);
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
        let me = Member { clock: self.clock.now().millis(), ..self.me.clone() };
        let stopped = self.holding.at(Hold::Stopped).collect();
        rules::next(now, &Standing { me: &me, has_tried: self.has_tried, silent, stopped })
    }

    async fn read(&self) -> Result<Membership, TurnError> {
        let patience = self.ttl;
        let read = timeout(patience, self.store.register()).await.map_err(|_| TurnError::Silent(patience))??;
        Ok(match read {
            Some(Registered { version, text }) => Membership::read(version, &text)?,
            None => Membership::default(),
        })
    }

    async fn write(&self, next: &Membership) -> Result<bool, TurnError> {
        let patience = self.ttl;
        let registered = Registered { version: next.version, text: next.write() };
        let written = timeout(patience, self.store.set_register(&registered)).await;
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
            self.take(take);
        }
        if !stop.is_empty() {
            let comes_after = written.members().iter().any(|member| member.id != self.me.id && !member.is_leaving);
            self.stop(stop, comes_after);
        }
        while self.work.try_join_next().is_some() {}
    }

    fn take(&mut self, shards: ShardSet) {
        let (life, words, holder) = (self.me.id, self.words.clone(), self.holder.clone());
        self.work.spawn(async move {
            while let Err(error) = holder.take(shards).await {
                error!("shards cannot be loaded yet: {}", with_causes(&error));
                sleep(LOAD_AGAIN_AFTER).await;
            }
            // The keeper may have ended.
            let _ = words.send(Word::Taken(life, shards)).await;
        });
    }

    /// A portion at a time, each in a quiet moment if somebody takes it.
    fn stop(&mut self, shards: ShardSet, comes_after: bool) {
        let (life, words, holder, clock) = (self.me.id, self.words.clone(), self.holder.clone(), self.clock.clone());
        self.work.spawn(async move {
            let shards: Vec<Shard> = shards.iter().collect();
            for portion in shards.chunks(holder.stops_at_once().max(1)) {
                if comes_after {
                    sleep(rules::until_quiet(clock.now())).await;
                }
                let portion: ShardSet = portion.iter().copied().collect();
                holder.stop(portion).await;
                // The keeper may have ended.
                let _ = words.send(Word::Stopped(life, portion)).await;
            }
        });
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
    }

    /// Of two who met, not both try again at the same moment.
    fn short_pause(&self) -> Duration {
        let dice =
            xxh64(self.me.id.to_string().as_bytes(), u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(0));
        Duration::from_millis(1 + dice % AGAIN_AFTER_MAX_MS)
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
