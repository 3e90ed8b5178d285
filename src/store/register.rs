//! Small texts that all nodes share.

use async_trait::async_trait;

use super::StoreError;

/// Small texts that all nodes on one store share, each changed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RegisterName {
    /// What the nodes have agreed on. It belongs to nodes that run: it is not copied to another store.
    Cluster,
    /// Who may ask for what.
    Keys,
    /// What is filled into requests, encrypted.
    Secrets,
}

impl RegisterName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::Keys, Self::Secrets];
    /// Those that a copy of the store holds, too.
    pub const COPIED: [Self; 2] = [Self::Keys, Self::Secrets];

    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Keys => "keys",
            Self::Secrets => "secrets",
        }
    }
}

/// A text that only the next version replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// One more than that of the text before; the first has 1.
    pub version: u64,
    /// What it says. The store does not look into it.
    pub text: String,
}

/// Small texts for all nodes, changed by compare-and-set.
#[async_trait]
pub trait RegisterStore: Send + Sync {
    /// Reads one as it is now; `None`: it was never written.
    async fn register(&self, name: RegisterName) -> Result<Option<Registered>, StoreError>;

    /// Writes the next version, if the one before stands there, or none before the first. `true`: this very text stands there.
    /// `false`: it was not the next, or somebody else wrote first. On an error it may be written or not, now or a little later.
    /// After both of these the caller reads again.
    async fn set_register(&self, name: RegisterName, next: &Registered) -> Result<bool, StoreError>;
}
