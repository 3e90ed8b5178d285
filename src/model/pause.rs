//! Pauses: firing that somebody stopped, for all entries or for those with a tag.

use std::collections::BTreeMap;

use super::{EntryOptions, Timestamp};

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

/// All pauses in force. Tasks that are paused one by one are switched off instead: they name nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Counts the changes.
    pub version: u64,
    /// Of all firing.
    pub all: Option<Pause>,
    /// Of entries with a tag.
    pub tags: BTreeMap<Box<str>, Pause>,
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

    /// The next version, in which a scope is paused, or is not.
    pub fn with(&self, scope: &PauseScope, pause: Option<Pause>) -> Self {
        let mut next = Self { version: self.version + 1, ..self.clone() };
        match (scope, pause) {
            (PauseScope::All, pause) => next.all = pause,
            (PauseScope::Tag(tag), Some(pause)) => drop(next.tags.insert(tag.clone(), pause)),
            (PauseScope::Tag(tag), None) => drop(next.tags.remove(tag)),
        }
        next
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

    fn pause(second: i64) -> Option<Pause> {
        Some(Pause { since: Timestamp::from_secs(second), by: "operator".into(), note: None })
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
        let pauses = pauses.with(&one, None);
        assert_eq!(of(&pauses, &tagged), Some((None, 20)));
        let pauses = pauses.with(&all, None);
        assert!(pauses.is_empty());
        assert_eq!((of(&pauses, &tagged), pauses.version), (None, 4));
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
