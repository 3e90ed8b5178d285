//! The cluster as a node has seen it last, and what has changed hands.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};

use super::dealing::deal;
use super::membership::{Member, MemberId, Membership};
use super::signs::Signs;
use crate::model::{Shard, ShardSet, Timestamp};

/// How many changes of owners are kept.
const CHANGES_MAX: usize = 100;

/// The cluster as a node has seen it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Under which name this node takes part at present.
    pub me: MemberId,
    /// Who lives, and who owns what.
    pub membership: Membership,
    /// The shards for which this node acts: what belongs to them is loaded.
    pub acting: ShardSet,
    /// The signs of life that it has seen.
    pub signs: Signs,
    /// It acted for everything that was dealt to it, since it takes part under this name.
    pub has_settled: bool,
    /// How many shards this node has handed over to others since it started.
    pub handed_over: u64,
    /// How many shards it saw change their owner, by the reason: in the order of [`Reason::ALL`].
    pub changed: [u64; Reason::ALL.len()],
    /// Grows when this node has written something that others wait for: shards that they own now, or may take.
    pub news: u64,
    /// The newest changes of owners, the oldest first.
    pub changes: Arc<VecDeque<Change>>,
}

impl View {
    pub(super) fn new(me: MemberId) -> Self {
        let (membership, acting, changes, signs) = Default::default();
        let changed = [0; Reason::ALL.len()];
        Self { me, membership, acting, signs, has_settled: false, handed_over: 0, changed, news: 0, changes }
    }

    /// Whether a member is this node.
    pub fn is_me(&self, member: &Member) -> bool {
        member.id == self.me
    }

    /// The members beside this node.
    pub fn others(&self) -> impl Iterator<Item = &Member> {
        self.membership.members().iter().filter(|member| !self.is_me(member))
    }

    /// Whether this node takes part, and acts for all that is dealt to it.
    fn is_settled(&self) -> bool {
        let dealt = deal(self.membership.members());
        let mut mine = Shard::all().filter(|shard| dealt[shard.index()] == Some(self.me));
        self.membership.member(self.me).is_some() && mine.all(|shard| self.acting.contains(shard))
    }

    /// Why this node cannot do its part, if it cannot.
    pub fn problem(&self) -> Option<&'static str> {
        match self.membership.member(self.me) {
            None => Some("this node does not take part yet"),
            Some(me) if me.is_leaving => Some("this node gives its shards to the others"),
            Some(_) if !self.has_settled => Some("the shards of this node are being loaded"),
            Some(_) => None,
        }
    }

    /// For what this node acts at present, and under which name.
    pub(super) fn note(&mut self, me: MemberId, acting: ShardSet) {
        self.has_settled &= self.me == me;
        (self.me, self.acting) = (me, acting);
        self.has_settled |= self.is_settled();
    }

    /// What this node sees next, and tells of.
    pub(super) fn follow(&mut self, membership: Membership, now: Timestamp, elapsed: Duration) {
        self.signs.look(&membership, now, elapsed);
        let mut seen = Change::all(&self.membership, &membership, now);
        if self.membership.version == 0 {
            // How things stood before it came is no news.
            seen.retain(|change| change.to.as_ref().is_some_and(|to| to.id == self.me));
        }
        for change in &seen {
            change.tell(self.me);
            self.changed[change.reason as usize] += change.shards.len() as u64;
            if change.from.as_ref().is_some_and(|from| from.id == self.me) && change.to.is_some() {
                self.handed_over += change.shards.len() as u64;
                self.news += 1;
            }
            self.news += u64::from(change.to.is_none());
        }
        if !seen.is_empty() {
            let changes = Arc::make_mut(&mut self.changes);
            changes.extend(seen);
            changes.drain(..changes.len().saturating_sub(CHANGES_MAX));
        }
        self.membership = membership;
        self.has_settled |= self.is_settled();
    }
}

/// A node at one end of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its life.
    pub id: MemberId,
    /// Where it is reached.
    pub url: Box<str>,
}

