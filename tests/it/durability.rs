//! Answered `ok` means: it survives. The program is killed in the middle of a stream of puts, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Process, Target, client, post_ok, task};

/// How often the program is killed.
const KILLS: usize = 200;
/// How many clients put at once.
const CLIENTS: usize = 4;
/// Decides the moments of the kills; printed when the test fails.
const SEED: u64 = 0x5eed_2026;

/// What a client knows of its puts.
#[derive(Default)]
struct Known {
    acknowledged: BTreeMap<String, String>,
    /// Sent, and neither acknowledged nor refused: may be there or not.
    open: BTreeSet<String>,
    refused: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_200_random_moments_it_keeps_every_acknowledged_put_and_doubles_no_fire() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    let mut random = SplitMix(SEED);
    let mut known = Known::default();
    let numbers = Arc::new(AtomicUsize::new(0));

    for _ in 0..KILLS {
        let process = Process::start(folder.path()).await;
        let puts: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(put_until_killed(process.base.clone(), target.url("/ok"), numbers.clone())))
            .collect();
        // The moment is the rule under test, not a wait for something to settle.
        tokio::time::sleep(Duration::from_micros(random.below(120_000))).await;
        process.kill().await;
        for put in puts {
            known.add(put.await.unwrap());
        }
    }

    let process = Process::start(folder.path()).await;
    assert_puts_are_kept(&process, &known).await;
    assert_fires_are_single(&process, &target).await;
    process.signal("TERM").await;
    assert!(process.wait().await.success());
    assert_verified(folder.path()).await;
}

/// Puts tasks, every eighth of them a wrong one, until the service is gone. Every fourth fires each second.
async fn put_until_killed(base: String, url: String, numbers: Arc<AtomicUsize>) -> Known {
    let (client, mut known) = (client(), Known::default());
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let is_firing = number.is_multiple_of(4);
        let identity = if is_firing { format!("firing-{}", number % 32) } else { format!("task-{number}") };
        let cron_time = if is_firing { "* * * * * *" } else { "0 0 0 1 1 *" };
        let zone = if number % 8 == 3 { "Mars/Base" } else { "UTC" };
        let url = format!("{url}/{number}");
        let body = task(&identity, cron_time, &url).replace("UTC", zone);
        let sent = client.post(format!("{base}/put")).body(body).send().await;
        let answer = match sent {
            Ok(answer) => answer.text().await.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok()),
            Err(_) => None,
        };
        match answer {
            Some(answer) if answer["error"] == 0 => drop(known.acknowledged.insert(identity, url)),
            Some(_) => drop(known.refused.insert(identity)),
            None => {
                known.open.insert(identity);
                return known;
            }
        }
    }
}

impl Known {
    fn add(&mut self, later: Self) {
        self.acknowledged.extend(later.acknowledged);
        self.open.extend(later.open);
        self.refused.extend(later.refused);
    }
}

