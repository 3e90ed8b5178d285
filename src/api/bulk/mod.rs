//! `/bulk`: changes line by line, each answered by a line of its own, both ways streamed.
//!
//! One loop reads lines, has some of them worked on at once, and sends their answers in the order of the lines. It reads no
//! further while there is too much in work, and takes no more answers while the client reads none: so memory stays bounded
//! however long the body is. Lines of tasks that other nodes own go on to those.

mod relay;
mod turn;
mod wish;

use std::collections::HashMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, Stream, StreamExt};
use log::error;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use utoipa::ToSchema;
use warp::reply::Response;
use warp::{Buf, Filter};

use self::relay::Relay;
use self::turn::Turn;
use self::wish::Wish;
use super::audit;
use super::body::{self, BodyHead};
use super::caller::Caller;
use super::gate::{Asker, asker};
use super::lines::{Line, Lines};
use super::ndjson::{self, CHUNK, Gone, NOT_READ_MAX, Outlet};
use super::openapi::words::ZeroOrOne;
use super::reply::{ApiError, into_reply};
use super::{Api, Services, with};
use crate::model::Identity;

pub(super) use self::relay::lines_of_peers;

/// How many lines are in work at once, and how many bytes of lines. Further ones wait to be read.
const LINES_MAX: usize = 512;
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many bytes of answers wait to be sent. Then no further ones are taken.
const ANSWERS_MAX: usize = 4 * CHUNK;
/// How often a loop that waits looks whether the service is going down.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The route of this file.
pub(super) fn route(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    warp::path("bulk")
        .and(warp::path::end())
        .and(warp::post())
        .and(with(api))
        .and(asker())
        .and(body::head())
        .and(warp::body::stream())
        .map(|api: Api, asker: Asker, head, stream| into_reply(start(&api, asker, &head, stream)))
}

fn start<S, B>(api: &Api, asker: Asker, head: &BodyHead, stream: S) -> Result<Response, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
    B: Buf + Send + 'static,
{
    let services = api.services()?;
    let places = [api.place()?, api.bulk_place()?];
    let lines = Lines::new(stream, head, &api.settings)?;
    let (outlet, reply) = ndjson::open();
    tokio::spawn(Bulk::new(api.clone(), services, asker).run(lines, outlet, places));
    Ok(reply)
}

/// A line that was worked on.
struct Done {
    number: u64,
    bytes: usize,
    identity: Option<Identity>,
    result: Result<Option<u64>, ApiError>,
    warnings: Vec<String>,
}

/// The newest line in work for an identity: the next one waits for its end.
struct Tail {
    number: u64,
    ended: oneshot::Receiver<()>,
}

/// What became of a line.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkLineAnswer)]
pub(super) struct LineView<'a> {
    /// The number of the line, from 1. Empty lines are counted, and passed over.
    line: u64,
    #[schema(value_type = ZeroOrOne)]
    error: u8,
    /// `ok`, or why it is not done.
    msg: &'a str,
    /// The revision in force then.
    #[schema(value_type = u64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[schema(value_type = Vec<String>)]
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// The last line of an answer. Without it, the answer broke off.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkEnd)]
pub(super) struct EndView {
    /// How many lines were worked on.
    lines: u64,
    /// How many of them were not done.
    failed: u64,
    /// Why not all of the body was read.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

struct Bulk {
    api: Api,
    services: Services,
    caller: Caller,
    relay: Relay,
    turn: Turn,
    in_work: FuturesOrdered<BoxFuture<'static, Done>>,
    bytes_in_work: usize,
    tails: HashMap<Identity, Tail>,
    answers: BytesMut,
    lines: u64,
    failed: u64,
    has_ended: bool,
    stopped: Option<String>,
    /// What went wrong inside of the service: told once in its log, not for each line.
    problem: Option<String>,
}

impl Bulk {
    fn new(api: Api, services: Services, asker: Asker) -> Self {
        let Asker { caller, turns, .. } = asker;
        Self {
            turn: Turn::new(services.access.clone(), turns),
            relay: Relay::new(services.clone(), caller.clone()),
            api,
            services,
            caller,
            in_work: FuturesOrdered::new(),
            bytes_in_work: 0,
            tails: HashMap::new(),
            answers: BytesMut::new(),
            lines: 0,
            failed: 0,
            has_ended: false,
            stopped: None,
            problem: None,
        }
    }

    async fn run<S, B>(mut self, mut lines: Lines<S>, outlet: Outlet, places: [OwnedSemaphorePermit; 2])
    where
        S: Stream<Item = Result<B, warp::Error>>,
        B: Buf,
    {
        // A client that has gone gets no further lines read. Those in work are carried out.
        let gone = self.work(&mut lines, &outlet).await.is_err();
        if let Some(problem) = self.problem.take() {
            let (lines, failed, by) = (self.lines, self.failed, self.caller.name());
            error!(lines, failed, by; "a bulk request failed in part: {problem}");
        }
        if !gone {
            let end = EndView { lines: self.lines, failed: self.failed, stopped: self.stopped.take() };
            if outlet.send(line_of(&end)).await.is_ok() {
                outlet.end().await;
            }
        }
        drop(places);
    }

