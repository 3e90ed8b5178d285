//! Whether a request has an audit record, and what that says of its end.

use http::{Method, StatusCode};

use super::bound::Sort;
use super::{AuditSettings, WatchedReads};
use crate::access::Role;
use crate::api::reply::ApiError;
use crate::journal::AuditOutcome;

/// Operations that show what targets have answered.
const RESULTS: [&str; 6] = ["getRun", "getResult", "getResultHead", "getOneShot", "searchTaskLog", "searchAllLogs"];
/// The operation whose lines have records of their own.
const LINES: &str = "changeTasks";

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It changes something.
    Change,
    /// It changes many tasks: each of its lines has a record.
    Lines,
    /// It shows something that is watched.
    Watched,
    /// It shows something that is not.
    Unwatched,
}

impl Purpose {
    pub(super) fn of(method: &Method, needed: Role, operation: &str, settings: AuditSettings) -> Self {
        if needed > Role::Read && *method != Method::GET && *method != Method::HEAD {
            return if operation == LINES { Self::Lines } else { Self::Change };
        }
        let is_watched = match settings.reads {
            WatchedReads::None => false,
            WatchedReads::Results => RESULTS.contains(&operation),
            WatchedReads::All => true,
        };
        if is_watched { Self::Watched } else { Self::Unwatched }
    }
}

/// How an error stands in the audit. Answers carry it beside what they tell the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Failure {
    pub(super) outcome: AuditOutcome,
    /// Why. Only where nothing of what the client sent stands in it: that may hold a credential.
    pub(super) why: Option<String>,
    /// A right was missing.
    pub(super) is_of_right: bool,
}

impl Failure {
    pub(in crate::api) fn of(error: &ApiError) -> Self {
        let refused = |why: Option<String>, is_of_right| Self { outcome: AuditOutcome::Refused, why, is_of_right };
        let failed = |why: Option<String>| Self { outcome: AuditOutcome::Failed, why, is_of_right: false };
        match error {
            ApiError::Unauthorized(_)
            | ApiError::WrongToken(_)
            | ApiError::Forbidden(_)
            | ApiError::TooMany { .. }
            | ApiError::Stranger => refused(Some(error.to_string()), true),
            ApiError::Outdated { .. } => refused(Some(error.to_string()), false),
            ApiError::Busy(_) | ApiError::Elsewhere => failed(Some(error.to_string())),
            ApiError::Failed(_) | ApiError::BrokeOff(_) => failed(None),
            ApiError::Refused(_)
            | ApiError::Unclear(_)
            | ApiError::HeadTooLarge(_)
            | ApiError::UrlTooLong { .. }
            | ApiError::Expectation
            | ApiError::TooLarge { .. }
            | ApiError::LineTooLong { .. }
            | ApiError::TooSlow { .. }
            | ApiError::Unreadable(_)
            | ApiError::Encoding(_)
            | ApiError::NotFound
            | ApiError::Method { .. } => refused(None, false),
        }
    }

    /// Of an answer that carries none.
    fn of_status(status: StatusCode) -> Option<Self> {
        let outcome = match status.as_u16() {
            ..=399 => return None,
            400..=499 => AuditOutcome::Refused,
            _ => AuditOutcome::Failed,
        };
        let is_of_right = matches!(status.as_u16(), 401 | 403 | 429);
        Some(Self { outcome, why: None, is_of_right })
    }
}

/// What is known of a request when it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'a> {
    pub(super) purpose: Purpose,
    /// The record was stored with the change, or another node has carried the request out.
    pub(super) is_elsewhere: bool,
    /// Who asked is known.
    pub(super) is_known: bool,
    pub(super) status: StatusCode,
    pub(super) failure: Option<&'a Failure>,
}

/// The record that a request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: AuditOutcome,
    pub(super) why: Option<String>,
    /// `None`: it has a record whatever comes. Else only so many of its sort have one.
    pub(super) sort: Option<Sort>,
}

/// Whether a request has a record; the one that is stored with a change does not count.
pub(super) fn verdict(ended: &Ended<'_>) -> Option<Verdict> {
    // Nothing was done: the node that asked looks for another one.
    if ended.is_elsewhere || ended.status == StatusCode::MISDIRECTED_REQUEST {
        return None;
    }
    let Some(failure) = ended.failure.cloned().or_else(|| Failure::of_status(ended.status)) else {
        let sort = match ended.purpose {
            Purpose::Change => None,
            Purpose::Watched => Some(Sort::Reader),
            Purpose::Lines | Purpose::Unwatched => return None,
        };
        return Some(Verdict { outcome: AuditOutcome::Done, why: None, sort });
    };
    let is_read = matches!(ended.purpose, Purpose::Watched | Purpose::Unwatched);
    if is_read && !failure.is_of_right {
        return None;
    }
    let sort = Some(if ended.is_known { Sort::Known } else { Sort::Unknown });
    Some(Verdict { outcome: failure.outcome, why: failure.why, sort })
}

