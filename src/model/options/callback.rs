//! Whom to tell of a run's end.

use super::Callback;
use crate::model::object::{Mistakes, Object, word};
use crate::model::{Credentials, Request};

const KEYS: [&str; 7] = ["url", "method", "headers", "body", "every", "sign", "auth"];

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
        let credentials = Credentials::read(members, mistakes);
        let request = Request::read(members, mistakes)?;
        Some(Self { request, credentials, each: each.unwrap_or_default() })
    }
}
