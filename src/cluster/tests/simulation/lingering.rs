//! What is under way of shards when they are given away.

use super::*;

impl World {
    /// A node has stopped to act for a shard. Something of it may be under way.
    pub(super) fn gave(&mut self, number: usize, life: u64, shard: Shard, stop: u64) {
        let takes_ms = self.takes_ms();
        let node = &mut self.nodes[number];
        if node.life != life || !node.holding.stopped(shard) {
            return;
        }
        let key = (shard, node.me.id);
        // What an earlier stop left may be under way still.
        let until = node.under_way.get(&key).map(|(_, until)| *until).max(takes_ms.map(|takes| self.now + takes));
        if let Some(until) = until {
            node.under_way.insert(key, (stop, until));
            node.lingering.stopped(stop, ShardSet::of([shard]));
            self.at(until.saturating_sub(self.now), Event::Ended(number, life, shard.index() as u8, stop));
        }
        self.turn_after(number, 1);
    }

    /// How long the slowest request of a shard takes that is under way. `None`: there is none.
    fn takes_ms(&mut self) -> Option<u64> {
        let bound = if self.dice.one_in(5) { 15_000 } else { 3_000 };
        // The last ones end soon after the faults.
        let bound = bound.min((FAULTS_END_MS + 8_000).saturating_sub(self.now)).max(1_000);
        self.dice.one_in(2).then(|| self.dice.below(bound))
    }

    pub(super) fn ended(&mut self, number: usize, life: u64, shard: Shard, stop: u64) {
        let node = &mut self.nodes[number];
        node.under_way.retain(|(of, _), (newest, _)| *of != shard || *newest != stop);
        if node.life == life && node.lingering.ended(stop, ShardSet::of([shard])) {
            self.turn_after(number, 1);
        }
    }

    /// What is under way of a shard that somebody else owns is told of by the document, as long as its member stands there.
    pub(super) fn check_lingering(&self) {
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_up) {
            for &(shard, id) in node.under_way.keys() {
                let is_told = self.stored.member(id).is_none_or(|member| member.lingers.contains(shard));
                let has_next = self.stored.owner(shard).is_some_and(|owner| owner.id != id);
                assert!(is_told || !has_next, "node {number} has something of {shard:?} under way, and nobody knows");
            }
        }
    }

    /// A node has written a document, and looks at what former owners had under way.
    pub(super) fn look(&mut self, number: usize, written: &Membership) {
        let node = &mut self.nodes[number];
        let acting = node.holding.at(Hold::Acting).collect();
        let Some(to_look) = node.lingering.to_look(written, node.holding.kept(), acting) else { return };
        node.lingering.looked(to_look.over);
        self.looks += to_look.over.len();
        if self.clock(number) >= self.nodes[number].deadline {
            // It looks at a past in which it had the shard, and may do nothing about it.
            return;
        }
        for node in self.nodes.iter().filter(|node| node.is_up) {
            for &(shard, id) in node.under_way.keys().filter(|(shard, _)| to_look.over.contains(*shard)) {
                assert!(
                    self.stored.member(id).is_none(),
                    "node {number} takes for ended what is under way of {shard:?}"
                );
            }
        }
    }
}
