/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether anything is.
    pub is_enabled: bool,
    /// Which reads are.
    pub reads: WatchedReads,
}

/// Which requests that change nothing are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchedReads {
    /// None.
    None,
    /// Those that show what targets have answered.
    Results,
    /// All that need a role.
    All,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { is_enabled: true, reads: WatchedReads::None }
    }
}
