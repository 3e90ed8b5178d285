//! How the shards stand, and the nodes that share them.

use std::collections::BTreeMap;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::series::Series;
use super::state::Told;
use crate::model::{Epoch, Shard, Timestamp};

/// A shard that this node fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Which.
    pub shard: Shard,
    /// How often it was taken.
    pub epoch: Epoch,
    /// Nothing later than this was sent.
    pub claimed_through: Timestamp,
    /// Everything up to this has its outcome.
    pub settled_through: Timestamp,
}

impl ShardState {
    pub(super) fn tell(shards: &[Self], told: &mut Told<'_>) {
        let number = |state: &Self| state.shard.index().to_string();
        let epochs = shards.iter().map(|state| (number(state), ConstGauge::new(state.epoch.0)));
        told.numbers("shard_epoch", "How often a shard was taken by a node", Series::by("shard", epochs));
        let at = |of: fn(&Self) -> Timestamp| {
            let told = shards.iter().map(|state| (number(state), ConstGauge::new(seconds(of(state)))));
            Series::by("shard", told)
        };
        told.spans(
            "shard_claimed_through_timestamp",
            "Nothing of a shard later than this was sent, since 1970",
            at(|state| state.claimed_through),
        );
        told.spans(
            "shard_settled_through_timestamp",
            "Everything of a shard up to this has its outcome, since 1970",
            at(|state| state.settled_through),
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "every millisecond of 285,000 years is exact")]
fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1e3
}

/// The nodes that share the store, as this one has seen them last. A node that is alone owns everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterState {
    /// All that take part, this one among them; empty: it is alone.
    pub members: Vec<MemberState>,
    /// How many shards this node owns.
    pub owned: usize,
    /// For how many it acts.
    pub acting: usize,
    /// How many nobody owns.
    pub without_owner: usize,
    /// How many it has handed over to others.
    pub handed_over: u64,
    /// How many it saw change their owner, by the reason; empty: it is alone.
    pub changes: Vec<(&'static str, u64)>,
    /// How long it may act without another sign of life, in seconds; `None`: it is alone.
    pub lease_left_s: Option<f64>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberState {
    /// Where the others reach it.
    pub url: String,
    /// Whether it gives its shards away.
    pub is_leaving: bool,
    /// How many shards it owns.
    pub owned: usize,
    /// The age of its newest sign of life, in seconds.
    pub silent_s: Option<f64>,
    /// How far its clock is ahead of this node's, in seconds, and within how much that is known.
    pub ahead_s: Option<(f64, f64)>,
}

impl ClusterState {
    pub(super) fn tell(&self, told: &mut Told<'_>) {
        told.number("shards_owned", "Shards that this node owns", self.owned);
        told.number("shards_acting", "Shards for which this node acts: their tasks are loaded", self.acting);
        told.number("shards_without_owner", "Shards that no node owns, as this node sees it", self.without_owner);
        let Some(left_s) = self.lease_left_s else { return };
        told.seconds("lease_left", "How long this node may act without another sign of life", left_s);
        told.count("shards_handed_over", "Shards that this node has handed over to others", self.handed_over);
        let changes = self.changes.iter().map(|(reason, count)| (*reason, ConstCounter::new(*count)));
        told.counts(
            "shard_owner_changes",
            "Shards that changed their owner, as this node saw it, by why",
            Series::by("reason", changes),
        );
        told.number("cluster_members", "Nodes that take part", self.members.len());
        let leaving = self.members.iter().filter(|member| member.is_leaving).count();
        told.number("cluster_members_leaving", "Nodes that give their shards away", leaving);
        self.tell_members(told);
    }

    fn tell_members(&self, told: &mut Told<'_>) {
        let nodes = self.nodes();
        let owned = nodes.iter().map(|node| (node.url.clone(), ConstGauge::new(node.owned as u64)));
        told.numbers("cluster_shards", "Shards of each node", Series::by("node", owned));
        let spans = |of: fn(&MemberState) -> Option<f64>| {
            let known = nodes.iter().filter_map(move |node| Some((node.url.clone(), of(node)?)));
            Series::by("node", known.map(|(node, span_s)| (node, ConstGauge::new(span_s))))
        };
        told.spans(
            "cluster_sign_of_life_age",
            "How long ago this node saw the newest sign of life of a node",
            spans(|node| node.silent_s),
        );
        told.spans(
            "cluster_clock_ahead",
            "How far the clock of a node is ahead of this node's",
            spans(|node| node.ahead_s.map(|(ahead, _)| ahead)),
        );
        told.spans(
            "cluster_clock_ahead_uncertainty",
            "Within how much that is known",
            spans(|node| node.ahead_s.map(|(_, within)| within)),
        );
    }

    /// The members by where they are reached. One that was started anew stands there twice for a moment; of these the later one came last.
    fn nodes(&self) -> Vec<MemberState> {
        let mut nodes: BTreeMap<&str, MemberState> = BTreeMap::new();
        for member in &self.members {
            let before = nodes.get(&*member.url).map_or(0, |earlier| earlier.owned);
            nodes.insert(&member.url, MemberState { owned: before + member.owned, ..member.clone() });
        }
        nodes.into_values().collect()
    }
}
