//! Pauses: firing that somebody stopped, for all entries or for those with a tag.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{EntryOptions, Timestamp};

/// How many pauses that were lifted are remembered. Of more, the oldest are forgotten.
const LIFTED_MAX: usize = 64;
/// How long they are: who takes over a task later than that takes what a pause kept from firing for late.
const LIFTED_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Why something does not fire at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Instants later than this one are skipped.
    pub since: Timestamp,
    /// Who paused it.
    pub by: Box<str>,
    /// Why.
    pub note: Option<Box<str>>,
}

/// What a pause covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseScope {
    /// All firing.
    All,
    /// Entries with this tag.
    Tag(Box<str>),
}

impl PauseScope {
    /// Whether an entry with these options is covered.
    pub fn covers(&self, options: &EntryOptions) -> bool {
        match self {
            Self::All => true,
            Self::Tag(tag) => options.has_tag(tag),
        }
    }
}

impl std::fmt::Display for PauseScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all firing"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
        }
    }
}

/// A pause that was lifted. Whoever did not know of its end in time, or takes over from someone who did not, finds it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifted {
    /// What it covered.
    pub scope: PauseScope,
    /// As it was in the end.
    pub pause: Pause,
    /// Instants later than this one are fired again.
    pub until: Timestamp,
}

impl Lifted {
    /// Whether it kept this instant of an entry with these options from firing.
    pub fn covers(&self, options: &EntryOptions, instant: Timestamp) -> bool {
        self.pause.since < instant && instant <= self.until && self.scope.covers(options)
    }

    /// Its tag; without one it was that of all firing.
    pub fn tag(&self) -> Option<&str> {
        match &self.scope {
            PauseScope::All => None,
            PauseScope::Tag(tag) => Some(tag),
        }
    }
}

/// All pauses in force. Tasks that are paused one by one are switched off instead: they name nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Counts the changes.
    pub version: u64,
    /// Of all firing.
    pub all: Option<Pause>,
    /// Of entries with a tag.
    pub tags: BTreeMap<Box<str>, Pause>,
    /// Those that were lifted of late, in that order.
    pub lifted: Vec<Lifted>,
}

impl Pauses {
    /// Whether nothing is paused.
    pub fn is_empty(&self) -> bool {
        self.all.is_none() && self.tags.is_empty()
    }

    /// The pause of this scope itself.
    pub fn get(&self, scope: &PauseScope) -> Option<&Pause> {
        match scope {
            PauseScope::All => self.all.as_ref(),
            PauseScope::Tag(tag) => self.tags.get(tag),
        }
    }

    /// What is paused.
    pub fn scopes(&self) -> impl Iterator<Item = PauseScope> {
        let all = self.all.iter().map(|_| PauseScope::All);
        all.chain(self.tags.keys().cloned().map(PauseScope::Tag))
    }

    /// The next version, in which a scope is paused.
    pub fn with(&self, scope: &PauseScope, pause: Pause) -> Self {
        let mut next = Self { version: self.version + 1, ..self.clone() };
        next.insert(scope, pause);
        next
    }

    /// The same version, in which a scope is paused as well.
    pub fn insert(&mut self, scope: &PauseScope, pause: Pause) {
        match scope {
            PauseScope::All => self.all = Some(pause),
            PauseScope::Tag(tag) => drop(self.tags.insert(tag.clone(), pause)),
        }
    }

    /// The next version, in which a scope is not paused: instants later than `until` are fired again.
    pub fn without(&self, scope: &PauseScope, until: Timestamp) -> Self {
        let mut next = Self { version: self.version + 1, ..self.clone() };
        let lifted = match scope {
            PauseScope::All => next.all.take(),
            PauseScope::Tag(tag) => next.tags.remove(tag),
        };
        next.lifted.retain(|lifted| until.since(lifted.until) < LIFTED_KEPT_FOR);
        if let Some(pause) = lifted {
            let until = until.max(pause.since);
            next.lifted.push(Lifted { scope: scope.clone(), pause, until });
        }
        let too_many = next.lifted.len().saturating_sub(LIFTED_MAX);
        next.lifted.drain(..too_many);
        next
    }

    /// When the newest pause of this scope that was lifted ended.
    pub fn lifted_at(&self, scope: &PauseScope) -> Option<Timestamp> {
        self.lifted.iter().rfind(|lifted| lifted.scope == *scope).map(|lifted| lifted.until)
    }