#[cfg(test)]
mod tests {
    use super::super::trail::WITH_CHANGE;
    use super::*;
    use crate::api::openapi;

    fn ended(purpose: Purpose, status: u16) -> Ended<'static> {
        let status = StatusCode::from_u16(status).unwrap();
        Ended { purpose, is_elsewhere: false, is_known: true, status, failure: None }
    }

    fn outcome(ended: &Ended<'_>) -> Option<(AuditOutcome, Option<Sort>)> {
        verdict(ended).map(|verdict| (verdict.outcome, verdict.sort))
    }

    #[test]
    fn what_changes_something_has_a_record_and_what_reads_has_one_if_it_is_watched() {
        let purpose = |needed, operation, reads| {
            let settings = AuditSettings { is_enabled: true, reads };
            Purpose::of(&Method::POST, needed, operation, settings)
        };

        assert_eq!(purpose(Role::Operate, "pause", WatchedReads::None), Purpose::Change);
        assert_eq!(purpose(Role::Write, LINES, WatchedReads::None), Purpose::Lines);
        assert_eq!(purpose(Role::Read, "getTask", WatchedReads::Results), Purpose::Unwatched);
        assert_eq!(purpose(Role::Read, "getTask", WatchedReads::All), Purpose::Watched);
        assert_eq!(purpose(Role::Read, "getRun", WatchedReads::Results), Purpose::Watched);
        assert_eq!(purpose(Role::Read, "getRun", WatchedReads::None), Purpose::Unwatched);
        let keys = Purpose::of(&Method::GET, Role::Admin, "getKeys", AuditSettings::default());
        assert_eq!(keys, Purpose::Unwatched, "a list of keys changes nothing");

        assert_eq!(outcome(&ended(Purpose::Change, 200)), Some((AuditOutcome::Done, None)));
        assert_eq!(outcome(&ended(Purpose::Watched, 200)), Some((AuditOutcome::Done, Some(Sort::Reader))));
        assert_eq!(outcome(&ended(Purpose::Unwatched, 200)), None);
        assert_eq!(outcome(&ended(Purpose::Lines, 200)), None);
    }

    #[test]
    fn operations_that_are_named_here_stand_in_the_description() {
        let described = String::from_utf8(openapi::document().json.to_vec()).unwrap();
        for operation in RESULTS.iter().chain([&LINES]).chain(&WITH_CHANGE) {
            assert!(described.contains(&format!("\"{operation}\"")), "{operation}");
        }
    }

    #[test]
    fn who_lacks_a_right_is_noted_whatever_was_asked_for() {
        for purpose in [Purpose::Change, Purpose::Lines, Purpose::Watched, Purpose::Unwatched] {
            for status in [401, 403, 429] {
                let known = ended(purpose, status);
                let unknown = Ended { is_known: false, ..known };

                assert_eq!(outcome(&known), Some((AuditOutcome::Refused, Some(Sort::Known))));
                assert_eq!(outcome(&unknown), Some((AuditOutcome::Refused, Some(Sort::Unknown))));
            }
        }
        assert_eq!(outcome(&ended(Purpose::Unwatched, 404)), None);
        assert_eq!(outcome(&ended(Purpose::Change, 404)), Some((AuditOutcome::Refused, Some(Sort::Known))));
        assert_eq!(outcome(&ended(Purpose::Change, 503)), Some((AuditOutcome::Failed, Some(Sort::Known))));
    }

    #[test]
    fn what_is_told_with_200_is_a_refusal_all_the_same_and_nothing_of_the_body_is_repeated() {
        let failure = Failure::of(&ApiError::Refused("headers: is `hunter2`".to_owned()));
        let refused = Ended { failure: Some(&failure), ..ended(Purpose::Change, 200) };

        let verdict = verdict(&refused).unwrap();

        assert_eq!((verdict.outcome, verdict.why), (AuditOutcome::Refused, None));
    }

    #[test]
    fn what_another_node_carries_out_is_noted_there_and_nowhere_else() {
        let passed_on = Ended { is_elsewhere: true, ..ended(Purpose::Change, 200) };

        assert_eq!(outcome(&passed_on), None);
        assert_eq!(outcome(&ended(Purpose::Change, 421)), None);
    }
}
