//! One attempt of a run, from its request to what follows from its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::RETRY_AFTER;
use log::warn;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::attempt::{Transport, TransportError};
use super::callbacks::{self, Before};
use super::handle::Reservation;
use super::intake::{OwnTime, Results, take_in};
use super::mission::Mission;
use super::prepared::{Prepared, Ready};
use super::redirects::{self, Arrived};
use super::tokens::{NoToken, Tokens, late};
use crate::clock::Clock;
use crate::cluster::Tenure;
use crate::journal::{FireOutcome, Journal, KeptAnswer, RunStage, Started, due_at};
use crate::model::{
    Attempt, End, Failure, Fire, RecordKind, RunId, SuccessRule, TemplateGrowth, Timestamp, parse_retry_after,
};
use crate::observe::metrics::{AttemptEnd, AttemptMetrics};
use crate::secrets::Secrets;
use crate::store::JournalStore;

/// A run that is still going after this long has a record that says so; one that has a record already says so at once.
const RECORDED_AFTER: Duration = Duration::from_millis(200);
/// How often an attempt that waits for us is looked at.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What the loop is told.
pub(super) enum Event {
    Ended(RunId, Ended),
    Reservation(Reservation),
}

/// How an attempt ended, as far as the loop is concerned.
pub(super) enum Ended {
    /// The run is over, its outcome is with the journal. These are to be sent.
    Done(Vec<Fire>),
    /// It failed; another attempt is to be made after a pause. The record says so.
    Again { attempts: Vec<Attempt>, phase: u32, pause: Duration },
    /// The loop wanted it to end.
    Stopped { attempts: Vec<Attempt> },
    /// The node goes down: nothing was sent.
    Unsent { phase: u32, is_lost: bool },
    /// It broke off. Nobody has told of it yet.
    Lost,
}

/// Sends requests and records how they end.
pub(super) struct Sender {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tokens: Tokens,
    pub(super) journal: Journal,
    pub(super) history: Arc<dyn JournalStore>,
    pub(super) results: Results,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tenure: Tenure,
    pub(super) secrets: Secrets,
    pub(super) metrics: AttemptMetrics,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) timeout: Duration,
    pub(super) growth: TemplateGrowth,
    pub(super) is_draining: AtomicBool,
}

/// Tells the loop of an ending, also when the attempt panics: a place is never lost.
struct Guard {
    run_id: RunId,
    ended: Option<Ended>,
    events: mpsc::UnboundedSender<Event>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or(Ended::Lost);
        // After the loop has ended nobody counts any more.
        let _ = self.events.send(Event::Ended(self.run_id, ended));
    }
}

/// What an attempt came to.
struct Tried {
    attempt: Attempt,
    answer: Option<KeptAnswer>,
    /// How it failed, if it might not the next time.
    failure: Option<Failure>,
    retry_after: Option<Duration>,
}

impl Sender {
    /// Makes an attempt. What it comes to is told as an event; the handle stops it.
    pub(super) fn start(self: &Arc<Self>, mission: Mission) -> oneshot::Sender<()> {
        let (stop, stopped) = oneshot::channel();
        let sender = self.clone();
        tokio::spawn(async move {
            let mut guard = Guard { run_id: mission.run_id, ended: None, events: sender.events.clone() };
            guard.ended = Some(sender.carry_out(mission, stopped).await);
        });
        stop
    }

    /// Records how a run ended of which no attempt is under way.
    pub(super) fn conclude_apart(self: &Arc<Self>, run_id: RunId, fire: Fire, outcome: FireOutcome) {
        let sender = self.clone();
        tokio::spawn(async move {
            let mut guard = Guard { run_id, ended: None, events: sender.events.clone() };
            guard.ended = Some(Ended::Done(sender.conclude(fire, outcome).await));
        });
    }

