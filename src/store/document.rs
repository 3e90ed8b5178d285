//! How a task is written into a store: the JSON of the wire, without dates.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::BoxError;
use crate::model::cron::CronExpr;
use crate::model::{Entry, EntryName, Header, Identity, JsonText, LastFire, Request, TargetUrl, Task, TimeZone};

#[derive(Serialize, Deserialize)]
struct TaskDocument<'a> {
    #[serde(borrow)]
    time_zone: Cow<'a, str>,
    #[serde(borrow)]
    entries: BTreeMap<Cow<'a, str>, EntryDocument<'a>>,
}

#[derive(Serialize, Deserialize)]
struct EntryDocument<'a> {
    #[serde(borrow)]
    cron_time: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
}

/// Writes a task's definition. Its identity is the key it is stored under.
pub fn write(task: &Task) -> String {
    let entries = task.entries.iter().map(|entry| (entry.name.as_str().into(), entry_document(entry))).collect();
    let document = TaskDocument { time_zone: task.time_zone.name().into(), entries };
    serde_json::to_string(&document).expect("strings and JSON texts can be written")
}

fn entry_document(entry: &Entry) -> EntryDocument<'_> {
    let request = &entry.request;
    let pair = |header: &'_ Header| -> (String, String) { (header.name().to_owned(), header.value().to_owned()) };
    EntryDocument {
        cron_time: Cow::Borrowed(&entry.cron_time),
        url: request.url.as_str().into(),
        headers: request
            .headers
            .as_ref()
            .map(|headers| headers.iter().map(pair).map(|(name, value)| (name.into(), value.into())).collect()),
        body: request.body.as_ref().map(JsonText::as_raw),
    }
}

/// Reads a task's definition as [`write()`] wrote it.
pub fn read(identity: &Identity, text: &str) -> Result<Task, BoxError> {
    let document: TaskDocument<'_> = serde_json::from_str(text)?;
    let entries: Result<Box<[Entry]>, BoxError> =
        document.entries.into_iter().map(|(name, entry)| read_entry(&name, entry)).collect();
    Ok(Task { identity: identity.clone(), time_zone: TimeZone::parse(&document.time_zone)?, entries: entries? })
}

fn read_entry(name: &str, document: EntryDocument<'_>) -> Result<Entry, BoxError> {
    let headers: Option<Result<Box<[Header]>, _>> =
        document.headers.map(|pairs| pairs.iter().map(|(name, value)| Header::parse(name, value)).collect());
    Ok(Entry {
        name: EntryName::parse(name)?,
        cron: CronExpr::parse(&document.cron_time)?,
        cron_time: document.cron_time.into(),
        request: Request {
            url: TargetUrl::parse(&document.url)?,
            headers: headers.transpose()?,
            body: document.body.and_then(JsonText::from_raw),
        },
        last_fire: LastFire::unknown(),
    })
}
