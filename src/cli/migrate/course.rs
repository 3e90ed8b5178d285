//! The course of a migration: what has to hold before it begins, whether it goes on with an earlier one, and its end.

use std::path::Path;

use anyhow::{Context, bail};

use super::compare::{self, Comparison};
use super::report::Report;
use super::sides::{Side, Stores};
use super::{MigrateArgs, StoreName, copy};
use crate::store::tally::Tally;
use crate::store::transfer::{Items, Kind};
use crate::store::unfinished::Unfinished;

pub(super) async fn run(args: &MigrateArgs, stores: Stores<'_>) -> anyhow::Result<Report> {
    if args.verify_only {
        let source = stores.open_read_only(args.from).await.context("cannot read the source")?;
        let target = stores.open_read_only(args.to).await.context("cannot read the target")?;
        let comparison = compare::compare(&source, &target).await.context("cannot compare the stores")?;
        return report(&source, &target, comparison).await;
    }
    check_source(args, stores).await?;
    let _spill = stores.hold_spill()?;
    let source = stores.open(args.from).await.context("cannot open the source")?;
    let target = stores.open(args.to).await.context("cannot open the target")?;
    match args.from {
        StoreName::Elasticsearch => source.check_still().await?,
        StoreName::Embedded => target.check_still().await?,
    }
    source.store.complete().await.context("cannot complete the source")?;
    let leases = leases_of(&source).await?;
    let (mut state, is_resumed) = begin(args, stores.folder, &source, &target, leases).await?;
    const AGAIN: &str = "the migration stopped, run it again to go on where it was";
    let copied = copy::copy(&source, &target, &mut state, stores.folder).await.context(AGAIN)?;
    let comparison = compare::compare(&source, &target).await.context(AGAIN)?;
    if leases_of(&source).await? != leases {
        bail!("a service has used {} while it was copied: stop it, and begin anew by --force", source.place);
    }
    let report = report(&source, &target, comparison).await?.copied(copied, is_resumed);
    source.store.close().await?;
    target.store.close().await?;
    if report.differences().is_none() {
        Unfinished::remove(stores.folder).context("cannot remove the note of an unfinished migration")?;
    }
    Ok(report)
}

/// Before anything is made: a wrong name must not leave empty indices behind.
async fn check_source(args: &MigrateArgs, stores: Stores<'_>) -> anyhow::Result<()> {
    let source = stores.open_read_only(args.from).await.context("cannot read the source")?;
    if source.holdings().await?.is_none() {
        bail!("there is nothing to migrate: {} holds no task and no history", source.place);
    }
    Ok(())
}

/// The checksum of all leases: any use of the store by a node changes it.
async fn leases_of(side: &Side) -> anyhow::Result<u64> {
    let mut tally = Tally::default();
    tally.add(&Items::Leases(side.store.leases().await?));
    Ok(tally.checksum)
}

/// Where to begin, and whether that is where an earlier migration stopped.
async fn begin(
    args: &MigrateArgs,
    folder: &Path,
    source: &Side,
    target: &Side,
    leases: u64,
) -> anyhow::Result<(Unfinished, bool)> {
    let (from, to) = (source.place.clone(), target.place.clone());
    let anew = Unfinished { from, to, leases, kind: Some(Kind::ALL[0]), after: None };
    let file = Unfinished::path(folder);
    let earlier = Unfinished::load(folder).with_context(|| format!("cannot read {}", file.display()))?;
    let holdings = target.holdings().await?;
    match (earlier, holdings) {
        (_, None) => Ok((anew, false)),
        (_, Some(_)) if args.force => Ok((anew, false)),
        (Some(earlier), Some(_)) if Unfinished { kind: anew.kind, after: None, ..earlier.clone() } == anew => {
            Ok((earlier, true))
        }
        (Some(earlier), Some(_)) => bail!(
            "{} is left of a migration from {} that did not end, and cannot go on: another store was named, or a service has \
             used the source since. Begin anew by --force",
            earlier.to,
            earlier.from
        ),
        (None, Some(holdings)) => bail!(
            "{} already holds {holdings}: name an empty one ({}), or write over it by --force",
            target.place,
            match args.to {
                StoreName::Embedded => "[store] path",
                StoreName::Elasticsearch => "[elasticsearch] default_index",
            }
        ),
    }
}

async fn report(source: &Side, target: &Side, comparison: Comparison) -> anyhow::Result<Report> {
    let foreign = source.store.count_foreign().await?;
    Ok(Report::new(&source.place, &target.place, comparison, foreign))
}
