//! How a task is written into a store: the JSON of the wire, without dates.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::BoxError;
use crate::model::object::{Mistakes, Object};
use crate::model::{
    Entry, EntryName, EntryOptions, Header, Identity, JsonText, LastFire, Request, Schedule, TargetUrl, Task, TimeZone,
};

#[derive(Serialize, Deserialize)]
struct TaskDocument<'a> {
    #[serde(borrow)]
    time_zone: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    one_shot: bool,
    #[serde(borrow)]
    entries: BTreeMap<Cow<'a, str>, EntryDocument<'a>>,
}

/// One of the three triggers is there; a method, if it is not POST.
#[derive(Default, Serialize, Deserialize)]
struct EntryDocument<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    cron_time: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    at: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    every: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    /// As they were given, in the order given.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    options: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Writes a task's definition. Its identity is the key it is stored under.
pub fn write(task: &Task) -> String {
    let entries = task.entries.iter().map(|entry| (entry.name.as_str().into(), entry_document(entry))).collect();
    let document = TaskDocument { time_zone: task.time_zone.name().into(), one_shot: task.is_one_shot, entries };
    serde_json::to_string(&document).expect("strings and JSON texts can be written")
}

fn entry_document(entry: &Entry) -> EntryDocument<'_> {
    let request = &entry.request;
    let pair = |header: &'_ Header| -> (String, String) { (header.name().to_owned(), header.value().to_owned()) };
    let headers = request.headers.as_ref();
    let given = entry.options.as_deref().map_or(&[][..], |options| &options.given);
    let mut document = EntryDocument {
        method: (request.method != Method::POST).then(|| request.method.as_str().into()),
        url: request.url.as_str().into(),
        headers: headers
            .map(|headers| headers.iter().map(pair).map(|(name, value)| (name.into(), value.into())).collect()),
        body: request.body.as_ref().map(JsonText::as_raw),
        options: given.iter().map(|(key, value)| ((&**key).into(), value.as_raw())).collect(),
        ..EntryDocument::default()
    };
    let trigger = Some(Cow::Borrowed(entry.schedule.text()));
    match &entry.schedule {
        Schedule::Cron { .. } => document.cron_time = trigger,
        Schedule::At { .. } => document.at = trigger,
        Schedule::Every { .. } => document.every = trigger,
    }
    document
}

/// Reads a task's definition as [`write()`] wrote it.
pub fn read(identity: &Identity, text: &str) -> Result<Task, BoxError> {
    let document: TaskDocument<'_> = serde_json::from_str(text)?;
    let entries: Result<Box<[Entry]>, BoxError> =
        document.entries.into_iter().map(|(name, entry)| read_entry(&name, entry)).collect();
    Ok(Task {
        identity: identity.clone(),
        time_zone: TimeZone::parse(&document.time_zone)?,
        entries: entries?,
        is_one_shot: document.one_shot,
    })
}

fn read_entry(name: &str, document: EntryDocument<'_>) -> Result<Entry, BoxError> {
    let headers: Option<Result<Box<[Header]>, _>> =
        document.headers.map(|pairs| pairs.iter().map(|(name, value)| Header::parse(name, value)).collect());
    let schedule = match (document.cron_time, document.at, document.every) {
        (Some(text), None, None) => Schedule::cron(&text)?,
        (None, Some(text), None) => Schedule::at(&text)?,
        (None, None, Some(text)) => Schedule::every(&text)?,
        _ => return Err(format!("entry {name:?} has not exactly one trigger").into()),
    };
    let request = Request {
        method: document.method.map_or(Ok(Method::POST), |method| Method::from_bytes(method.as_bytes()))?,
        url: TargetUrl::parse(&document.url)?,
        headers: headers.transpose()?,
        body: document.body.and_then(JsonText::from_raw),
    };
    let options = read_options(name, document.options)?;
    let mut entry = Entry::new(EntryName::parse(name)?, schedule, request).with_options(options);
    entry.last_fire = LastFire::unknown();
    Ok(entry)
}

fn read_options(name: &str, given: Vec<(Cow<'_, str>, &RawValue)>) -> Result<Option<Box<EntryOptions>>, BoxError> {
    if given.is_empty() {
        return Ok(None);
    }
    let members = given.into_iter().map(|(key, value)| (key.into_owned(), value)).collect();
    let mut mistakes = Mistakes::default();
    let options = EntryOptions::read(&Object::of(format!("entries.{name}"), members), &mut mistakes);
    if mistakes.is_empty() { Ok(options) } else { Err(mistakes.text().into()) }
}

#[cfg(test)]
mod tests;
