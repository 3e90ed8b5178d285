//! What a key of the configuration is: where it stands, what it may hold, how it is shown.

use std::ops::RangeInclusive;

/// What a key may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A whole number within a range.
    Number(RangeInclusive64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text; it may be empty where `may_be_empty`.
    Text { may_be_empty: bool },
    /// Addresses that may hold a user and a password.
    Hosts,
    /// A text that is never shown.
    Secret,
}

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeInclusive64 {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl RangeInclusive64 {
    pub(super) fn range(self) -> RangeInclusive<u64> {
        self.start..=self.end
    }
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The section it stands in.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
    pub(super) kind: Kind,
}

pub(super) const fn number(start: u64, end: u64) -> Kind {
    Kind::Number(RangeInclusive64 { start, end })
}

pub(super) const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    kind: Kind,
    meaning: &'static str,
) -> Key {
    Key { section, name, default, meaning, kind }
}

pub(super) const TEXT: Kind = Kind::Text { may_be_empty: false };
pub(super) const OPTIONAL: Kind = Kind::Text { may_be_empty: true };
pub(super) const DAY_S: u64 = 86_400;

impl Key {
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// Its value as it may be shown.
    pub(super) fn masked(&self, text: &str) -> String {
        match self.kind {
            Kind::Secret if !text.is_empty() => "***".to_owned(),
            // All that stands before the last `@` is hidden: a password may hold a comma or a slash.
            Kind::Hosts => text.rsplit_once('@').map_or(text.to_owned(), |(_, host)| format!("***@{host}")),
            Kind::Number(_) | Kind::Word(_) | Kind::Text { .. } | Kind::Secret => text.to_owned(),
        }
    }

    /// What was expected, for the text of a mistake.
    pub(super) fn expected(&self) -> String {
        match self.kind {
            Kind::Number(RangeInclusive64 { start, end }) => format!("a whole number from {start} to {end}"),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Text { .. } | Kind::Hosts | Kind::Secret => "a text".to_owned(),
        }
    }
}