impl End {
    fn of(member: &Member) -> Self {
        Self { id: member.id, url: member.url.clone() }
    }
}

/// Why shards changed their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// Nobody owned them.
    Free,
    /// Both lived: they are dealt to the other one now.
    HandedOver,
    /// The owner gave no sign of life.
    Silent,
    /// The owner was started anew.
    Restarted,
    /// The owner went.
    Left,
}

impl Reason {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Self; 5] = [Self::Free, Self::HandedOver, Self::Silent, Self::Restarted, Self::Left];

    /// The word for it in answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::HandedOver => "handed_over",
            Self::Silent => "no_sign_of_life",
            Self::Restarted => "restarted",
            Self::Left => "left",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shards that changed their owner, from one document that a node saw to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was seen.
    pub at: Timestamp,
    /// Who owned them.
    pub from: Option<End>,
    /// Who owns them.
    pub to: Option<End>,
    /// Which.
    pub shards: ShardSet,
    /// Why.
    pub reason: Reason,
}

impl Change {
    fn all(before: &Membership, after: &Membership, at: Timestamp) -> Vec<Self> {
        let mut moved: BTreeMap<(Option<MemberId>, Option<MemberId>), ShardSet> = BTreeMap::new();
        for shard in Shard::all() {
            let [from, to] = [before, after].map(|state| state.owner(shard).map(|owner| owner.id));
            if from != to {
                moved.entry((from, to)).or_default().insert(shard);
            }
        }
        let change = |((from, to), shards): ((Option<MemberId>, Option<MemberId>), ShardSet)| {
            let (from, to) = (from.and_then(|id| before.member(id)), to.and_then(|id| after.member(id)));
            let reason = from.map_or(Reason::Free, |from| reason(from, after));
            Self { at, from: from.map(End::of), to: to.map(End::of), shards, reason }
        };
        moved.into_iter().map(change).collect()
    }

    fn tell(&self, me: MemberId) {
        let url = |end: &Option<End>| end.as_ref().map_or("nobody".to_owned(), |end| end.url.to_string());
        let is_me = |end: &Option<End>| end.as_ref().is_some_and(|end| end.id == me);
        let (shards, from, to, reason) = (self.shards.len(), url(&self.from), url(&self.to), self.reason);
        let what = match (is_me(&self.from), is_me(&self.to)) {
            (false, true) => "this node takes shards",
            (true, _) => "this node gave shards away",
            (false, false) => "shards changed their owner",
        };
        match reason {
            Reason::Silent => warn!(shards, from, to, reason:%; "{what}"),
            Reason::Free | Reason::HandedOver | Reason::Restarted | Reason::Left => {
                info!(shards, from, to, reason:%; "{what}");
            }
        }
    }
}

