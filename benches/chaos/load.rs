//! The tasks: those that fire all the time, and those that come and go while things break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt};
use schedule_service::model::{Identity, Shard};
use tokio::task::JoinSet;

use super::dice::Dice;
use super::judge::{Answers, Delivery, Task};
use super::target::{Target, now};

/// Period in seconds, as the trigger says it. All count from 1970.
const TRIGGERS: [(i64, &str); 3] =
    [(1, r#""cron_time":"* * * * * *""#), (2, r#""every":"2s""#), (5, r#""cron_time":"*/5 * * * * *""#)];
const PUTS_AT_ONCE: usize = 8;
/// A change may wait for a new owner.
const CHANGE_MAX: Duration = Duration::from_secs(30);
/// Pauses of who is told to ask again, and between two tasks that come.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const NEXT_TASK: Duration = Duration::from_millis(500);
/// How long a task that came stays.
const STAY: Duration = Duration::from_millis(2_500);
/// A change that nobody takes for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(60);

/// A task as it is put, and as the judge sees it.
fn task(identity: String, number: usize) -> (Task, String) {
    let delivery = if number.is_multiple_of(2) { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
    let (every_s, trigger) = TRIGGERS[number / 2 % TRIGGERS.len()];
    let word = match delivery {
        Delivery::AtLeastOnce => "at_least_once",
        Delivery::AtMostOnce => "at_most_once",
    };
    let body = format!(
        r#"{{"identity":"{identity}","time_zone":"UTC","start":true,"entries":{{"e":{{{trigger},"url":"{}/fires","delivery":"{word}","body":{{"n":{number}}}}}}}}}"#,
        Target::base()
    );
    let shard = Shard::of(&Identity::parse(&identity).expect("a name")).index();
    let never = i64::MAX;
    (Task { identity, shard, every_s, delivery, owed_from: never, owed_until: never, deleted_at: None }, body)
}

/// How a change was answered.
enum Answer {
    Ok,
    /// Nothing was done: ask again.
    Refused(String),
    /// The node is not there at all: a client asks another.
    Away,
    Failed(String),
}

async fn change(client: &reqwest::Client, url: &str, body: String) -> Answer {
    let answer = client.post(url).body(body).send().await;
    let answer = match answer {
        Err(error) if error.is_connect() => return Answer::Away,
        Err(error) => return Answer::Failed(format!("{error:#}")),
        Ok(answer) => answer,
    };
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
    match status {
        503 => Answer::Refused(text),
        // The store is away from this node: a clear word, too.
        _ if text.contains("nothing was changed") => Answer::Refused(text),
        200 if text.starts_with(r#"{"error":0"#) => Answer::Ok,
        _ => Answer::Failed(format!("{status} {text}")),
    }
}

fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().timeout(CHANGE_MAX).connect_timeout(Duration::from_secs(1));
    Ok(client.build()?)
}

/// Puts tasks that fire so often altogether, some at once, each at the next node.
pub(crate) async fn put_steady(bases: &[String], rate: f64) -> Result<Vec<Task>> {
    let client = client()?;
    let mut tasks = Vec::new();
    let mut reached = 0.0;
    while reached < rate {
        let (task, body) = task(format!("steady-{:05}", tasks.len()), tasks.len());
        reached += 1.0 / task.every_s as f64;
        tasks.push((task, body));
    }
    let puts = tasks.into_iter().enumerate().map(async |(number, (mut task, body))| {
        task.owed_from = change_somewhere(&client, bases, number, ("put", &body)).await?;
        Ok(task)
    });
    futures_util::stream::iter(puts).buffered(PUTS_AT_ONCE).try_collect().await
}

/// Deletes a task, and gives when that was answered.
pub(crate) async fn delete(bases: &[String], identity: &str) -> Result<i64> {
    let body = format!(r#"{{"identity":"{identity}"}}"#);
    change_somewhere(&client()?, bases, 0, ("delete", &body)).await
}

/// Asks the next node, then the others, again and again while they all say that they cannot do it yet. Gives when it was done.
async fn change_somewhere(
    client: &reqwest::Client,
    bases: &[String],
    number: usize,
    (what, body): (&str, &str),
) -> Result<i64> {
    let deadline = tokio::time::Instant::now() + GIVE_UP;
    loop {
        let mut refused = Vec::new();
        for base in (0..bases.len()).map(|turn| &bases[(number + turn) % bases.len()]) {
            match change(client, &format!("{base}/{what}"), body.to_owned()).await {
                Answer::Ok => return Ok(now()),
                Answer::Refused(why) => refused.push(format!("{base}: 503 {why}")),
                Answer::Away => refused.push(format!("{base} is away")),
                Answer::Failed(why) => bail!("{base}: {why}"),
            }
        }
        if tokio::time::Instant::now() > deadline {
            bail!("no node takes `{body}`: {}", refused.join(", "));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Who may be asked at the moment: not those that are known to be down, as a load balancer does it.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    pub(crate) bases: Vec<String>,
    down: Arc<AtomicU64>,
}

impl Asked {
    pub(crate) fn new(bases: Vec<String>) -> Self {
        Self { bases, down: Arc::default() }
    }

    /// Whether a node is down from now on.
    pub(crate) fn set_down(&self, node: usize, is_down: bool) {
        if is_down {
            self.down.fetch_or(1 << node, Ordering::SeqCst);
        } else {
            self.down.fetch_and(!(1 << node), Ordering::SeqCst);
        }
    }

    fn any(&self, dice: &mut Dice) -> &str {
        let down = self.down.load(Ordering::SeqCst);
        let up: Vec<&String> =
            self.bases.iter().enumerate().filter(|(node, _)| down & (1 << node) == 0).map(|(_, base)| base).collect();
        if up.is_empty() { &self.bases[0] } else { up[dice.below(up.len())] }
    }
}

/// What came of the tasks that came and went.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) tasks: Vec<Task>,
    pub(crate) answers: Answers,
    /// What was answered that is neither `ok` nor 503.
    pub(crate) strange: Vec<String>,
}

/// Puts and deletes tasks at any nodes until it is told to end.
pub(crate) struct Comings {
    is_ending: Arc<AtomicBool>,
    all: tokio::task::JoinHandle<Changes>,
}

impl Comings {
    pub(crate) fn start(scene: String, asked: Asked, seed: u64) -> Result<Self> {
        let (client, is_ending) = (client()?, Arc::new(AtomicBool::new(false)));
        let ending = is_ending.clone();
        let all = tokio::spawn(async move {
            let mut lives = JoinSet::new();
            let mut number = 0;
            while !ending.load(Ordering::SeqCst) {
                let dice = Dice::new(seed.wrapping_add(number as u64));
                let (task, body) = task(format!("coming-{scene}-{number:04}"), number);
                lives.spawn(Life { client: client.clone(), asked: asked.clone(), dice, task }.live(body));
                number += 1;
                tokio::time::sleep(NEXT_TASK).await;
            }
            let mut changes = Changes::default();
            while let Some(life) = lives.join_next().await {
                let Ok(life) = life else { continue };
                changes.tasks.extend(life.tasks);
                changes.strange.extend(life.strange);
                let (sum, more) = (&mut changes.answers, life.answers);
                sum.ok += more.ok;
                sum.refused += more.refused;
                sum.failed += more.failed;
                sum.slowest = sum.slowest.max(more.slowest);
            }
            changes
        });
        Ok(Self { is_ending, all })
    }

    /// Lets those that are there go, and gives what came of all.
    pub(crate) async fn end(self) -> Result<Changes> {
        self.is_ending.store(true, Ordering::SeqCst);
        Ok(self.all.await?)
    }
}

/// One task from its put to its delete.
struct Life {
    client: reqwest::Client,
    asked: Asked,
    dice: Dice,
    task: Task,
}

impl Life {
    async fn live(mut self, body: String) -> Changes {
        let mut changes = Changes::default();
        // A put without an answer may still be carried out later, also after a delete: then nothing can be said.
        let is_clear = self.ask("put", &body, &mut changes).await;
        if is_clear {
            self.task.owed_from = now();
            tokio::time::sleep(STAY).await;
        }
        self.task.owed_until = now();
        let body = format!(r#"{{"identity":"{}"}}"#, self.task.identity);
        if self.ask("delete", &body, &mut changes).await && is_clear {
            self.task.deleted_at = Some(now());
        }
        changes.tasks.push(self.task);
        changes
    }

    /// Asks until somebody says `ok`. Whether that was the first clear answer.
    async fn ask(&mut self, what: &str, body: &str, changes: &mut Changes) -> bool {
        let deadline = tokio::time::Instant::now() + GIVE_UP;
        let mut is_clear = true;
        while tokio::time::Instant::now() < deadline {
            let url = format!("{}/{what}", self.asked.any(&mut self.dice));
            let begun = tokio::time::Instant::now();
            let answer = change(&self.client, &url, body.to_owned()).await;
            let took = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
            match answer {
                Answer::Ok => {
                    changes.answers.ok += 1;
                    changes.answers.slowest = changes.answers.slowest.max(took);
                    return is_clear;
                }
                Answer::Refused(_) => changes.answers.refused += 1,
                Answer::Away => {}
                Answer::Failed(why) => {
                    is_clear = false;
                    changes.answers.failed += 1;
                    changes.strange.push(format!("{} {url} {} after {took} ms: {why}", now(), self.task.identity));
                }
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        false
    }
}
