//! Job runs: the contract's third family. Here stands the list of what can be asked of jobs.

pub(super) mod dates;
mod job_id;
mod listing;
mod query;
mod range;
mod result_file;
mod view;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;
use warp::Filter;
use warp::reply::Response;

pub(super) use self::listing::{Count, JobViews, JobsCounted, JobsNamed};
use self::listing::{count, list};
use self::query::{Page, Parameters};
use self::view::JobState;
pub(super) use self::view::{JobView, RunView};
use super::asked::{Asked, under};
use super::audit::Failure;
use super::caller::Caller;
use super::problem::Problem;
use super::reply::ApiError;
use super::routing::Belongs;
use super::{Api, Services, reply};
use crate::catalog::{Broken, RunRefused};
use crate::model::object::{Mistakes, Object, string};
use crate::model::{EntryName, Identity, Prefixes, Record, RecordKind, Revision, RunId, Timestamp};
use crate::store::RunQuery;

/// What is expected of a run that is to be run again.
const HAS_ENDED: &str = "a run that has ended, and that nobody deals with";
/// The longest `args`, in bytes.
const ARGS_MAX: usize = 8 * 1024;

/// What is expected of a job's id that is well written.
const EXPECTED_JOB: &str = "the id of a job, as the listing gives it";

type Answered = Result<Response, Problem>;

/// The routes of this family.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let longer = warp::path("rest").and(warp::path("ng")).and(warp::path("scheduled-jobs"));
    let prefix = warp::path("scheduled-jobs").or(longer).unify();
    under(prefix, api, place, answer, |error| Problem::from(error).into_reply())
}

/// Lists are made of what all nodes know, results are in the store; of all else the owner of the task knows.
fn place(_services: &Services, asked: &mut Asked) -> Belongs {
    let segments: Vec<&str> = asked.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (job, is_result) = match segments.as_slice() {
        [] | ["count"] => return Belongs::Everywhere,
        [job, rest @ ..] => (job, matches!(rest, ["runs", _, "result-file"])),
    };
    match job_id::read(job).map_err(drop) {
        Ok((identity, _)) if is_result => Belongs::Stored(identity),
        Ok((identity, _)) if asked.method == Method::GET => Belongs::Read(identity),
        Ok((identity, _)) => Belongs::Change(identity),
        Err(()) => Belongs::Anywhere,
    }
}

/// Whether a path belongs to jobs.
pub(super) fn is_below(path: &str) -> bool {
    let below = path.strip_prefix("/rest/ng").unwrap_or(path).strip_prefix("/scheduled-jobs");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The answer where no route is. `allow`: what the path takes.
pub(super) fn unserved(allow: Option<&'static str>) -> Response {
    allow.map_or_else(Problem::no_path, Problem::method).into_reply()
}

/// The answer to what is refused before it comes here.
pub(super) fn refused(error: ApiError) -> Response {
    let failure = Failure::of(&error);
    let mut reply = Problem::from(error).into_reply();
    reply.extensions_mut().insert(failure);
    reply
}

async fn answer(services: Services, asked: Arc<Asked>) -> Response {
    routed(&services, &asked).await.unwrap_or_else(Problem::into_reply)
}

async fn routed(services: &Services, asked: &Asked) -> Answered {
    let segments: Vec<&str> = asked.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let parameters = Parameters::read(&asked.query);
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", []) => list(services, &parameters, &asked.caller).await,
        ("GET", ["count"]) => count(services, &parameters, &asked.caller).await,
        ("GET", [job]) => one(services, &Job::find(services, job)?).await,
        ("GET", [job, "runs"]) => runs(services, &Job::find(services, job)?, &parameters).await,
        ("POST", [job, "runs"]) => run_now(services, &Job::find(services, job)?, asked).await,
        ("GET", [job, "runs", run]) => {
            let job = Job::of_run(job)?;
            let record = job.run(services, run).await?;
            Ok(reply::json(StatusCode::OK, &RunView::whole(&record, job.zone(services))))
        }
        ("DELETE", [job, "runs", run]) => cancel(services, &Job::of_run(job)?, run, &asked.caller).await,
        ("POST", [job, "runs", run, "rerun"]) => rerun(services, &Job::find(services, job)?, run, asked).await,
        ("GET" | "HEAD", [job, "runs", run, "result-file"]) => {
            let job = Job::of_run(job)?;
            let record = job.run(services, run).await?;
            result_file::answer(services, &asked.method, &asked.headers, record).await
        }
        _ => Err(Problem::no_path()),
    }
}

