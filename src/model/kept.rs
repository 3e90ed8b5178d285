//! A put that sends the mask back: the credential that is stored stays.

use serde_json::value::RawValue;

use super::object::{Mistake, Mistakes, Object};
use super::{Callback, EntryOptions, Header, JsonText, MASK, Masking, Occasion, Request, TargetUrl, Task};

const NOTHING_TO_KEEP: &str =
    "is the mask of a credential, and none is stored that could be kept: give the credential itself";
const OF_ANOTHER: &str = "has the mask of a password, and the URL that is stored has no password of this user on this server: give the password itself";

impl Task {
    /// Puts what is stored in the places of credentials where a client has sent the mask back. What is told are the places for which
    /// nothing is stored.
    pub fn keep_masked(&mut self, stored: Option<&Self>, masking: &Masking) -> Vec<Mistake> {
        let mut unkept = Vec::new();
        for entry in &mut self.entries {
            let stored = stored.and_then(|task| task.entries.iter().find(|stored| stored.name == entry.name));
            let path = format!("entries.{}", entry.name.as_str());
            entry.request.keep_masked(stored.map(|stored| &stored.request), masking, &path, &mut unkept);
            let Some(options) = entry.options.as_deref_mut() else { continue };
            let theirs = stored.map(|stored| &stored.options().credentials);
            if options.credentials.keep_masked(theirs, &path, &mut unkept) {
                options.rewrite(|key, given, options| options.credentials.rewritten(key, given));
            }
            for occasion in Occasion::ALL {
                let stored = stored.and_then(|stored| occasion.callback(stored.options()));
                let path = format!("{path}.{}", occasion.as_str());
                options.keep_masked(occasion, stored, masking, &path, &mut unkept);
            }
        }
        unkept
    }
}

impl EntryOptions {
    fn keep_masked(
        &mut self,
        occasion: Occasion,
        stored: Option<&Callback>,
        masking: &Masking,
        path: &str,
        unkept: &mut Vec<Mistake>,
    ) {
        let Some(Callback { request, credentials, .. }) = occasion.callback_mut(self) else { return };
        let in_request = request.keep_masked(stored.map(|stored| &stored.request), masking, path, unkept);
        let in_credentials = credentials.keep_masked(stored.map(|stored| &stored.credentials), path, unkept);
        if in_request || in_credentials {
            self.rewrite(|key, given, options| {
                occasion
                    .callback(options)
                    .filter(|_| key == occasion.as_str())
                    .and_then(|callback| rewritten(given, callback))
            });
        }
    }

    /// What is stored and shown are the options as they were given. `rewritten` gives those that are others now.
    fn rewrite(&mut self, rewritten: impl Fn(&str, &RawValue, &Self) -> Option<JsonText>) {
        let mut given = std::mem::take(&mut self.given);
        for (key, given) in &mut given {
            if let Some(rewritten) = rewritten(key, given.as_raw(), self) {
                *given = rewritten;
            }
        }
        self.given = given;
    }
}

/// A callback as it was given, with the URL, the headers and the credentials that it has now.
fn rewritten(given: &RawValue, Callback { request, credentials, .. }: &Callback) -> Option<JsonText> {
    let members = Object::read(given, String::new(), &mut Mistakes::default())?.into_members();
    let headers = request.headers.iter().flatten();
    let headers = headers.map(|header| format!("{}:{}", quoted(header.name()), quoted(header.value())));
    let headers: Vec<String> = headers.collect();
    let member = |(key, raw): (String, &RawValue)| match (key.as_str(), &request.headers) {
        ("url", _) => format!("\"url\":{}", quoted(request.url.as_str())),
        ("headers", Some(_)) => format!("\"headers\":{{{}}}", headers.join(",")),
        (other, _) => {
            let rewritten = credentials.rewritten(other, raw);
            format!("{}:{}", quoted(other), rewritten.as_ref().map_or(raw.get(), JsonText::as_str))
        }
    };
    let members: Vec<String> = members.into_iter().map(member).collect();
    let text = format!("{{{}}}", members.join(","));
    JsonText::from_raw(serde_json::from_str(&text).ok()?)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string can be written as JSON")
}

impl Request {
    /// Whether anything was put in place of a mask.
    fn keep_masked(&mut self, stored: Option<&Self>, masking: &Masking, path: &str, unkept: &mut Vec<Mistake>) -> bool {
        let mut has_changed = false;
        if self.url.has_masked_password() {
            match stored.and_then(|stored| self.url.with_password_of(&stored.url)) {
                Some(url) => {
                    self.url = url;
                    has_changed = true;
                }
                None => unkept.push(Mistake { path: format!("{path}.url"), text: OF_ANOTHER.to_owned() }),
            }
        }
        let is_masked = |header: &&mut Header| header.value() == MASK && masking.covers(header);
        for header in self.headers.iter_mut().flatten().filter(is_masked) {
            match stored.and_then(|stored| stored.header_like(header.name())) {
                Some(stored) => {
                    *header = header.with_value_of(stored);
                    has_changed = true;
                }
                None => {
                    let path = format!("{path}.headers.{}", header.name());
                    unkept.push(Mistake { path, text: NOTHING_TO_KEEP.to_owned() });
                }
            }
        }
        has_changed
    }

    /// The header with this name, in the same letters or in others.
    fn header_like(&self, name: &str) -> Option<&Header> {
        let headers = || self.headers.iter().flatten();
        let same = headers().find(|header| header.name() == name);
        same.or_else(|| headers().find(|header| header.name().eq_ignore_ascii_case(name)))
    }
}

impl TargetUrl {
    fn has_masked_password(&self) -> bool {
        self.password().is_some_and(|password| password == MASK)
    }

