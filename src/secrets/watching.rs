//! The loop that looks for what others have changed: files each second, the store each other second if nodes share it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use log::{info, warn};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::folder::Mark;
use super::handle::Inner;
use crate::observe::with_causes;

/// How often files are looked at.
const FILES_EVERY: Duration = Duration::from_secs(1);
/// Each how many looks at files the store is looked at, too.
const STORE_EACH: u64 = 2;
/// How long a look at the store may take. Then it is given up, and made again.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// Ends when nobody has a handle any more.
pub(super) async fn watch(watched: Weak<Inner>, is_shared: bool) {
    let mut ticks = interval(FILES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut keys) = (Told::default(), None);
    for round in 1_u64.. {
        ticks.tick().await;
        let Some(inner) = watched.upgrade() else { return };
        let looking = inner.clone();
        // It ends with the process only.
        let Ok(looked) = tokio::task::spawn_blocking(move || look_at_files(&looking, keys)).await else { return };
        keys = looked.keys;
        told.tell("files", looked.problem);
        if is_shared && round.is_multiple_of(STORE_EACH) {
            let looked = timeout(STORE_PATIENCE, inner.look_at_store()).await;
            let problem = match looked {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(with_causes(&error)),
                Err(_) => Some("the store takes too long".to_owned()),
            };
            told.tell("store", problem);
        }
    }
}

struct Looked {
    keys: Option<Mark>,
    problem: Option<String>,
}

fn look_at_files(inner: &Arc<Inner>, keys_before: Option<Mark>) -> Looked {
    inner.look_at_files();
    let keys = inner.settings.key_file.as_deref().and_then(Mark::of);
    let is_same = keys.is_some() && keys == keys_before;
    let of_keys = if is_same { Ok(()) } else { inner.look_at_keys() };
    let problem = of_keys.err().map(|error| error.to_string()).or_else(|| inner.files().problem.clone());
    // What could not be read is read again the next time.
    Looked { keys: keys.filter(|_| problem.is_none()), problem }
}

/// What was said, so that it is said once.
#[derive(Default)]
struct Told(Vec<(&'static str, String)>);

impl Told {
    fn tell(&mut self, place: &'static str, problem: Option<String>) {
        let before = self.0.iter().position(|(told, _)| *told == place).map(|at| self.0.swap_remove(at).1);
        match (problem, before) {
            (Some(problem), before) => {
                if before.as_ref() != Some(&problem) {
                    warn!(place; "secrets cannot be looked at: {problem}");
                }
                self.0.push((place, problem));
            }
            (None, Some(_)) => info!(place; "secrets are looked at again"),
            (None, None) => {}
        }
    }
}