    /// Whether a pause covers an entry with these options.
    pub fn cover(&self, options: &EntryOptions) -> bool {
        self.all.is_some() || (!self.tags.is_empty() && options.tags.iter().any(|tag| self.tags.contains_key(tag)))
    }

    /// The pause that has kept an entry from firing for longest, and its tag; without a tag it is that of all firing.
    pub fn of(&self, options: &EntryOptions) -> Option<(Option<&str>, &Pause)> {
        let all = self.all.iter().map(|pause| (None, pause));
        let by_tag = |tag: &str| self.tags.get_key_value(tag).map(|(tag, pause)| (Some(&**tag), pause));
        let tagged = options.tags.iter().filter_map(|tag| by_tag(tag));
        all.chain(tagged).min_by_key(|(_, pause)| pause.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(second: i64) -> Pause {
        Pause { since: Timestamp::from_secs(second), by: "operator".into(), note: None }
    }

    fn tagged(tags: &[&str]) -> EntryOptions {
        EntryOptions { tags: tags.iter().map(|&tag| tag.into()).collect(), ..EntryOptions::default() }
    }

    fn of(pauses: &Pauses, options: &EntryOptions) -> Option<(Option<String>, i64)> {
        let found = pauses.of(options).map(|(tag, pause)| (tag.map(str::to_owned), pause.since.secs()));
        assert_eq!(found.is_some(), pauses.cover(options));
        found
    }

    #[test]
    fn the_oldest_pause_that_covers_an_entry_is_its_pause_until_it_is_lifted() {
        let (one, all) = (PauseScope::Tag("one".into()), PauseScope::All);
        let (none, tagged) = (tagged(&[]), tagged(&["one", "two"]));

        let pauses = Pauses::default().with(&one, pause(10));
        assert_eq!((of(&pauses, &none), of(&pauses, &tagged)), (None, Some((Some("one".to_owned()), 10))));
        let pauses = pauses.with(&all, pause(20));
        assert_eq!((of(&pauses, &none), of(&pauses, &tagged)), (Some((None, 20)), Some((Some("one".to_owned()), 10))));
        let pauses = pauses.without(&one, Timestamp::from_secs(30));
        assert_eq!(of(&pauses, &tagged), Some((None, 20)));
        let pauses = pauses.without(&all, Timestamp::from_secs(40));
        assert!(pauses.is_empty());
        assert_eq!((of(&pauses, &tagged), pauses.version), (None, 4));
    }

    #[test]
    fn what_was_lifted_of_late_is_remembered_with_what_it_kept_from_firing() {
        let tag = |number: i64| PauseScope::Tag(format!("tag-{number}").into());
        let pauses = Pauses::default().with(&tag(1), pause(10)).without(&tag(1), Timestamp::from_secs(20));
        let covers = |options: &EntryOptions, second| pauses.lifted[0].covers(options, Timestamp::from_secs(second));

        assert_eq!([10, 11, 20, 21].map(|second| covers(&tagged(&["tag-1"]), second)), [false, true, true, false]);
        assert!(!covers(&tagged(&["tag-2"]), 15));
        assert_eq!((pauses.lifted_at(&tag(1)), pauses.lifted_at(&tag(2))), (Some(Timestamp::from_secs(20)), None));

        let more = (1..=99).fold(pauses, |pauses, number| {
            pauses.with(&tag(number), pause(30)).without(&tag(number), Timestamp::from_secs(30 + number))
        });
        assert_eq!((more.lifted.len(), more.lifted_at(&tag(1)), more.version), (LIFTED_MAX, None, 200));
        let later = more.with(&tag(0), pause(100)).without(&tag(0), Timestamp::from_secs(200_000));
        assert_eq!(later.lifted.len(), 1);
    }

    #[test]
    fn a_scope_says_what_it_covers() {
        let tag = PauseScope::Tag("one".into());

        assert!(
            PauseScope::All.covers(&tagged(&[])) && tag.covers(&tagged(&["one"])) && !tag.covers(&tagged(&["two"]))
        );
        assert_eq!((PauseScope::All.to_string(), tag.to_string()), ("all firing".to_owned(), "tag one".to_owned()));
    }
}
