//! Limits of tasks that are put which the configuration sets, below those that hold everywhere. What is stored is never looked at
//! again: it loads and fires.

use std::time::Duration;

use super::wire_put::entry_path;
use crate::model::object::Mistakes;
use crate::model::{Entry, Task};

/// How many identities one `/lists` may name, wherever it is asked.
pub(super) const LISTS_MAX: usize = 10_000;

/// What a put, or a question for many tasks, may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutLimits {
    /// How many entries a task may have. More are refused.
    pub entries_max: usize,
    /// How many identities one `/lists` may name. More are refused.
    pub lists_max: usize,
    /// How near two instants of an entry may be. Nearer ones are refused.
    pub interval_min: Duration,
}

impl Default for PutLimits {
    fn default() -> Self {
        Self { entries_max: Task::ENTRIES_MAX, lists_max: LISTS_MAX, interval_min: Duration::from_secs(1) }
    }
}

impl PutLimits {
    /// Refuses too many entries.
    pub(super) fn check_entries(&self, path: &str, count: usize, mistakes: &mut Mistakes) -> bool {
        let max = self.entries_max.min(Task::ENTRIES_MAX);
        if count > max {
            let key = if max < Task::ENTRIES_MAX { " ([limits] entries_max)" } else { "" };
            mistakes.add(path, format_args!("are {count}, expected at most {max}{key}"));
        }
        count <= max
    }

    /// Refuses a task that has too many entries, or one that fires too often.
    pub(super) fn check(&self, path: &str, entries: &[Entry], mistakes: &mut Mistakes) {
        if self.check_entries(path, entries.len(), mistakes) {
            for entry in entries {
                self.check_interval(&entry_path(path, entry.name.as_str()), entry, mistakes);
            }
        }
    }

    /// Refuses an entry whose trigger names two instants that are too near to each other.
    fn check_interval(&self, path: &str, entry: &Entry, mistakes: &mut Mistakes) {
        // No trigger names two within a second.
        if self.interval_min <= Duration::from_secs(1) || mistakes.is_full() {
            return;
        }
        if let Some(interval) = entry.schedule.interval_min().filter(|interval| *interval < self.interval_min) {
            let (interval, min) = (interval.as_secs(), self.interval_min.as_secs());
            let text =
                format_args!("names instants {interval} s apart, expected at least {min} s ([limits] interval_min_s)");
            mistakes.add(&format!("{path}.{}", entry.schedule.key()), text);
        }
    }
}