    async fn carry_out(&self, mut mission: Mission, stopped: oneshot::Receiver<()>) -> Ended {
        let mut sent_at = None;
        let tried = tokio::select! {
            // What has come is not thrown away.
            biased;
            tried = self.try_once(&mut mission, &mut sent_at) => tried,
            Ok(()) = stopped => {
                let now = self.clock.now();
                let broken_off = sent_at.map(|at: Timestamp| Attempt { duration: now.since(at), ..mission.attempt(at) });
                if let Some(attempt) = &broken_off {
                    self.metrics.note_end(AttemptEnd::CalledOff, attempt.duration);
                }
                mission.attempts.extend(broken_off);
                return Ended::Stopped { attempts: mission.attempts };
            }
        };
        let Some(tried) = tried else {
            let is_lost = self.tenure.is_over(mission.fire.revision.shard(), mission.term);
            if mission.departure.is_called_off() && !is_lost {
                return Ended::Stopped { attempts: mission.attempts };
            }
            return Ended::Unsent { phase: mission.phase, is_lost };
        };
        let number = tried.attempt.number;
        mission.attempts.push(tried.attempt);
        if tried.failure.is_some_and(|failure| mission.goes_on(number, failure)) {
            self.pause(mission, number, tried.retry_after).await
        } else {
            self.end(mission, tried.answer).await
        }
    }

    /// `None`: nothing was sent, as the node goes down, another one acts for the task, or it was called off.
    async fn try_once(&self, mission: &mut Mission, sent_at: &mut Option<Timestamp>) -> Option<Tried> {
        let is_announced = mission.is_at_most_once();
        if is_announced && !self.announce(mission).await {
            return None;
        }
        let started_at = self.clock.now();
        let begun = Instant::now();
        let failed = |error: String, failure| {
            let (error, duration) = (Some(error.into()), begun.elapsed());
            self.metrics.note_end(end_of(None, failure), duration);
            let attempt = Attempt { error, duration, ..mission.attempt(started_at) };
            Some(Tried { attempt, answer: None, failure, retry_after: None })
        };
        let prepared = match Prepared::of(&mission.fire, mission.number(), &self.secrets, self.growth) {
            Ok(prepared) => prepared,
            Err(error) => return failed(error.to_string(), error.failure()),
        };
        let prepared = match self.with_token(mission, prepared).await {
            Ok(prepared) => prepared,
            Err(NoToken { message, failure }) => return failed(message, failure),
        };
        // The last look before it goes: whatever has taken its time until here, another node may act for the task by now.
        if !self.tenure.may_act(mission.fire.revision.shard(), mission.term).await {
            return None;
        }
        let started_at = self.clock.now();
        if !mission.departure.go(started_at) {
            return None;
        }
        *sent_at = Some(started_at);
        self.note_departure(mission, started_at);
        let begun = Instant::now();
        let (own_time, mut retry_after) = (OwnTime::default(), None);
        let ready = prepared.go(started_at);
        let scrub = ready.scrub.clone();
        let exchange = self.exchange(mission, ready, &own_time, &mut retry_after);
        let note = || is_announced || self.journal.try_note_started(mission.started(RunStage::Running, started_at));
        let note_at = if mission.has_record() { begun } else { begun + RECORDED_AFTER };
        let limit = mission.timeout(self.timeout);
        let answer = self.in_time(limit, begun, &own_time, exchange, (note_at, note)).await;
        let Judged { answer, message, failure } = judge(answer, mission.success());
        let duration = begun.elapsed();
        self.metrics.note_end(end_of(answer.as_ref(), failure), duration);
        let attempt = Attempt {
            duration,
            status: answer.as_ref().map(|answer| answer.status),
            error: message.map(|message| scrub.text(message).into()),
            bytes: answer.as_ref().map_or(0, |answer| answer.size),
            ..mission.attempt(started_at)
        };
        // The record that it was going may be written or not: the next one comes after it.
        mission.phase += u32::from(!is_announced);
        Some(Tried { attempt, answer, failure, retry_after })
    }

