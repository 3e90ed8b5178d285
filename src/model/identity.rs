//! Names: of tasks and of their entries.

use std::borrow::Borrow;
use std::fmt;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("is empty, expected 1 to {max} bytes")]
    Empty {
        /// The longest name allowed, in bytes.
        max: usize,
    },
    /// More than the limit.
    #[error("is {len} bytes long, expected at most {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest name allowed, in bytes.
        max: usize,
    },
}

/// The longest name of a task or an entry, in bytes of UTF-8. Longer ones are refused.
pub const NAME_LEN_MAX: usize = 256;

fn check(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty { max: NAME_LEN_MAX }),
        len if len > NAME_LEN_MAX => Err(NameError::TooLong { len, max: NAME_LEN_MAX }),
        _ => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Accepts 1 to [`NAME_LEN_MAX`] bytes of any Unicode.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.into()))
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a task: the unit of put, switch and delete.
    Identity
}

name! {
    /// The name of an entry within its task.
    EntryName
}

impl Identity {
    /// Stands for no task, where a record belongs to none. No request can name it.
    pub fn none() -> Self {
        Self("".into())
    }

    /// Whether it names a task.
    pub fn is_some(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_unicode_of_1_to_256_bytes_is_a_name() {
        for text in ["a", "a b/é中\"<>&", "\u{0}", "..", &"x".repeat(256)] {
            assert_eq!(Identity::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(Identity::parse(""), Err(NameError::Empty { max: 256 }));
        let mistake = EntryName::parse(&"é".repeat(129)).unwrap_err();
        assert_eq!(mistake.to_string(), "is 258 bytes long, expected at most 256");
    }
}
