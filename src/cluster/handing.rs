//! The keeper's part in shards of which something is under way when they are handed over.

use std::sync::Arc;
use std::time::Duration;

use log::{error, warn};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::holding::Hold;
use super::keeper::Word;
use super::keeping::Keeping;
use super::membership::Membership;
use super::rules;
use crate::model::{Shard, ShardSet};
use crate::observe::with_causes;

/// How long a member waits before it loads again what it could not load.
const LOAD_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A stop to act for shards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) number: u64,
    pub(super) shards: ShardSet,
    /// Those of them of which something is still under way.
    pub(super) lingers: ShardSet,
}

impl Keeping {
    /// Loads shards that this member owns by now, and tells when it acts for them.
    pub(super) fn take(&mut self, shards: ShardSet, written: &Membership) {
        let (life, words, holder) = (self.me.id, self.words.clone(), self.holder.clone());
        let lingering = self.lingering.take(written, shards);
        self.work.spawn(async move {
            while let Err(error) = holder.take(shards, lingering).await {
                error!("shards cannot be loaded yet: {}", with_causes(&error));
                sleep(LOAD_AGAIN_AFTER).await;
            }
            // The keeper may have ended.
            let _ = words.send(Word::Taken(life, shards)).await;
        });
    }

    /// Stops to act for shards, and tells when all that was under way of them has ended. A portion after the other, each in a quiet
    /// moment if somebody takes it.
    pub(super) fn give_away(&mut self, shards: ShardSet, comes_after: bool) {
        let turns = Arc::new(Mutex::new(()));
        let shards: Vec<Shard> = shards.iter().collect();
        for portion in shards.chunks(self.holder.stops_at_once().max(1)) {
            let portion: ShardSet = portion.iter().copied().collect();
            let (life, words, holder) = (self.me.id, self.words.clone(), self.holder.clone());
            let (turns, clock, number) = (turns.clone(), self.clock.clone(), self.lingering.begin_stop());
            self.work.spawn(async move {
                let turn = turns.lock().await;
                if comes_after {
                    sleep(rules::until_quiet(clock.now())).await;
                }
                let mut lingers = holder.stop(portion).await;
                // The keeper may have ended.
                let _ = words.send(Word::Stopped(life, Stop { number, shards: portion, lingers })).await;
                drop(turn);
                while !lingers.is_empty() {
                    let ended = holder.ended(lingers).await;
                    lingers = lingers - ended;
                    let _ = words.send(Word::Ended(life, number, ended)).await;
                }
            });
        }
    }

    /// What former owners had under way may have ended there.
    pub(super) fn look_at_lingering(&mut self, written: &Membership) {
        let acting = self.holding.at(Hold::Acting).collect();
        let Some(to_look) = self.lingering.to_look(written, self.holding.kept(), acting) else { return };
        let (life, words, holder) = (self.me.id, self.words.clone(), self.holder.clone());
        self.work.spawn(async move {
            let looked = holder.look(to_look).await;
            if let Err(error) = &looked {
                warn!("runs of former owners cannot be looked at yet: {}", with_causes(error));
            }
            let over = if looked.is_ok() { to_look.over } else { ShardSet::EMPTY };
            // The keeper may have ended.
            let _ = words.send(Word::Looked(life, over)).await;
        });
    }
}
