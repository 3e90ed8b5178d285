//! Which tasks somebody may know of: by the beginnings of their names.

use std::sync::Arc;

use super::identity::{Identity, NAME_LEN_MAX};

/// Tasks whose identity begins with one of these texts; without any text all tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefixes(Arc<[Box<str>]>);

/// Why texts are no prefixes. It continues a sentence that begins with their place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixesError {
    /// More than the limit.
    #[error("has {count} values, expected at most {max}", max = Prefixes::COUNT_MAX)]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// An empty one would cover every task, and would not look like it.
    #[error("holds an empty text, expected 1 to {NAME_LEN_MAX} bytes each, or no text at all for every task")]
    Empty,
    /// No identity is so long.
    #[error("holds a text of {len} bytes, expected 1 to {NAME_LEN_MAX} bytes each")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl Prefixes {
    /// How many there may be. More are refused.
    pub const COUNT_MAX: usize = 20;

    /// Every task.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of these texts; of none: every task. They are kept in order, each once.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, PrefixesError> {
        if texts.len() > Self::COUNT_MAX {
            return Err(PrefixesError::TooMany { count: texts.len() });
        }
        let mut kept: Vec<Box<str>> = Vec::with_capacity(texts.len());
        for text in texts {
            match text.as_ref().len() {
                0 => return Err(PrefixesError::Empty),
                len if len > NAME_LEN_MAX => return Err(PrefixesError::TooLong { len }),
                _ => kept.push(text.as_ref().into()),
            }
        }
        kept.sort();
        kept.dedup();
        Ok(Self(kept.into()))
    }

    /// Whether every task is covered.
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this task is covered.
    pub fn cover(&self, identity: &Identity) -> bool {
        self.cover_name(identity.as_str())
    }

    /// Whether a task of this name is covered.
    pub fn cover_name(&self, name: &str) -> bool {
        self.are_all() || self.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The texts; none: every task.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|prefix| &**prefix)
    }

    /// The same as values that can be written.
    pub fn to_texts(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_covered_by_the_beginning_of_its_name_and_without_prefixes_each_is() {
        let prefixes = Prefixes::parse(&["team-a/", "é", "team-a/"]).unwrap();

        assert_eq!(prefixes.to_texts(), ["team-a/", "é"]);
        for (name, is_covered) in [
            ("team-a/", true),
            ("team-a/x", true),
            ("team-a", false),
            ("Team-a/x", false),
            ("xteam-a/", false),
            ("éa", true),
        ] {
            assert_eq!(prefixes.cover_name(name), is_covered, "{name}");
            assert!(Prefixes::all().cover_name(name));
        }
    }

    #[test]
    fn an_empty_text_a_long_one_and_too_many_are_refused() {
        let many = vec!["a"; Prefixes::COUNT_MAX + 1];

        assert_eq!(Prefixes::parse(&["a", ""]), Err(PrefixesError::Empty));
        assert_eq!(Prefixes::parse(&["x".repeat(257)]), Err(PrefixesError::TooLong { len: 257 }));
        assert_eq!(Prefixes::parse(&many), Err(PrefixesError::TooMany { count: 21 }));
        assert!(Prefixes::parse::<&str>(&[]).unwrap().are_all());
    }
}