    /// The same URL with the password of another one that leads the same user to the same server.
    fn with_password_of(&self, stored: &Self) -> Option<Self> {
        let (ours, theirs) = (self.to_url(), stored.to_url());
        let is_same = ours.origin() == theirs.origin() && ours.username() == theirs.username();
        let password = stored.password().filter(|_| is_same)?;
        self.with_password(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entry, EntryName, Identity, Schedule, TimeZone};

    fn request(url: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| Header::parse(name, value).unwrap()).collect();
        Request { headers: Some(headers), ..Request::post(TargetUrl::parse(url).unwrap()) }
    }

    fn task(request: Request, callback: Option<&str>) -> Task {
        let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("@daily").unwrap(), request);
        let options = callback.map(|callback| {
            let text = format!("{{\"on_failure\":{callback}}}");
            let raw: &RawValue = serde_json::from_str(&text).unwrap();
            let members = Object::read(raw, String::new(), &mut Mistakes::default()).unwrap();
            EntryOptions::read(&members, &mut Mistakes::default()).unwrap()
        });
        let entry = entry.with_options(options);
        Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry])
    }

    fn told(unkept: &[Mistake]) -> Vec<&str> {
        unkept.iter().map(|mistake| mistake.path.as_str()).collect()
    }

    #[test]
    fn the_mask_keeps_what_is_stored_and_other_values_replace_it() {
        let stored = task(request("http://u:pw@h/a", &[("Authorization", "Bearer 1"), ("X-Key", "2")]), None);
        let mut put =
            task(request("http://u:***@h/b", &[("authorization", "***"), ("X-Key", "3"), ("X-A", "***")]), None);

        assert_eq!(put.keep_masked(Some(&stored), &Masking::default()), []);

        let expected = request("http://u:pw@h/b", &[("authorization", "Bearer 1"), ("X-Key", "3"), ("X-A", "***")]);
        assert_eq!(put.entries[0].request, expected);
    }

    #[test]
    fn a_mask_for_which_nothing_is_stored_is_a_mistake() {
        let masked = || task(request("http://u:***@h/", &[("Cookie", "***")]), None);

        assert_eq!(
            told(&masked().keep_masked(None, &Masking::default())),
            ["entries.e.url", "entries.e.headers.Cookie"]
        );
        let stored = task(request("http://u@h/", &[("X-Cookie", "1")]), None);
        assert_eq!(masked().keep_masked(Some(&stored), &Masking::default()).len(), 2);
    }

    #[test]
    fn a_password_is_kept_for_the_same_user_on_the_same_server_only() {
        for stored in ["http://other:pw@h/", "http://u:pw@other/", "https://u:pw@h/", "http://u:pw@h:81/"] {
            let (stored, mut put) = (task(request(stored, &[]), None), task(request("http://u:***@h/", &[]), None));
            assert_eq!(told(&put.keep_masked(Some(&stored), &Masking::default())), ["entries.e.url"]);
        }
    }

    #[test]
    fn what_an_entry_signs_with_and_shows_is_kept_where_its_callback_has_its_own() {
        let options = |own: &str, of_callback: &str| {
            let text = format!(
                r#"{{"auth":{{"type":"bearer","token":"{own}"}},"tags":["a"],"on_failure":{{"url":"http://h/","auth":{{"type":"bearer","token":"{of_callback}"}}}}}}"#
            );
            let members = serde_json::from_str(&text)
                .ok()
                .and_then(|raw| Object::read(raw, String::new(), &mut Mistakes::default()));
            let options = EntryOptions::read(&members.unwrap(), &mut Mistakes::default());
            let entry = Entry::new(
                EntryName::parse("e").unwrap(),
                Schedule::cron("@daily").unwrap(),
                request("http://h/", &[]),
            );
            Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry.with_options(options)])
        };
        let (stored, mut put, mut other) = (options("t1", "t2"), options("***", "***"), options("***", "***"));

        assert_eq!(put.keep_masked(Some(&stored), &Masking::default()), []);

        let (put, stored) = (put.entries[0].options(), stored.entries[0].options());
        assert_eq!(put.given, stored.given);
        assert_eq!(put.credentials, stored.credentials);
        assert_eq!(put.on_failure.as_ref().unwrap().credentials, stored.on_failure.as_ref().unwrap().credentials);
        let told_of = other.keep_masked(None, &Masking::default());
        assert_eq!(told(&told_of), ["entries.e.auth.token", "entries.e.on_failure.auth.token"]);
    }

    #[test]
    fn the_credentials_of_callbacks_are_kept_in_what_is_sent_and_in_what_is_stored() {
        let callback = |secret: &str| {
            format!(
                r#"{{"every":"run","headers":{{"X-Key":"{secret}","A":"é"}},"url":"http://u:{secret}@h/","sign":null,"body":1.50}}"#
            )
        };
        let plain = || request("http://h/", &[]);
        let (stored, mut put) = (task(plain(), Some(&callback("s\\\"1"))), task(plain(), Some(&callback("***"))));
        let missing =
            task(plain(), Some(&callback("***"))).keep_masked(Some(&task(plain(), None)), &Masking::default());

        assert_eq!(put.keep_masked(Some(&stored), &Masking::default()), []);

        let (put, stored) = (put.entries[0].options(), stored.entries[0].options());
        assert_eq!(put.given, stored.given);
        assert_eq!(put.on_failure.as_ref().unwrap().request, stored.on_failure.as_ref().unwrap().request);
        assert_eq!(told(&missing), ["entries.e.on_failure.url", "entries.e.on_failure.headers.X-Key"]);
    }
}