    async fn work<S, B>(&mut self, lines: &mut Lines<S>, outlet: &Outlet) -> Result<(), Gone>
    where
        S: Stream<Item = Result<B, warp::Error>>,
        B: Buf,
    {
        let mut read_at = Instant::now();
        while !(self.has_ended && self.in_work.is_empty() && self.answers.is_empty()) {
            if self.api.is_draining() && !self.has_ended {
                self.stop("the service is going down".to_owned());
            }
            let takes_answers = !self.in_work.is_empty() && self.answers.len() < ANSWERS_MAX;
            let has_answers = !self.answers.is_empty();
            if !has_answers {
                read_at = Instant::now();
            }
            let has_room = !self.has_ended && self.in_work.len() < LINES_MAX && self.bytes_in_work < BYTES_MAX;
            // Who sends more lines than allowed is read more slowly, and refused nothing.
            let wait = if has_room { self.turn.wait() } else { Duration::ZERO };
            let may_read = has_room && wait.is_zero();
            if !may_read {
                lines.rest();
            }
            tokio::select! {
                // What is ready is sent together, and room is made before more is read.
                biased;
                Some(done) = self.in_work.next(), if takes_answers => self.note(done),
                place = outlet.place(), if has_answers => {
                    place?.send(self.answers.split().freeze());
                    read_at = Instant::now();
                }
                line = lines.next(), if may_read => {
                    self.turn.use_up();
                    self.take(line);
                }
                () = tokio::time::sleep(if wait.is_zero() { LOOK_EVERY } else { wait.min(LOOK_EVERY) }) => {}
            }
            if has_answers && read_at.elapsed() > NOT_READ_MAX {
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// Begins to work on a line.
    fn take(&mut self, line: Result<Option<Line>, ApiError>) {
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => return self.has_ended = true,
            Err(error) => return self.stop(error.to_string()),
        };
        let number = line.number;
        let wish = match &line.text {
            Some(text) => {
                let wish = Wish::read(text, &self.caller, &self.services).map_err(ApiError::from);
                wish.and_then(|wish| self.check(&wish).map(|()| (wish, text.clone())))
            }
            None => Err(ApiError::LineTooLong { max: self.api.settings.body_max }),
        };
        let bytes = line.text.map_or(0, |text| text.len());
        self.bytes_in_work += bytes;
        match wish {
            Ok((wish, text)) => self.begin(number, bytes, wish, text),
            Err(error) => {
                let done = Done { number, bytes, identity: None, result: Err(error), warnings: Vec::new() };
                self.in_work.push_back(std::future::ready(done).boxed());
            }
        }
    }

    fn check(&self, wish: &Wish) -> Result<(), ApiError> {
        self.caller.check_task(wish.identity()).inspect_err(|error| {
            if let Some(trail) = self.caller.trail() {
                audit::line_refused(&self.api, trail, Some(wish.identity()), error);
            }
        })
    }

    fn stop(&mut self, reason: String) {
        self.has_ended = true;
        self.stopped = Some(reason);
    }

    fn begin(&mut self, number: u64, bytes: usize, wish: Wish, text: Bytes) {
        let (end, ended) = oneshot::channel();
        let identity = wish.identity().clone();
        let before = self.tails.insert(identity.clone(), Tail { number, ended });
        let relay = self.relay.clone();
        let work = async move {
            if let Some(before) = before {
                // It says nothing: it is dropped at its end.
                let _ = before.ended.await;
            }
            let (result, warnings) = relay.carry_out(wish, text).await;
            drop(end);
            Done { number, bytes, identity: Some(identity), result, warnings }
        };
        self.in_work.push_back(work.boxed());
    }

    /// Answers a line.
    fn note(&mut self, done: Done) {
        let Done { number, bytes, identity, result, warnings } = done;
        self.bytes_in_work -= bytes;
        if let Some(identity) = identity
            && self.tails.get(&identity).is_some_and(|tail| tail.number == number)
        {
            self.tails.remove(&identity);
        }
        self.lines += 1;
        match &result {
            Ok(revision) => {
                self.answer(&LineView { line: number, error: 0, msg: "ok", revision: *revision, warnings: &warnings })
            }
            Err(error) => {
                self.failed += 1;
                let (msg, revision) = (error.to_string(), error.revision());
                self.answer(&LineView { line: number, error: 1, msg: &msg, revision, warnings: &warnings });
                if let ApiError::Failed(text) = error {
                    self.problem.get_or_insert_with(|| text.clone());
                }
            }
        }
    }

    fn answer(&mut self, view: &LineView<'_>) {
        serde_json::to_writer((&mut self.answers).writer(), view).expect("an answer can be written as JSON");
        self.answers.put_u8(b'\n');
    }
}

fn line_of(view: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(view).expect("an answer can be written as JSON");
    line.push(b'\n');
    line.into()
}