    /// The same request with the token that it shows, if it needs one. It is asked for before the last look, as that may take long.
    async fn with_token(&self, mission: &Mission, prepared: Prepared) -> Result<Prepared, NoToken> {
        let Some(client) = prepared.client() else { return Ok(prepared) };
        let limit = mission.timeout(self.timeout);
        let asked =
            timeout(limit, self.tokens.get(client, prepared.scrub())).await.unwrap_or_else(|_| Err(late(limit)));
        let told = |none: NoToken| NoToken { message: prepared.scrub().text(none.message), ..none };
        let token = asked.map_err(told)?;
        Ok(prepared.with(token))
    }

    fn note_departure(&self, mission: &Mission, at: Timestamp) {
        if !mission.attempts.is_empty() {
            self.metrics.note_retry();
        } else if mission.fire.notice.is_none() {
            self.metrics.note_lateness(at.since(due_at(&mission.fire, mission.due_at)));
        }
    }

    /// Before what must not be sent twice is sent: from now on every start knows that it may have been.
    async fn announce(&self, mission: &mut Mission) -> bool {
        let started = mission.started(RunStage::Running, self.clock.now());
        mission.phase += 1;
        let announced = self.journal.note_started(started).await.is_ok() && self.journal.flush().await.is_ok();
        announced && !self.is_draining.load(Ordering::Relaxed)
    }

    async fn exchange(
        &self,
        mission: &Mission,
        Ready { request, token, scrub }: Ready,
        own_time: &OwnTime,
        retry_after: &mut Option<Duration>,
    ) -> Result<KeptAnswer, TransportError> {
        let arrived = redirects::send(&*self.transport, request, mission.redirects_max()).await?;
        let Arrived { answer, redirects, last_url } = arrived;
        if let Some(token) = token.filter(|_| answer.status == 401) {
            self.tokens.forget(&token);
        }
        // Whatever is looked at or kept of it, nothing of it shows a secret.
        let answer = scrub.answer(answer);
        let last_url = last_url.map(|url| scrub.text(url.into()).into());
        let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        *retry_after = asked.and_then(|text| parse_retry_after(text, self.clock.now()));
        let keeps_result = mission.keeps_result(answer.status);
        let kept = take_in(answer, &self.results, mission.run_id, keeps_result, own_time).await?;
        Ok(KeptAnswer { redirects, last_url, ..kept })
    }

    /// Waits for an answer for as long as its target may take; the error is how long that was. Notes meanwhile that the run goes
    /// on.
    async fn in_time<T>(
        &self,
        limit: Duration,
        begun: Instant,
        own_time: &OwnTime,
        work: impl Future<Output = T>,
        (note_at, note): (Instant, impl Fn() -> bool),
    ) -> Result<T, Duration> {
        tokio::pin!(work);
        let mut note_at = Some(note_at);
        loop {
            let over_at = begun + limit + own_time.total();
            let look_at = if own_time.is_running() { Instant::now() + LOOK_AGAIN_AFTER } else { over_at };
            let until = note_at.into_iter().chain([over_at.max(look_at)]).min().unwrap_or(over_at);
            if let Ok(done) = timeout_at(until, &mut work).await {
                return Ok(done);
            }
            let now = Instant::now();
            if note_at.is_some_and(|at| at <= now) {
                // A full journal has more to do than to tell what goes on: later, perhaps.
                note_at = (!note()).then(|| now + RECORDED_AFTER);
            }
            if !own_time.is_running() && now >= begun + limit + own_time.total() {
                return Err(limit);
            }
        }
    }

    async fn pause(&self, mut mission: Mission, number: u32, retry_after: Option<Duration>) -> Ended {
        let pause = mission.retry().map_or(Duration::ZERO, |retry| retry.pause(number, mission.run_id, retry_after));
        let now = self.clock.now();
        let started = mission.started(RunStage::BackingOff, now);
        mission.phase += 1;
        if self.journal.note_started(Started { resume_at: Some(now.plus(pause)), ..started }).await.is_err() {
            warn_of_stopped_journal();
        }
        Ended::Again { attempts: mission.attempts, phase: mission.phase, pause }
    }

