//! What fires all the time, and what is known of it.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use schedule_service::model::{Identity, Shard};

use super::judge::{Arrival, Delivery, Evidence, Finding, Hit, Outcome, Task, Times, judge};
use super::recording::{Note, Reader, now};
use super::service::ADMIN_KEY;

/// Both fire once a second.
const TRIGGERS: [&str; 2] = [r#""cron_time":"* * * * * *""#, r#""every":"1s""#];
const DELIVERIES: [(Delivery, &str); 2] =
    [(Delivery::AtLeastOnce, "at_least_once"), (Delivery::AtMostOnce, "at_most_once")];

/// Tasks that fire each second, and what came of them so far.
pub(crate) struct Fires {
    tasks: Vec<Task>,
    reader: Reader,
    notes: Vec<Note>,
}

impl Fires {
    /// Puts so many tasks of one entry.
    pub(crate) async fn put(base: &str, target: &str, count: usize) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut tasks = Vec::with_capacity(count);
        for number in 0..count {
            let identity = format!("steady-{number:04}");
            let (trigger, (delivery, word)) = (TRIGGERS[number % 2], DELIVERIES[number / 2 % 2]);
            let entry =
                format!(r#"{{{trigger},"url":"http://{target}/fires","delivery":"{word}","body":{{"n":{number}}}}}"#);
            let body =
                format!(r#"{{"identity":"{identity}","time_zone":"UTC","start":true,"entries":{{"e":{entry}}}}}"#);
            let answer = client.post(format!("{base}/put")).header("x-api-key", ADMIN_KEY).body(body).send().await?;
            let text = answer.text().await?;
            ensure!(text.starts_with(r#"{"error":0"#), "a put is answered `{text}`");
            let shard = Shard::of(&Identity::parse(&identity)?).index();
            let (owed_from, owed_until) = (now(), i64::MAX);
            tasks.push(Task { identity, shard, every_s: 1, delivery, owed_from, owed_until, deleted_at: None });
        }
        Ok(Self { tasks, reader: Reader::new(format!("http://{target}"))?, notes: Vec::new() })
    }

    /// Reads what came to the target.
    pub(crate) async fn read(&mut self) -> Result<()> {
        self.notes.extend(self.reader.read_notes().await?);
        Ok(())
    }

    /// Until when everything has come that was due, within this time.
    pub(crate) fn places(&self) -> HashMap<&str, usize> {
        self.tasks.iter().enumerate().map(|(place, task)| (task.identity.as_str(), place)).collect()
    }

    /// Judges the instants of a range.
    pub(crate) fn judge(&self, (begin, end): (i64, i64), outcomes: &[Outcome]) -> Result<Finding> {
        let places = self.places();
        let mut arrivals = Vec::with_capacity(self.notes.len());
        for note in &self.notes {
            let task = places.get(note.identity.as_str()).copied();
            let task = task.with_context(|| format!("`{}` fired from {}, and nobody put it", note.identity, note.from));
            arrivals.push(Arrival { at: note.at, task: task?, instant: note.instant, run: note.run.clone(), node: 0 });
        }
        let times = Times { begin, fault: begin, relief: end, end };
        let redelivered = HashSet::new();
        Ok(judge(&Evidence {
            times,
            hit: Hit::All,
            counts_from_relief: false,
            is_recovered: true,
            tasks: &self.tasks,
            arrivals: &arrivals,
            outcomes,
            redelivered: &redelivered,
        }))
    }
}
