//! The keeper's part in shards of which something is under way when they are handed over.

use log::{info, warn};

use super::holding::Hold;
use super::keeper::{Keeping, Word};
use super::membership::Membership;
use crate::model::ShardSet;
use crate::observe::with_causes;

/// A stop to act for shards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) number: u64,
    pub(super) shards: ShardSet,
    /// Those of them of which something is still under way.
    pub(super) lingers: ShardSet,
}

impl Keeping {
    /// Stops to act for shards, and tells when all that was under way of them has ended.
    pub(super) fn give_away(&mut self, shards: ShardSet) {
        info!(shards = shards.len(); "this node gives shards away");
        let (life, words, holder) = (self.me.id, self.words.clone(), self.holder.clone());
        let number = self.lingering.begin_stop();
        self.work.spawn(async move {
            let mut lingers = holder.stop(shards).await;
            let _ = words.send(Word::Stopped(life, Stop { number, shards, lingers })).await;
            while !lingers.is_empty() {
                let ended = holder.ended(lingers).await;
                lingers = lingers - ended;
                let _ = words.send(Word::Ended(life, number, ended)).await;
            }
        });
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
