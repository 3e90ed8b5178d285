use std::time::Duration;

/// When an instant counts as missed, and what is caught up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// An instant still unfired after this long is a misfire.
    pub misfire_grace: Duration,
    /// Misfires older than this are not caught up.
    pub catch_up_window: Duration,
    /// How many misfires a second are caught up at most, of all entries that fire each of theirs.
    pub catch_up_per_s: u32,
    /// How long another node may go on firing what a pause covers, until it knows of it: twice the time to live. Zero: there
    /// is no other.
    pub pause_reach: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            misfire_grace: Duration::from_secs(30),
            catch_up_window: Duration::from_secs(60 * 60),
            catch_up_per_s: 100,
            pause_reach: Duration::ZERO,
        }
    }
}
