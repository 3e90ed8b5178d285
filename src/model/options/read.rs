//! Reads the options of an entry, with every mistake at once.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{Callback, Delivery, EntryOptions, Misfire, Overlap, RetryPolicy, SuccessRule};
use crate::model::duration::Span;
use crate::model::object::{Mistakes, Object, array, boolean, integer, shown, string, word};
use crate::model::{Credentials, Exclude, JsonText, Timestamp};

const TIMEOUT: Span = Span::new(Duration::from_millis(1), Duration::from_secs(86_400), "1ms to 24h");
const JITTER: Span = Span::new(Duration::ZERO, Duration::from_secs(86_400), "0s to 24h");
const CATCH_UP_WINDOW: Span = Span::new(Duration::ZERO, Duration::from_secs(365 * 86_400), "0s to 365d");
/// The most instants that `fires_max` may ask for. More are refused.
const FIRES_MAX: i64 = 1_000_000_000;
/// The most redirects that an entry may want to be followed. More are refused.
const REDIRECTS_MAX: i64 = 10;
/// How many tags an entry may have, and how long each may be in bytes. More are refused.
const TAGS_MAX: usize = 32;
const TAG_LEN_MAX: usize = 64;
/// The longest description, in bytes. Longer ones are refused.
const DESCRIPTION_LEN_MAX: usize = 4 * 1024;

impl EntryOptions {
    /// The keys of all options.
    pub const KEYS: [&str; 21] = [
        "timeout",
        "success",
        "redirects_max",
        "retry",
        "overlap",
        "misfire",
        "catch_up_window",
        "delivery",
        "jitter",
        "start_at",
        "end_at",
        "fires_max",
        "exclude",
        "enabled",
        "tags",
        "description",
        "on_failure",
        "on_success",
        "on_recovery",
        "sign",
        "auth",
    ];

    /// Reads the options among the members of an entry; `None` when it gives none. Other members are not looked at.
    pub fn read(entry: &Object<'_>, mistakes: &mut Mistakes) -> Option<Box<Self>> {
        let given = given(entry);
        if given.is_empty() {
            return None;
        }
        let read = Reading { entry };
        let (start_at, end_at) = read.time_range(mistakes);
        Some(Box::new(Self {
            given,
            timeout: read.one("timeout", mistakes, |raw, path, mistakes| TIMEOUT.read(raw, path, mistakes)),
            success: read.object("success", mistakes, SuccessRule::read).unwrap_or_default(),
            redirects_max: read.one("redirects_max", mistakes, redirects_max).unwrap_or_default(),
            retry: read.object("retry", mistakes, RetryPolicy::read),
            overlap: read
                .word("overlap", mistakes, Overlap::parse, &Overlap::ALL.map(Overlap::as_str))
                .unwrap_or_default(),
            misfire: read
                .word("misfire", mistakes, Misfire::parse, &Misfire::ALL.map(Misfire::as_str))
                .unwrap_or_default(),
            catch_up_window: read
                .one("catch_up_window", mistakes, |raw, path, mistakes| CATCH_UP_WINDOW.read(raw, path, mistakes)),
            delivery: read
                .word("delivery", mistakes, Delivery::parse, &Delivery::ALL.map(Delivery::as_str))
                .unwrap_or_default(),
            jitter: read.one("jitter", mistakes, |raw, path, mistakes| JITTER.read(raw, path, mistakes)),
            start_at,
            end_at,
            fires_max: read.one("fires_max", mistakes, |raw, path, mistakes| {
                integer(raw, path, 1..=FIRES_MAX, mistakes).and_then(|max| u64::try_from(max).ok())
            }),
            exclude: read.object("exclude", mistakes, Exclude::read).unwrap_or_default(),
            enabled: read.one("enabled", mistakes, boolean).unwrap_or(true),
            tags: read.one("tags", mistakes, tags).unwrap_or_default(),
            description: read.one("description", mistakes, description),
            on_failure: read.object("on_failure", mistakes, Callback::read).flatten(),
            on_success: read.object("on_success", mistakes, Callback::read).flatten(),
            on_recovery: read.object("on_recovery", mistakes, Callback::read).flatten(),
            credentials: Credentials::read(entry, mistakes),
            limit: Default::default(),
        }))
    }
}

