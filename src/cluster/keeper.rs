//! How the other rooms hold the keeper, which carries out the rules.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::handing::Stop;
use super::holder::Holder;
use super::holding::Holding;
use super::keeping::Keeping;
use super::lingering::Lingering;
use super::membership::{Member, MemberId};
use super::rules::Observer;
use super::tenure::Tenure;
use super::view::View;
use crate::clock::Clock;
use crate::model::ShardSet;
use crate::store::RegisterStore;

/// How many words may wait for the keeper. Each is of a shard, or of somebody who waits for the answer.
const WORDS_MAX: usize = 256;

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
pub(super) enum Word {
    /// Something has changed: look now.
    Look,
    /// Give everything away and take nothing, or take part again.
    Drain(bool),
    /// The same, and go.
    Leave(oneshot::Sender<()>),
    Taken(MemberId, ShardSet),
    Stopped(MemberId, Stop),
    /// All that was under way of these shards at a stop has ended.
    Ended(MemberId, u64, ShardSet),
    /// What former owners had under way was looked at, and these shards need no other look.
    Looked(MemberId, ShardSet),
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
            lingering: Lingering::default(),
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
