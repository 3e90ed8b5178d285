//! All jobs, in the order of their names: a page of them, and how many there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::query::Parameters;
use super::view::{JobState, JobView};
use super::{Answered, states};
use crate::api::Services;
use crate::api::caller::Caller;
use crate::api::parts::{Page, Question, Scan, covered, gather, is_of, page, scan, shards_of};
use crate::api::reply::{self, ApiError};
use crate::model::{Entry, EntryName, Identity, Revision, ShardSet};

/// How many tasks a node looks through at once.
const TASKS_AT_ONCE: usize = 10_000;

pub(super) async fn list(services: &Services, parameters: &Parameters, caller: &Caller) -> Answered {
    let (super::Page { skip, limit }, text) = (parameters.page()?, parameters.text()?);
    let mut question = JobsNamed { text, covered: caller.prefixes().to_texts(), after: None, wanted: 0 };
    let (mut found, mut seen) = (Vec::new(), 0);
    while found.len() < limit {
        question.wanted = skip.saturating_add(limit).saturating_sub(seen);
        let Page { items, through } = page(services, &question).await?;
        for (identity, entries) in items {
            for entry in entries {
                seen += 1;
                if seen > skip && found.len() < limit {
                    found.push((identity.clone(), entry));
                }
            }
        }
        if through.is_none() {
            break;
        }
        question.after = through;
    }
    let views = views(services, &found).await?;
    let views: Vec<&RawValue> = found.iter().filter_map(|job| views.get(job).map(Box::as_ref)).collect();
    Ok(reply::json(StatusCode::OK, &views))
}

/// Jobs as clients see them, by their names. One that has just been deleted is not among them.
async fn views(
    services: &Services,
    found: &[(String, String)],
) -> Result<HashMap<(String, String), Box<RawValue>>, ApiError> {
    let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (identity, entry) in found {
        jobs.entry(identity.clone()).or_default().push(entry.clone());
    }
    let shards = shards_of(jobs.keys().map(String::as_str));
    let answers = gather(services, &JobViews { jobs }, shards).await?;
    Ok(answers.into_iter().flatten().map(|(identity, entry, view)| ((identity, entry), view)).collect())
}

/// How many jobs there are.
#[derive(Serialize, ToSchema)]
#[schema(as = JobCount)]
pub(in crate::api) struct Count {
    count: usize,
}

pub(super) async fn count(services: &Services, parameters: &Parameters, caller: &Caller) -> Answered {
    let question = JobsCounted { text: parameters.text()?, covered: caller.prefixes().to_texts() };
    let counts = gather(services, &question, ShardSet::ALL).await?;
    Ok(reply::json(StatusCode::OK, &Count { count: counts.into_iter().sum() }))
}

/// The entries of tasks that hold a text, by their names: a page of them.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::api) struct JobsNamed {
    /// In small letters.
    text: Option<String>,
    /// The tasks that the caller knows of.
    #[serde(default)]
    covered: Vec<String>,
    after: Option<String>,
    /// When there are so many, the page ends.
    wanted: usize,
}

impl Question for JobsNamed {
    const NAME: &'static str = "jobs-named";
    type Answer = Page<Vec<String>>;

    async fn answer(&self, services: &Services, shards: ShardSet) -> Result<Self::Answer, ApiError> {
        let (mut items, mut count) = (Vec::new(), 0);
        let (covered, after) = (covered(&self.covered)?, self.after.as_deref());
        let place = Scan { shards, prefix: "", covered, after, tasks_max: TASKS_AT_ONCE };
        let through = scan(services, place, |revision| {
            let entries: Vec<String> =
                holding(revision, self.text.as_deref()).map(|entry| entry.name.as_str().to_owned()).collect();
            count += entries.len();
            if !entries.is_empty() {
                items.push((revision.task.identity.as_str().to_owned(), entries));
            }
            count < self.wanted
        });
        let through = through.await?;
        Ok(Page { items, through })
    }
}

/// How many entries hold a text.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::api) struct JobsCounted {
    /// In small letters.
    text: Option<String>,
    /// The tasks that the caller knows of.
    #[serde(default)]
    covered: Vec<String>,
}

impl Question for JobsCounted {
    const NAME: &'static str = "jobs-counted";
    type Answer = usize;

    async fn answer(&self, services: &Services, shards: ShardSet) -> Result<usize, ApiError> {
        let mut count = 0;
        let covered = covered(&self.covered)?;
        scan(services, Scan { shards, prefix: "", covered, after: None, tasks_max: usize::MAX }, |revision| {
            count += holding(revision, self.text.as_deref()).count();
            true
        })
        .await?;
        Ok(count)
    }
}

/// Some jobs as clients see them.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::api) struct JobViews {
    /// The names of entries by those of their tasks.
    jobs: BTreeMap<String, Vec<String>>,
}

impl Question for JobViews {
    const NAME: &'static str = "job-views";
    type Answer = Vec<(String, String, Box<RawValue>)>;

    async fn answer(&self, services: &Services, _shards: ShardSet) -> Result<Self::Answer, ApiError> {
        let jobs: Vec<(Arc<Revision>, usize)> = self.jobs.iter().flat_map(|job| known(services, job)).collect();
        let states = states(services, &jobs).await?;
        let view = |((revision, entry), state): (&(Arc<Revision>, usize), &JobState)| {
            let entry = &revision.task.entries[*entry];
            let view = to_raw_value(&JobView::new(revision, entry, state)).expect("a job can be written as JSON");
            (revision.task.identity.as_str().to_owned(), entry.name.as_str().to_owned(), view)
        };
        Ok(jobs.iter().zip(&states).map(view).collect())
    }

    fn of(&self, shards: ShardSet) -> Self {
        let of_these = self.jobs.iter().filter(|(identity, _)| is_of(identity, shards));
        Self { jobs: of_these.map(|(identity, entries)| (identity.clone(), entries.clone())).collect() }
    }
}

fn known(services: &Services, (identity, entries): (&String, &Vec<String>)) -> Vec<(Arc<Revision>, usize)> {
    let revision = Identity::parse(identity).ok().and_then(|identity| services.catalog.get(&identity));
    let place = |entry: &String| {
        let revision = revision.as_ref()?;
        Some((revision.clone(), revision.entry(&EntryName::parse(entry).ok()?)?))
    };
    entries.iter().filter_map(place).collect()
}

/// The entries of a task that hold a text.
fn holding<'a>(revision: &'a Revision, text: Option<&'a str>) -> impl Iterator<Item = &'a Entry> {
    revision.task.entries.iter().filter(move |entry| holds(revision, entry, text))
}

fn holds(revision: &Revision, entry: &Entry, text: Option<&str>) -> bool {
    let Some(text) = text else { return true };
    let options = entry.options();
    let names = [revision.task.identity.as_str(), entry.name.as_str()];
    let words = options.tags.iter().map(|tag| &**tag).chain(options.description.as_deref());
    names.into_iter().chain(words).any(|held| held.to_lowercase().contains(text))
}
