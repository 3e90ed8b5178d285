//! Plays the scenes one after the other, watches the service meanwhile, and has it judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::fires::Fires;
use super::fuzz::{PLACEHOLDER, PREFIX, bases};
use super::judge::{self, Outcome};
use super::options::Options;
use super::recording::now;
use super::ruling::{self, Bounds, Row, Whole, breaches, table};
use super::service::{ADMIN_KEY, Service, resident_bytes};
use super::stage::{Seen, Stage};
use super::target::Target;
use super::verified::verify;
use super::visitor::Visitor;

/// What is due has come after this time, else it is lost for this judge.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(5);
/// Between two scenes.
const BREATH: Duration = Duration::from_secs(3);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Memory comes back within the time of an idle connection, and this.
const MEMORY_BACK_WITHIN: Duration = Duration::from_secs(30);
/// Broken promises that are told one by one.
const TOLD_MAX: usize = 30;

/// Plays what was asked for. Whether every promise was kept.
pub(crate) async fn play(options: &Options) -> Result<bool> {
    let (size, bounds) = (options.size(), if options.short { Bounds::SHORT } else { Bounds::FULL });
    let target = Target::start()?;
    let mut service = Service::start(&options.folder, &target.address, size).await?;
    let base = format!("http://{}", service.address);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let stage = stage(&client, &base, &service, options).await?;
    let mut fires = Fires::put(&base, &target.address, size.rate).await?;
    let visitor = Visitor::start(service.address);
    let watch = Watch::start(service.process());
    eprintln!("abuse: {} fires a second; a calm stretch first", size.rate);
    sleep(BREATH).await;

    let mut rows = vec![begun("calm", &service)?];
    visitor.visits();
    watch.memory_max();
    sleep(size.calm).await;
    let seen = Seen::new(format!("nothing, for {} s", size.calm.as_secs()));
    ended(&mut rows, seen, &mut service, (&visitor, &watch))?;
    let memory_before = rows[0].memory_max;
    let mut how = None;
    for scene in options.scenes() {
        eprintln!("abuse: {}", scene.name());
        rows.push(begun(scene.name(), &service)?);
        let seen = scene.play(&stage).await;
        clear(&client, &base).await.unwrap_or_else(|error| eprintln!("abuse: what was fuzzed stays: {error:#}"));
        sleep(BREATH).await;
        ended(&mut rows, seen, &mut service, (&visitor, &watch))?;
        how = service.ended()?.map(|status| format!("the process ended in the scene `{}` ({status})", scene.name()));
        if how.is_some() {
            break;
        }
    }
    drop(visitor);
    let memory_after = memory_back(&service, memory_before + bounds.memory_left, size.patience).await;
    sleep(ON_ITS_WAY_MAX).await;
    if how.is_none() {
        let status = service.stop().await?;
        how = (!status.success()).then(|| format!("the process ended with {status} when it was asked to end"));
    }
    fires.read().await?;
    let range = (rows[0].begin, rows.last().context("no scene")?.end);
    let outcomes = verify(service.command(), &fires.places(), (range.0, range.1 - 1)).await?;
    judge_fires(&mut rows, &fires, &outcomes)?;
    rule(options, &Whole { rows, ended: how, memory_before, memory_after }, &bounds)
}

/// What is needed to play: a key that opens nothing else, and what can be asked for.
async fn stage(client: &reqwest::Client, base: &str, service: &Service, options: &Options) -> Result<Stage> {
    let document: Value = client.get(format!("{base}/openapi.json")).send().await?.text().await?.parse()?;
    let wanted = json!({ "name": "fuzz", "role": "write", "prefixes": [PREFIX] }).to_string();
    let made = client.post(format!("{base}/keys")).header("x-api-key", ADMIN_KEY).body(wanted).send().await?;
    let made: Value = made.text().await?.parse()?;
    let key = made["data"]["key"].as_str().with_context(|| format!("no key was made: {made}"))?;
    ensure!(key.len() == PLACEHOLDER.len(), "keys are {} bytes long, and no longer {}", key.len(), PLACEHOLDER.len());
    Ok(Stage {
        address: service.address,
        key: key.into(),
        seed: options.seed,
        only: options.only,
        size: options.size(),
        bases: bases(&document)?.into(),
    })
}

fn begun(scene: &str, service: &Service) -> Result<Row> {
    Ok(Row {
        scene: scene.to_owned(),
        begin: now(),
        end: i64::MAX,
        what: String::new(),
        broken: Vec::new(),
        fires: ruling::Fires::default(),
        visits: ruling::Visits::default(),
        memory_max: 0,
        logged: service.logged()?,
        panics: Vec::new(),
    })
}