/// What is an option and not `null`, in the order given.
fn given(entry: &Object<'_>) -> Box<[(Box<str>, JsonText)]> {
    let known = entry.members().filter(|(key, _)| EntryOptions::KEYS.contains(key));
    known.filter_map(|(key, raw)| Some((key.into(), JsonText::from_raw(raw)?))).collect()
}

/// An entry whose options are read.
struct Reading<'o, 'a> {
    entry: &'o Object<'a>,
}

impl<'a> Reading<'_, 'a> {
    fn one<T>(
        &self,
        key: &str,
        mistakes: &mut Mistakes,
        read: impl FnOnce(&'a RawValue, &str, &mut Mistakes) -> Option<T>,
    ) -> Option<T> {
        read(self.entry.get(key)?, &self.entry.path_of(key), mistakes)
    }

    fn object<T>(
        &self,
        key: &str,
        mistakes: &mut Mistakes,
        read: impl FnOnce(&Object<'a>, &mut Mistakes) -> T,
    ) -> Option<T> {
        let members = self.entry.object(key, mistakes)?;
        Some(read(&members, mistakes))
    }

    fn word<T>(
        &self,
        key: &str,
        mistakes: &mut Mistakes,
        parse: impl FnOnce(&str) -> Option<T>,
        words: &[&str],
    ) -> Option<T> {
        self.one(key, mistakes, |raw, path, mistakes| word(raw, path, parse, words, mistakes))
    }

    fn time_range(&self, mistakes: &mut Mistakes) -> (Option<Timestamp>, Option<Timestamp>) {
        let start_at = self.one("start_at", mistakes, instant);
        let end_at = self.one("end_at", mistakes, instant);
        if let (Some(start), Some(end)) = (start_at, end_at)
            && end < start
        {
            mistakes.add(&self.entry.path_of("end_at"), "is before `start_at`, expected it to be no earlier");
        }
        (start_at, end_at)
    }
}

/// A date and time with its offset, from 1970 to 9999; what is finer than a millisecond is dropped.
fn instant(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Timestamp> {
    let text = string(raw, path, mistakes)?;
    let possible = Timestamp::EPOCH..Timestamp::FAR_FUTURE;
    let instant = Timestamp::parse_rfc3339(&text).filter(|instant| possible.contains(instant));
    if instant.is_none() {
        let expected = "a date and time with an offset, from 1970 to 9999, such as 2026-11-21T07:15:30Z";
        mistakes.add(path, format_args!("is `{}`, expected {expected}", shown(&text)));
    }
    instant
}

fn redirects_max(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<u32> {
    integer(raw, path, 0..=REDIRECTS_MAX, mistakes).and_then(|max| u32::try_from(max).ok())
}

fn tags(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Box<[Box<str>]>> {
    let items = array(raw, path, "strings", 0..=TAGS_MAX, mistakes)?;
    let mut tags: Vec<Box<str>> = Vec::with_capacity(items.len());
    for (index, raw) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(tag) = string(raw, &path, mistakes) else { continue };
        if !(1..=TAG_LEN_MAX).contains(&tag.len()) {
            mistakes.add(&path, format_args!("is {} bytes long, expected 1 to {TAG_LEN_MAX}", tag.len()));
        } else if tags.iter().any(|other| **other == *tag) {
            mistakes.add(&path, format_args!("is `{}`, which is given twice", shown(&tag)));
        } else {
            tags.push(tag.into());
        }
    }
    Some(tags.into())
}

fn description(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Box<str>> {
    let text = string(raw, path, mistakes)?;
    if text.len() <= DESCRIPTION_LEN_MAX {
        return Some(text.into());
    }
    mistakes.add(path, format_args!("is {} bytes long, expected at most {DESCRIPTION_LEN_MAX}", text.len()));
    None
}

#[cfg(test)]
mod tests;