/// A job that a path names.
struct Job {
    identity: Identity,
    entry: EntryName,
    /// Its definition and the entry's place in it; `None`: only its runs are asked for, which may outlive it.
    known: Option<(Arc<Revision>, usize)>,
}

impl Job {
    /// A job whose runs are asked for: it may be gone.
    fn of_run(segment: &str) -> Result<Self, Problem> {
        let (identity, entry) =
            job_id::read(segment).map_err(|expected| Problem::parameter("jobId", segment, expected))?;
        Ok(Self { identity, entry, known: None })
    }

    /// A job that exists.
    fn find(services: &Services, segment: &str) -> Result<Self, Problem> {
        let job = Self::of_run(segment)?;
        let revision = services.catalog.get(&job.identity);
        let known = revision.and_then(|revision| revision.entry(&job.entry).map(|entry| (revision, entry)));
        match known {
            Some(known) => Ok(Self { known: Some(known), ..job }),
            None => Err(Problem::not_found("jobId", segment, "there is no such job", EXPECTED_JOB)),
        }
    }

    fn zone(&self, services: &Services) -> crate::model::TimeZone {
        let zone = |revision: &Arc<Revision>| revision.task.time_zone;
        let known = self.known.as_ref().map(|(revision, _)| zone(revision));
        known.or_else(|| services.catalog.get(&self.identity).as_ref().map(zone)).unwrap_or(crate::model::TimeZone::UTC)
    }

    /// One of its runs.
    async fn run(&self, services: &Services, segment: &str) -> Result<Record, Problem> {
        let not_found = || {
            Problem::not_found("runId", segment, "this job has no such run", "the id of a run, as its listing gives it")
        };
        let run = job_id::read_run(segment).ok_or_else(not_found)?;
        let record = services.catalog.run(&self.identity, run).await.map_err(unavailable)?;
        record.filter(|record| record.entry() == Some(&self.entry)).ok_or_else(not_found)
    }
}

fn unavailable(error: crate::catalog::CatalogError) -> Problem {
    ApiError::from(error).into()
}

/// What is known of jobs beside their definitions.
async fn states(services: &Services, jobs: &[(Arc<Revision>, usize)]) -> Result<Vec<JobState>, ApiError> {
    let names: Vec<(Identity, EntryName)> = jobs
        .iter()
        .map(|(revision, entry)| (revision.task.identity.clone(), revision.task.entries[*entry].name.clone()))
        .collect();
    let newest = services.catalog.newest_runs(&names).await?;
    let mut states = Vec::with_capacity(jobs.len());
    for (((revision, entry), (identity, name)), newest) in jobs.iter().zip(&names).zip(newest) {
        let next = services.catalog.next_fire(revision, &revision.task.entries[*entry]);
        let activity = services.catalog.activity(identity, name).await;
        states.push(JobState { next, newest, activity });
    }
    Ok(states)
}

async fn one(services: &Services, job: &Job) -> Answered {
    let known: Vec<_> = job.known.iter().cloned().collect();
    let states = states(services, &known).await?;
    let [(revision, entry)] = known.as_slice() else { return Err(Problem::no_path()) };
    Ok(reply::json(StatusCode::OK, &JobView::new(revision, &revision.task.entries[*entry], &states[0])))
}

async fn runs(services: &Services, job: &Job, parameters: &Parameters) -> Answered {
    let zone = job.zone(services);
    let (Page { skip, limit }, (since, until)) = (parameters.page()?, parameters.dates(zone)?);
    let query = RunQuery {
        identity: Some(job.identity.clone()),
        entry: Some(job.entry.clone()),
        kinds: parameters.kinds()?,
        prefixes: Prefixes::all(),
        dead_letters: false,
        since,
        until,
        skip,
        limit,
    };
    let found = services.catalog.runs(query).await.map_err(unavailable)?;
    let views: Vec<RunView<'_>> = found.records.iter().map(|record| RunView::new(record, zone)).collect();
    Ok(reply::json(StatusCode::OK, &views))
}

