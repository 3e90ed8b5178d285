//! Whether a task reads back as it was put.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::EntryOptions;

/// How deep values are compared that are not written alike. Beyond it they count as different: so no answer can exhaust
/// the stack.
const DEPTH_MAX: usize = 128;

#[derive(Deserialize)]
struct TaskShape<'a> {
    #[serde(borrow)]
    time_zone: Option<&'a RawValue>,
    #[serde(borrow)]
    start: Option<&'a RawValue>,
    #[serde(borrow)]
    entries: BTreeMap<String, EntryShape<'a>>,
}

/// The dates and what else is the service's own are left out.
type EntryShape<'a> = BTreeMap<String, Option<&'a RawValue>>;

/// The places where two tasks differ. Values are not told: they may be secret.
pub(super) fn differences(put: &[u8], got: &[u8]) -> serde_json::Result<Vec<String>> {
    let (put, got): (TaskShape<'_>, TaskShape<'_>) = (serde_json::from_slice(put)?, serde_json::from_slice(got)?);
    let members = [("time_zone", put.time_zone, got.time_zone), ("start", put.start, got.start)];
    let mut places = differing("", members);
    let names: BTreeSet<&String> = put.entries.keys().chain(got.entries.keys()).collect();
    for name in names {
        let place = format!("entries.{}", name.escape_debug());
        match (put.entries.get(name), got.entries.get(name)) {
            (Some(put), Some(got)) => places.extend(differing(&format!("{place}."), pairs(put, got))),
            _ => places.push(place),
        }
    }
    Ok(places)
}

type Pair<'a> = (&'static str, Option<&'a RawValue>, Option<&'a RawValue>);

/// What an entry may hold. A method that is not given is POST.
const ENTRY_KEYS: [&str; 7] = ["cron_time", "at", "every", "method", "url", "headers", "body"];

fn pairs<'a>(put: &EntryShape<'a>, got: &EntryShape<'a>) -> impl Iterator<Item = Pair<'a>> {
    let keys = ENTRY_KEYS.into_iter().chain(EntryOptions::KEYS);
    let value = |entry: &EntryShape<'a>, key: &str| {
        let value = entry.get(key).copied().flatten();
        value.filter(|value| key != "method" || value.get() != "\"POST\"")
    };
    keys.map(move |key| (key, value(put, key), value(got, key)))
}

fn differing<'a>(prefix: &str, pairs: impl IntoIterator<Item = Pair<'a>>) -> Vec<String> {
    let is_other = |put: Option<&RawValue>, got: Option<&RawValue>| match (put, got) {
        (Some(put), Some(got)) => !is_same(put, got, DEPTH_MAX),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    let others = pairs.into_iter().filter(|&(_, put, got)| is_other(put, got));
    others.map(|(name, _, _)| format!("{prefix}{name}")).collect()
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Equal as JSON. Numbers are equal when they are written alike: as floating-point numbers long ones would pass for others.
fn is_same(a: &RawValue, b: &RawValue, depth_left: usize) -> bool {
    if a.get() == b.get() {
        return true;
    }
    let Some(depth_left) = depth_left.checked_sub(1) else { return false };
    match (a.get().as_bytes()[0], b.get().as_bytes()[0]) {
        (b'{', b'{') => read(a, b).is_some_and(|(a, b): (Members<'_>, Members<'_>)| {
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1, depth_left))
        }),
        (b'[', b'[') => read(a, b).is_some_and(|(a, b): (Vec<&RawValue>, Vec<&RawValue>)| {
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| is_same(a, b, depth_left))
        }),
        (b'"', b'"') => read(a, b).is_some_and(|(a, b): (String, String)| a == b),
        _ => false,
    }
}

fn read<'a, T: Deserialize<'a>>(a: &'a RawValue, b: &'a RawValue) -> Option<(T, T)> {
    serde_json::from_str(a.get()).ok().zip(serde_json::from_str(b.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(entry: &str) -> String {
        format!(r#"{{"identity":"a","time_zone":"UTC","start":true,"entries":{{"e":{entry}}}}}"#)
    }

    fn differences_of(put: &str, got: &str) -> Vec<String> {
        differences(task(put).as_bytes(), task(got).as_bytes()).unwrap()
    }

    #[test]
    fn what_is_written_otherwise_but_means_the_same_is_no_difference() {
        let put =
            r#"{"cron_time":"@daily","url":"http:\/\/a","headers":{"A":"\u0026","B":"2"},"body":[1.50,{"x" : null}]}"#;
        let got = r#"{"body":[1.50,{"x":null}],"headers":{"B":"2","A":"&"},"url":"http://a","cron_time":"@daily","next_date":"x"}"#;

        assert!(differences_of(put, got).is_empty());
        assert!(differences_of(r#"{"headers":null}"#, "{}").is_empty());
    }

    #[test]
    fn each_place_that_differs_is_named_without_its_value() {
        let put = r#"{"cron_time":"@daily","url":"http://a","headers":{"A":"secret"},"body":12345678901234567890123}"#;
        let got =
            r#"{"cron_time":"@hourly","url":"http://a/","headers":{"A":"Secret"},"body":12345678901234567890124}"#;

        let places = differences_of(put, got);

        assert_eq!(places, ["entries.e.cron_time", "entries.e.url", "entries.e.headers", "entries.e.body"]);
        assert_eq!(differences_of(r#"{"body":[1,2]}"#, r#"{"body":[1]}"#), ["entries.e.body"]);
        assert_eq!(differences_of(r#"{"body":{"a":1}}"#, r#"{"body":{"b":1}}"#), ["entries.e.body"]);
        let other = task("{}").replace(r#""e""#, r#""f""#).replace("UTC", "Asia/Tokyo").replace("true", "false");
        let places = differences(task("{}").as_bytes(), other.as_bytes()).unwrap();
        assert_eq!(places, ["time_zone", "start", "entries.e", "entries.f"]);
    }

    #[test]
    fn options_and_triggers_are_compared_too() {
        let put = r#"{"every":"90s","method":"POST","retry":{"attempts_max":2},"tags":["a"],"state":"active","odd":1}"#;
        let got = r#"{"every":"91s","retry":{"attempts_max":3},"at":"x","timeout":"1s"}"#;

        let places = ["at", "every", "timeout", "retry", "tags"].map(|key| format!("entries.e.{key}"));
        assert_eq!(differences_of(put, got), places);
    }

    #[test]
    fn a_value_as_deep_as_can_be_is_no_danger() {
        let deep = |inner: &str| format!(r#"{{"body":{}{inner}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));

        assert!(differences_of(&deep("1"), &deep("1")).is_empty());
        assert_eq!(differences_of(&deep("1"), &deep("2")), ["entries.e.body"]);
    }
}
