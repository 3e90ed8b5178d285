//! Whom to tell of a run's end.

use super::Callback;
use crate::model::Request;
use crate::model::object::{Mistakes, Object, word};

const KEYS: [&str; 5] = ["url", "method", "headers", "body", "every"];

impl Callback {
    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        members.refuse_unknown(&KEYS, mistakes);
        let each = |text: &str| match text {
            "change" => Some(false),
            "run" => Some(true),
            _ => None,
        };
        let every = members.get("every");
        let each = every.and_then(|raw| word(raw, &members.path_of("every"), each, &["change", "run"], mistakes));
        let request = Request::read(members, mistakes)?;
        Some(Self { request, each: each.unwrap_or_default() })
    }
}
