//! Breaks a real cluster and judges it: network namespaces, a real Elasticsearch, the real program. `scripts/chaos` runs it.

#![expect(clippy::print_stdout, reason = "its table is its output")]

mod cost;
mod dice;
mod elasticsearch;
mod history;
mod judge;
mod load;
mod net;
mod nodes;
mod options;
mod recording;
mod scenes;
mod shell;
mod stage;
mod target;
mod verified;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::judge::{Answers, Row, Times, table};
use self::load::{Changes, Comings};
use self::options::Options;
use self::scenes::{Scene, rolling};
use self::stage::{Judged, Stage};
use self::target::now;

/// Broken promises that are told one by one, for each scene.
const BREACHES_TOLD: usize = 20;
/// After a fault everything has to fire on time again within this time.
const RECOVERY_MAX: Duration = Duration::from_secs(90);

#[tokio::main]
async fn main() -> ExitCode {
    // Only this process asks for one: nobody can have installed another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = if std::env::args().nth(1).as_deref() == Some("target") {
        target::serve().await.map(|()| true)
    } else {
        play().await
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept. What was started goes with this program, which is the first process of its namespace.
async fn play() -> Result<bool> {
    let options = Options::read()?;
    let (mut interrupt, mut end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let all = async { if options.cost { cost::measure(options).await.map(|()| true) } else { scenes(options).await } };
    tokio::select! {
        result = all => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = end.recv() => bail!("ended"),
    }
}

async fn scenes(options: Options) -> Result<bool> {
    for scene in options.left_out() {
        eprintln!("chaos: the scene `{}` is left out: it needs more nodes or hosts, or libfaketime", scene.name());
    }
    let (rounds, scenes, warm_up) = (options.rounds, options.scenes(), options.warm_up());
    let mut stage = Stage::build(options).await?;
    for _ in 0..warm_up {
        wait_steady(&mut stage, "the warm-up").await?;
        rolling(&mut stage).await?;
    }
    let mut rows = Vec::new();
    for round in 1..=rounds {
        for &scene in &scenes {
            let name = if rounds == 1 { scene.name().to_owned() } else { format!("{} {round}", scene.name()) };
            let row = play_one(&mut stage, scene, name).await?;
            tell(&row);
            rows.push(row);
        }
    }
    println!("{}", table(&rows));
    stage.es.stop().await;
    Ok(rows.iter().all(Row::is_kept))
}

async fn wait_steady(stage: &mut Stage, before: &str) -> Result<()> {
    if !stage.wait_steady(RECOVERY_MAX).await? {
        bail!("before {before} not everything fires on time: {}", stage.unsteady());
    }
    Ok(())
}

async fn play_one(stage: &mut Stage, scene: Scene, name: String) -> Result<Row> {
    let calm = Duration::from_secs(if stage.options.short { 2 } else { 6 });
    stage.es.wait_green().await?;
    let node = stage.choose();
    scene.prepare(stage, node).await?;
    wait_steady(stage, &format!("`{name}`")).await?;
    let begin = now();
    eprintln!("chaos: {name} (from {begin})");
    let seed = stage.options.seed.wrapping_mul(1_000_003).wrapping_add(begin.unsigned_abs());
    let comings = match scene.allows_changes() {
        true => Some(Comings::start(format!("{}-{begin}", scene.name()), stage.asked.clone(), seed)?),
        false => None,
    };
    tokio::time::sleep(calm).await;
    let deed = scene.play(stage, node).await?;
    let is_recovered = stage.wait_steady(RECOVERY_MAX).await?;
    if !is_recovered {
        eprintln!("chaos: {name}: {}", stage.unsteady());
    }
    let changes = match comings {
        Some(comings) => comings.end().await?,
        None => Changes::default(),
    };
    tokio::time::sleep(calm).await;
    let times = Times { begin, fault: deed.fault, relief: deed.relief, end: now() };
    for strange in &changes.strange {
        eprintln!("chaos: {name}: {strange}");
    }
    let answers: Answers = changes.answers;
    let counts_from_relief = scene.stops_everybody(&stage.options);
    let judged = Judged { tasks: changes.tasks, counts_from_relief, is_recovered };
    let finding = stage.judge(times, deed.hit, judged).await?;
    scene.clear(stage, node).await?;
    Ok(Row { scene: name, goals: scene.goals(&stage.options), answers, finding })
}

fn tell(row: &Row) {
    let breaches = &row.finding.breaches;
    for breach in breaches.iter().take(BREACHES_TOLD) {
        eprintln!("chaos: {}: {:?} {} {}: {}", row.scene, breach.promise, breach.identity, breach.instant, breach.what);
    }
    if breaches.len() > BREACHES_TOLD {
        eprintln!("chaos: {}: and {} more", row.scene, breaches.len() - BREACHES_TOLD);
    }
    eprint!("{}", table(std::slice::from_ref(row)).lines().nth(2).map(|line| format!("{line}\n")).unwrap_or_default());
}