/// The last row is over: what was seen of it from outside.
fn ended(rows: &mut [Row], seen: Seen, service: &mut Service, (visitor, watch): (&Visitor, &Watch)) -> Result<()> {
    let row = rows.last_mut().context("no scene has begun")?;
    let visits = visitor.visits();
    row.panics = service.panics(row.logged)?;
    row.logged = service.logged()? - row.logged;
    (row.end, row.what, row.broken) = (now(), seen.what, seen.broken);
    row.memory_max = watch.memory_max();
    row.visits = ruling::Visits { served: visits.served, failed: visits.failed, slowest: visits.slowest };
    eprintln!("abuse: {}: {}", row.scene, row.what);
    Ok(())
}

/// Ends what was fuzzed and may fire.
async fn clear(client: &reqwest::Client, base: &str) -> Result<()> {
    let url = format!("{base}/export");
    let tasks = client.get(url).header("x-api-key", ADMIN_KEY).send().await?.text().await?;
    for line in tasks.lines() {
        let task: Value = line.parse()?;
        let Some(identity) = task["identity"].as_str().filter(|identity| identity.starts_with(PREFIX)) else {
            continue;
        };
        let body = json!({ "identity": identity }).to_string();
        client.post(format!("{base}/delete")).header("x-api-key", ADMIN_KEY).body(body).send().await?;
    }
    Ok(())
}

/// The memory once it is back at a level, or after the time for that.
async fn memory_back(service: &Service, level: u64, patience: Duration) -> u64 {
    let until = Instant::now() + patience + MEMORY_BACK_WITHIN;
    loop {
        let memory = resident_bytes(service.process()).unwrap_or_default();
        if memory <= level || Instant::now() > until {
            return memory;
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// Every instant belongs to one scene. What was sent for it counts whenever it came.
fn judge_fires(rows: &mut [Row], fires: &Fires, outcomes: &[Outcome]) -> Result<()> {
    for place in 0..rows.len() {
        let (begin, end) = (rows[place].begin, rows.get(place + 1).map_or(rows[place].end, |next| next.begin));
        rows[place].end = end;
        let finding = fires.judge((begin, end), outcomes)?;
        let row = &mut rows[place].fires;
        let (figures, lateness) = (finding.figures, finding.figures.lateness);
        (row.owed, row.p50_ms, row.p99_ms, row.max_ms) = (figures.owed, lateness.p50, lateness.p99, lateness.max);
    }
    let (begin, end) = (rows[0].begin, rows.last().context("no scene")?.end);
    for breach in fires.judge((begin, end), outcomes)?.breaches {
        // What came before the first scene, or is named by no trigger, counts for the first one.
        let row = rows.iter().position(|row| (row.begin..row.end).contains(&breach.instant)).unwrap_or_default();
        let told = format!("{} {}: {}", breach.identity, breach.instant, breach.what);
        let row = &mut rows[row].fires;
        if breach.promise == judge::Promise::NoneMissing { row.lost.push(told) } else { row.doubled.push(told) }
    }
    Ok(())
}

fn rule(options: &Options, whole: &Whole, bounds: &Bounds) -> Result<bool> {
    let broken = breaches(whole, bounds);
    print!("{}", table(whole, &broken));
    for breach in broken.iter().take(TOLD_MAX) {
        eprintln!("abuse: {}: {:?}: {}", breach.scene, breach.promise, breach.what);
    }
    if broken.len() > TOLD_MAX {
        eprintln!("abuse: and {} more", broken.len() - TOLD_MAX);
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{}\n", ruling::json(whole, &broken))).context("the figures")?;
    }
    Ok(broken.is_empty())
}

/// Looks at the memory of a process again and again.
struct Watch {
    memory_max: Arc<AtomicU64>,
    looking: JoinHandle<()>,
}

impl Watch {
    fn start(process: u32) -> Self {
        let memory_max: Arc<AtomicU64> = Arc::default();
        let max = memory_max.clone();
        let looking = tokio::spawn(async move {
            while let Some(memory) = resident_bytes(process) {
                max.fetch_max(memory, Ordering::Relaxed);
                sleep(LOOK_AGAIN_AFTER).await;
            }
        });
        Self { memory_max, looking }
    }

    /// The most since it was asked for last.
    fn memory_max(&self) -> u64 {
        self.memory_max.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