fn reason(from: &Member, after: &Membership) -> Reason {
    if after.member(from.id).is_some() {
        Reason::HandedOver
    } else if from.is_leaving {
        Reason::Left
    } else if after.members().iter().any(|member| member.home == from.home) {
        Reason::Restarted
    } else {
        Reason::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::super::played::member;
    use super::*;

    fn owned(members: &[Member], owner: impl Fn(usize) -> Option<u8>) -> Membership {
        let mut membership = Membership::default();
        members.iter().for_each(|one| membership.upsert(one.clone()));
        for shard in Shard::all() {
            membership.set_owner(shard, owner(shard.index()).map(|number| member(number).id));
        }
        membership
    }

    fn reasons(before: &Membership, after: &Membership) -> Vec<(usize, Reason)> {
        let changes = Change::all(before, after, Timestamp::EPOCH);
        changes.iter().map(|change| (change.shards.len(), change.reason)).collect()
    }

    #[test]
    fn each_change_of_owners_has_its_reason() {
        let [one, two] = [1, 2].map(member);
        let alone = owned(std::slice::from_ref(&one), |_| Some(1));
        let both = owned(&[one.clone(), two.clone()], |index| Some(if index < 32 { 1 } else { 2 }));

        assert_eq!(reasons(&Membership::default(), &alone), [(64, Reason::Free)]);
        assert_eq!(reasons(&alone, &both), [(32, Reason::HandedOver)]);
        assert_eq!(reasons(&both, &alone), [(32, Reason::Silent)]);
        let leaving =
            owned(&[one.clone(), Member { is_leaving: true, ..two.clone() }], |index| Some(1 + (index / 32) as u8));
        assert_eq!(reasons(&leaving, &alone), [(32, Reason::Left)]);
        let anew = Member { id: member(3).id, ..two };
        assert_eq!(reasons(&both, &owned(&[one, anew], |index| Some([1, 3][index / 32]))), [(32, Reason::Restarted)]);
        assert_eq!(reasons(&alone, &alone), []);
    }

    #[test]
    fn a_node_counts_what_it_handed_over_and_is_settled_when_it_acts_for_what_it_owns() {
        let [one, two] = [1, 2].map(member);
        let mut view = View::new(one.id);
        assert_eq!((view.has_settled, view.problem()), (false, Some("this node does not take part yet")));

        let mut first = owned(std::slice::from_ref(&one), |_| Some(1));
        first.version = 1;
        view.follow(first, Timestamp::EPOCH, Duration::ZERO);
        assert_eq!((view.has_settled, view.problem()), (false, Some("the shards of this node are being loaded")));
        view.note(one.id, ShardSet::ALL);
        assert_eq!((view.has_settled, view.problem()), (true, None));
        view.follow(owned(&[one, two], |index| Some(if index < 32 { 1 } else { 2 })), Timestamp::EPOCH, Duration::ZERO);

        // What it takes later does not take its readiness.
        assert_eq!((view.handed_over, view.news, view.changes.len(), view.problem()), (32, 1, 2, None));
        let changed: Vec<_> = Reason::ALL.into_iter().map(|reason| (reason, view.changed[reason as usize])).collect();
        let expected = [
            (Reason::Free, 64),
            (Reason::HandedOver, 32),
            (Reason::Silent, 0),
            (Reason::Restarted, 0),
            (Reason::Left, 0),
        ];
        assert_eq!(changed, expected);
    }

    #[test]
    fn a_node_that_comes_is_ready_when_it_acts_for_its_share() {
        let [one, two] = [1, 2].map(member);
        let all = owned(&[one.clone(), two.clone()], |_| Some(1));
        let mut view = View::new(two.id);
        view.follow(all, Timestamp::EPOCH, Duration::ZERO);
        assert_eq!(view.problem(), Some("the shards of this node are being loaded"));

        let dealt = deal(view.membership.members());
        view.note(two.id, Shard::all().filter(|shard| dealt[shard.index()] == Some(two.id)).collect());
        assert_eq!(view.problem(), None);
        // The others took it out.
        view.note(member(3).id, ShardSet::EMPTY);
        assert!(!view.has_settled);
    }

    #[test]
    fn how_things_stood_before_a_node_came_is_no_news() {
        let [one, two] = [1, 2].map(member);
        let mut view = View::new(two.id);

        view.follow(owned(&[one, two], |index| Some(if index < 32 { 1 } else { 2 })), Timestamp::EPOCH, Duration::ZERO);

        let changes: Vec<_> = view.changes.iter().map(|change| (change.shards.len(), change.reason)).collect();
        assert_eq!(changes, [(32, Reason::Free)]);
    }

    #[test]
    fn only_the_newest_changes_are_kept() {
        let one = member(1);
        let (free, mine) = (owned(std::slice::from_ref(&one), |_| None), owned(&[one], |_| Some(1)));
        let mut view = View::new(member(1).id);
        for _ in 0..=CHANGES_MAX {
            view.follow(mine.clone(), Timestamp::EPOCH, Duration::ZERO);
            view.follow(free.clone(), Timestamp::EPOCH, Duration::ZERO);
        }

        assert_eq!(view.changes.len(), CHANGES_MAX);
    }
}
