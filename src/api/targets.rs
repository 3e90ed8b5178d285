//! Tells whoever puts a task which of its requests would be refused as the service is configured.
//!
//! A warning, and never a mistake: the rules may change before anything fires, and what a name resolves to is known when it is sent.

use super::wire::{Understood, understand};
use super::wire_put::{Terms, entry_path, read_put};
use crate::catalog::Put;
use crate::model::object::Mistakes;
use crate::model::{Auth, Credentials, Destination, Entry, Request, TargetRules, TargetUrl, Task};

/// `/put`: the task, whole, with warnings of where its requests may not go.
pub(super) fn put(bytes: &[u8], terms: &Terms, rules: &TargetRules) -> Understood<Put> {
    understand(|mistakes| {
        let put = read_put(bytes, terms, mistakes)?;
        warn_of_refused(&put.task, "entries", rules, mistakes);
        Some(put)
    })
}

/// Warns of the requests of a task whose entries stand at `entries`.
pub(super) fn warn_of_refused(task: &Task, entries: &str, rules: &TargetRules, mistakes: &mut Mistakes) {
    for entry in &task.entries {
        if mistakes.has_all_warnings() {
            return;
        }
        warn_of_entry(entry, &entry_path(entries, entry.name.as_str()), rules, mistakes);
    }
}

/// Warns of the requests of an entry that stands at `path`.
pub(super) fn warn_of_entry(entry: &Entry, path: &str, rules: &TargetRules, mistakes: &mut Mistakes) {
    let options = entry.options();
    let callbacks = [
        ("on_failure", &options.on_failure),
        ("on_success", &options.on_success),
        ("on_recovery", &options.on_recovery),
    ];
    warn_of_request(&entry.request, &below(path, "url"), rules, mistakes);
    warn_of_token_url(&options.credentials, path, rules, mistakes);
    for (name, callback) in callbacks {
        if let Some(callback) = callback {
            warn_of_request(&callback.request, &below(path, &format!("{name}.url")), rules, mistakes);
            warn_of_token_url(&callback.credentials, &below(path, name), rules, mistakes);
        }
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn warn_of_request(request: &Request, path: &str, rules: &TargetRules, mistakes: &mut Mistakes) {
    warn_of_url(&request.url, path, rules, mistakes);
}

fn warn_of_token_url(credentials: &Credentials, path: &str, rules: &TargetRules, mistakes: &mut Mistakes) {
    if let Some(Auth::OAuth2(client)) = credentials.auth.as_deref() {
        warn_of_url(&client.token_url, &below(path, "auth.token_url"), rules, mistakes);
    }
}

fn warn_of_url(url: &TargetUrl, path: &str, rules: &TargetRules, mistakes: &mut Mistakes) {
    let to = Destination::of(&url.to_url());
    if let Some(Err(refusal)) = to.map(|to| rules.judge_host(&to)) {
        mistakes.warn(path, format_args!("is refused when it is sent: {refusal}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warnings(rules: &TargetRules) -> Vec<String> {
        let body = json!({
            "identity": "t", "time_zone": "UTC", "start": true,
            "entries": {
                "a": { "every": "1d", "url": "http://0x7f.1:81/{{entry}}" },
                "b": {
                    "every": "1d", "url": "https://example.com/",
                    "on_failure": { "url": "http://user:s3cret@localhost/?s3cret" },
                    "on_success": { "url": "http://[fd00::1]/" },
                },
            },
        });
        put(body.to_string().as_bytes(), &Terms::at(crate::model::Timestamp::EPOCH), rules).unwrap().warnings
    }

    #[test]
    fn a_put_is_warned_of_each_url_that_would_be_refused_and_taken_all_the_same() {
        let opened =
            TargetRules { allow: TargetRules::parse_list("loopback, private").unwrap(), ..TargetRules::default() };

        assert_eq!(
            warnings(&TargetRules::default()),
            [
                "entries.a.url: is refused when it is sent: 127.0.0.1 is loopback ([targets] allow_targets opens it)",
                "entries.b.on_failure.url: is refused when it is sent: localhost is 127.0.0.1, which is loopback \
                 ([targets] allow_targets opens it)",
                "entries.b.on_success.url: is refused when it is sent: fd00::1 is private ([targets] allow_targets opens it)",
            ]
        );
        assert_eq!(warnings(&opened), [""; 0]);
    }
}