async fn assert_puts_are_kept(process: &Process, known: &Known) {
    let all = post_ok(&process.base, "/all", "").await;
    let stored: BTreeSet<String> =
        all["data"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let lost: Vec<_> = known.acknowledged.keys().filter(|name| !stored.contains(*name)).collect();
    let risen: Vec<_> = known.refused.iter().filter(|name| stored.contains(*name)).collect();
    let expected = |name: &&String| known.acknowledged.contains_key(*name) || known.open.contains(*name);
    let strange: Vec<_> = stored.iter().filter(|name| !expected(name)).collect();

    assert!(known.acknowledged.len() > KILLS, "the kills came too early to prove anything, seed {SEED:#x}");
    assert!(
        lost.is_empty() && risen.is_empty() && strange.is_empty(),
        "seed {SEED:#x}: {lost:?} {risen:?} {strange:?}"
    );
    for (identity, url) in known.acknowledged.iter().filter(|(name, _)| name.starts_with("task-")).take(200) {
        let asked = serde_json::json!({ "identity": identity }).to_string();
        assert_eq!(post_ok(&process.base, "/get", asked).await["data"]["entries"]["e"]["url"], **url);
    }
}

/// A run may be sent a second time only where a crash left it uncertain. Then its record says so: it was sent again, or
/// it counts as missed as its task had been replaced before it could be.
async fn assert_fires_are_single(process: &Process, target: &Target) {
    let arrived = target.count();
    target.wait_until(|arrivals| arrivals.len() >= arrived + 16).await;
    for number in 0..8 {
        let asked = serde_json::json!({ "identity": format!("firing-{}", number * 4), "running": false }).to_string();
        post_ok(&process.base, "/running", asked).await;
    }
    let (runs, arrivals) = (target.arrivals_by_run(), target.arrivals());
    let twice: BTreeSet<&String> = runs.iter().filter(|&(_, &count)| count > 1).map(|(run, _)| run).collect();
    let uncertain = uncertain_runs(process).await;
    let is_doubled = |run: &&&String| {
        let arrival = arrivals.iter().find(|arrival| arrival.header("idempotency-key") == run.as_str()).unwrap();
        let fire_time = arrival.header("x-schedule-fire-time");
        !uncertain.iter().any(|it| it.holds(run, arrival.header("x-schedule-identity"), fire_time))
    };
    let doubled: Vec<_> = twice.iter().filter(is_doubled).collect();
    assert!(doubled.is_empty(), "seed {SEED:#x}: {} of {} runs: {doubled:?}", doubled.len(), runs.len());
    assert!(runs.values().all(|&count| count <= 1 + KILLS), "{runs:?}");
}

/// What a record says of runs that may have been sent twice.
enum Uncertain {
    /// This run was sent again.
    Run(String),
    /// The instants of a task from the first to the last count as missed.
    Missed { identity: String, first: String, last: String },
}

impl Uncertain {
    fn holds(&self, run: &str, identity: &str, fire_time: &str) -> bool {
        match self {
            Self::Run(sent_again) => sent_again == run,
            // RFC 3339 in UTC: texts are ordered as instants are.
            Self::Missed { identity: of, first, last } => {
                of == identity && first.as_str() <= fire_time && fire_time <= last.as_str()
            }
        }
    }

    fn read(identity: &str, hit: &Value) -> Option<Self> {
        let (source, text) = (&hit["_source"], |value: &Value| value.as_str().map(str::to_owned));
        if source["type"] == "missed" {
            let first = text(&source["first"]).or(text(&source["fire_time"]))?;
            let last = text(&source["last"]).unwrap_or_else(|| first.clone());
            return Some(Self::Missed { identity: identity.to_owned(), first, last });
        }
        (source["redelivered"] == true).then(|| text(&hit["_id"]).map(Self::Run)).flatten()
    }
}

async fn uncertain_runs(process: &Process) -> Vec<Uncertain> {
    let mut uncertain = Vec::new();
    for number in 0..8 {
        for skip in (0..).step_by(100) {
            let identity = format!("firing-{}", number * 4);
            let asked = serde_json::json!({ "identity": identity, "limit": 100, "skip": skip }).to_string();
            let answer = post_ok(&process.base, "/search", asked).await;
            let hits = answer["data"]["hits"]["hits"].as_array().unwrap();
            uncertain.extend(hits.iter().filter_map(|hit| Uncertain::read(&identity, hit)));
            if hits.len() < 100 {
                break;
            }
        }
    }
    uncertain
}

async fn assert_verified(folder: &std::path::Path) {
    let verified = Process::command(folder).args(["verify", "--from", "2020-01-01T00:00:00Z"]).output().await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
    let end = said.lines().last().unwrap_or_default();
    assert!(verified.status.success(), "seed {SEED:#x}: {end} {complained}");
}

/// A small seeded generator, so that a failure can be run again.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