/// The `args` of a request for a run.
fn args_of(bytes: &[u8]) -> Result<String, Problem> {
    const EXAMPLE: &str = r#"{"args":"words separated by blanks"}"#;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(String::new());
    }
    let mut mistakes = Mistakes::default();
    let body = Object::read_body(bytes, EXAMPLE, &mut mistakes);
    if let Some(body) = &body {
        body.refuse_unknown(&["args"], &mut mistakes);
    }
    let given = body.as_ref().and_then(|body| body.get("args"));
    let args = given.and_then(|raw| string(raw, "args", &mut mistakes)).unwrap_or_default();
    if let Some(mistake) = mistakes.found().first() {
        let member = body.iter().flat_map(Object::members).find(|(key, _)| *key == mistake.path);
        let value = member.map_or_else(|| String::from_utf8_lossy(bytes), |(_, raw)| raw.get().into());
        return Err(Problem::body(&mistake.path, &value, mistakes.text(), &format!("{EXAMPLE} or nothing")));
    }
    if args.len() > ARGS_MAX {
        return Err(Problem::parameter("args", &args, format!("at most {ARGS_MAX} bytes, these are {}", args.len())));
    }
    if args.chars().any(|letter| letter.is_control() && letter != '\t') {
        return Err(Problem::parameter("args", &args, "words without control characters"));
    }
    Ok(args)
}

async fn run_now(services: &Services, job: &Job, asked: &Asked) -> Answered {
    let args = args_of(&asked.body)?;
    let run = services.catalog.run_now(&job.identity, &job.entry, &args, asked.caller.name()).await;
    let run = run.map_err(|error| not_queued(job, error))?;
    note_run(&asked.caller, job, &run.to_string());
    queued(services, job, run).await
}

/// What is noted of a request that is about a run.
fn note_run(caller: &Caller, job: &Job, run: &str) {
    if let Some(trail) = caller.trail() {
        trail.of_task(&job.identity);
        trail.of("run", run);
    }
}

async fn rerun(services: &Services, job: &Job, run: &str, asked: &Asked) -> Answered {
    let record = job.run(services, run).await?;
    if record.kind == RecordKind::Started {
        let detail = "the run is in progress, it can be run again when it has ended";
        return Err(Problem::conflict("runId", run, detail, HAS_ENDED));
    }
    note_run(&asked.caller, job, run);
    let again = services.catalog.rerun(record, asked.caller.name()).await.map_err(|error| not_queued(job, error))?;
    if let Some(trail) = asked.caller.trail() {
        trail.is_now(&json!({ "rerun_as": again.to_string() }));
    }
    queued(services, job, again).await
}

/// The job, with the run that was asked for.
async fn queued(services: &Services, job: &Job, run: RunId) -> Answered {
    let known: Vec<_> = job.known.iter().cloned().collect();
    let states = states(services, &known).await?;
    let [(revision, entry)] = known.as_slice() else { return Err(Problem::no_path()) };
    let view = JobView::new(revision, &revision.task.entries[*entry], &states[0]).with_run(run);
    Ok(reply::json(StatusCode::OK, &view))
}

fn not_queued(job: &Job, refused: RunRefused) -> Problem {
    let id = job_id::write(&job.identity, &job.entry);
    match refused {
        RunRefused::Waiting(run) => {
            let detail = format!("a run is in progress and run {run} waits behind it");
            Problem::conflict("jobId", &id, detail, "a job of which no run waits").behind(run.to_string())
        }
        RunRefused::InHand(run) => {
            let detail = "another request deals with this run, ask again when it has";
            Problem::conflict("runId", &run.to_string(), detail, HAS_ENDED)
        }
        RunRefused::Unknown | RunRefused::TooMany { .. } => {
            Problem::not_found("jobId", &id, "the job has just been deleted", EXPECTED_JOB)
        }
        RunRefused::Failed(error) => unavailable(error),
    }
}

async fn cancel(services: &Services, job: &Job, run: &str, caller: &Caller) -> Answered {
    let record = job.run(services, run).await?;
    note_run(caller, job, run);
    let ended =
        || Problem::conflict("runId", run, "the run has ended, there is nothing to cancel", "a run that has not ended");
    if record.kind != RecordKind::Started {
        return Err(ended());
    }
    let cancelled = services.catalog.cancel_run(RunId::from(record.id), caller.name()).await;
    match cancelled.map_err(unavailable)? {
        Broken::Off => {}
        Broken::Not => return Err(ended()),
        Broken::Elsewhere => {
            let detail = "the node that had this job before has the request of the run under way, and ends it";
            let expected = "a run whose request this node has sent, ask again when that one has ended";
            return Err(Problem::conflict("runId", run, detail, expected));
        }
    }
    let mut reply = Response::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    Ok(reply)
}

/// The moment from which on results are kept.
pub(super) fn results_kept_since(services: &Services, now: Timestamp) -> Timestamp {
    now.minus(services.results_kept_for)
}
