//! Who is told of the end of a run, and what.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::journal::FireOutcome;
use crate::model::{Callback, End, EntryOptions, Fire, JsonText, Notice, Occasion, RunId};

/// How the run before ended, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// This is the first.
    Nothing,
    Ended(End),
    /// Nobody could be asked.
    Unknown,
}

/// The occasions on which somebody wants to be told of this end. Pure.
pub(super) fn occasions(options: &EntryOptions, before: Before, end: End) -> impl Iterator<Item = Occasion> {
    let is_wanted = move |occasion: &Occasion| {
        let Some(Callback { each, .. }) = occasion.callback(options) else { return false };
        match (occasion, end, before) {
            (Occasion::Failure, End::Succeeded, _) | (Occasion::Success | Occasion::Recovery, End::Failed, _) => false,
            // To be told of a failure twice is better than never.
            (Occasion::Failure, End::Failed, before) => *each || before != Before::Ended(End::Failed),
            (Occasion::Success, End::Succeeded, before) => *each || before != Before::Ended(End::Succeeded),
            (Occasion::Recovery, End::Succeeded, before) => before == Before::Ended(End::Failed),
        }
    };
    Occasion::ALL.into_iter().filter(is_wanted)
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'static str,
    identity: &'a str,
    entry: &'a str,
    run_id: String,
    fire_time: String,
    trigger: &'static str,
    run_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    ended_at: String,
    attempts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    message: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dead_letter: bool,
}

/// The message about the end of a run, on its way.
pub(super) fn notice(fire: &Fire, outcome: &FireOutcome, occasion: Occasion) -> Fire {
    let about = fire.run_id();
    let notice = Notice {
        run_id: about.following(occasion.as_str()),
        about,
        occasion,
        event: event(fire, about, outcome, occasion),
    };
    Fire { notice: Some(Arc::new(notice)), progress: None, redelivered: false, ..fire.clone() }
}

fn event(fire: &Fire, about: RunId, outcome: &FireOutcome, occasion: Occasion) -> Option<JsonText> {
    let event = Event {
        event: occasion.as_str(),
        identity: fire.identity().as_str(),
        entry: fire.entry().name.as_str(),
        run_id: about.to_string(),
        fire_time: fire.fire_time.to_string(),
        trigger: fire.trigger.as_str(),
        run_by: fire.run_by(),
        started_at: outcome.started_at().map(|at| at.to_string()),
        ended_at: outcome.ended_at.to_string(),
        attempts: outcome.attempts.len(),
        status: outcome.status(),
        message: &outcome.messages,
        dead_letter: outcome.is_dead_letter,
    };
    JsonText::from_raw(&to_raw_value(&event).expect("an event can be written as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Request, TargetUrl};

    fn told(each: bool, before: Before, end: End) -> Vec<&'static str> {
        let callback = || {
            Some(Callback {
                request: Request::post(TargetUrl::parse("http://a/").unwrap()),
                each,
                credentials: Default::default(),
            })
        };
        let options = EntryOptions {
            on_failure: callback(),
            on_success: callback(),
            on_recovery: callback(),
            ..EntryOptions::default()
        };
        occasions(&options, before, end).map(Occasion::as_str).collect()
    }

    #[test]
    fn by_default_a_change_of_state_is_told_and_nothing_else() {
        let (failed, succeeded) = (Before::Ended(End::Failed), Before::Ended(End::Succeeded));

        assert_eq!(told(false, Before::Nothing, End::Failed), ["on_failure"]);
        assert_eq!(told(false, succeeded, End::Failed), ["on_failure"]);
        assert_eq!(told(false, failed, End::Failed), [""; 0]);
        assert_eq!(told(false, Before::Nothing, End::Succeeded), ["on_success"]);
        assert_eq!(told(false, failed, End::Succeeded), ["on_success", "on_recovery"]);
        assert_eq!(told(false, succeeded, End::Succeeded), [""; 0]);
    }

    #[test]
    fn who_wants_each_run_is_told_of_each_and_of_recoveries_only_where_there_is_one() {
        let (failed, succeeded) = (Before::Ended(End::Failed), Before::Ended(End::Succeeded));

        assert_eq!(told(true, failed, End::Failed), ["on_failure"]);
        assert_eq!(told(true, succeeded, End::Succeeded), ["on_success"]);
        assert_eq!(told(true, failed, End::Succeeded), ["on_success", "on_recovery"]);
    }

    #[test]
    fn where_nobody_knows_how_it_was_a_failure_is_told_and_a_recovery_is_not() {
        assert_eq!(told(false, Before::Unknown, End::Failed), ["on_failure"]);
        assert_eq!(told(false, Before::Unknown, End::Succeeded), ["on_success"]);
    }

    #[test]
    fn an_entry_without_callbacks_tells_nobody() {
        assert_eq!(occasions(EntryOptions::none(), Before::Nothing, End::Failed).count(), 0);
    }
}