    async fn end(&self, mission: Mission, answer: Option<KeptAnswer>) -> Ended {
        mission.log_end();
        let last = mission.attempts.last();
        let message = last.and_then(|last| last.error.as_deref()).map(str::to_owned);
        let outcome = FireOutcome {
            ended_at: last.map_or_else(|| self.clock.now(), |last| last.started_at.plus(last.duration)),
            due_at: mission.due_at,
            answer,
            is_dead_letter: mission.is_dead_letter(message.is_some()),
            messages: message.into_iter().collect(),
            attempts: mission.attempts,
        };
        Ended::Done(self.conclude(mission.fire, outcome).await)
    }

    /// Records how a run ended; gives the messages that are to be sent about it.
    async fn conclude(&self, fire: Fire, outcome: FireOutcome) -> Vec<Fire> {
        let notices = self.notices(&fire, &outcome).await;
        let at = outcome.ended_at;
        let queued = |fire: &Fire| Started {
            fire: fire.clone(),
            stage: RunStage::Queued,
            attempts: Vec::new(),
            phase: 0,
            at,
            resume_at: None,
        };
        if self.journal.settle_with(fire, outcome, notices.iter().map(queued).collect()).await.is_err() {
            warn_of_stopped_journal();
            return Vec::new();
        }
        notices
    }

    async fn notices(&self, fire: &Fire, outcome: &FireOutcome) -> Vec<Fire> {
        let (entry, options) = (fire.entry(), fire.entry().options());
        if fire.notice.is_some() || !options.has_callbacks() {
            return Vec::new();
        }
        let end = if outcome.messages.is_empty() { End::Succeeded } else { End::Failed };
        let before = match entry.last_end().note(end) {
            Some(before) => Before::Ended(before),
            None => self.before(fire).await,
        };
        callbacks::occasions(options, before, end).map(|occasion| callbacks::notice(fire, outcome, occasion)).collect()
    }

    /// How the run before ended, after a start or a put: the history knows.
    async fn before(&self, fire: &Fire) -> Before {
        let entry = [(fire.identity().clone(), fire.entry().name.clone())];
        match self.history.newest_runs(&entry, Timestamp::EPOCH).await.map(|mut found| found.pop().flatten()) {
            Ok(None) => Before::Nothing,
            Ok(Some(newest)) if newest.kind == RecordKind::Success => Before::Ended(End::Succeeded),
            Ok(Some(_)) => Before::Ended(End::Failed),
            Err(error) => {
                warn!(identity = fire.identity().as_str(); "cannot say how the run before ended: {error}");
                Before::Unknown
            }
        }
    }
}

/// Only when the node goes down: the next start finds the run without an outcome and settles it.
pub(super) fn warn_of_stopped_journal() {
    warn!("a record came after the journal had stopped");
}

/// What an attempt is counted as. Pure.
fn end_of(answer: Option<&KeptAnswer>, failure: Option<Failure>) -> AttemptEnd {
    match (answer, failure) {
        (Some(answer), _) => AttemptEnd::Answered(answer.status),
        (None, Some(Failure::Timeout)) => AttemptEnd::TimedOut,
        (None, Some(Failure::Connect | Failure::Status(_))) => AttemptEnd::Broken,
        (None, None) => AttemptEnd::Refused,
    }
}

struct Judged {
    answer: Option<KeptAnswer>,
    message: Option<String>,
    failure: Option<Failure>,
}

/// What an answer means, or that there is none. Pure.
fn judge(answer: Result<Result<KeptAnswer, TransportError>, Duration>, rule: &SuccessRule) -> Judged {
    let none = |message: String, failure| Judged { answer: None, message: Some(message), failure };
    match answer {
        Ok(Ok(answer)) => {
            let message = rule.judge(answer.status, &answer.body).err();
            let failure = message.is_some().then_some(Failure::Status(answer.status));
            Judged { answer: Some(answer), message, failure }
        }
        Ok(Err(TransportError::Broken(text))) => none(text, Some(Failure::Connect)),
        Ok(Err(TransportError::Refused(text))) => none(text, None),
        Err(limit) => none(format!("no whole answer within {} s", limit.as_secs_f64()), Some(Failure::Timeout)),
    }
}
