//! Whether two stores hold the same.

use super::progress::Progress;
use super::sides::Side;
use crate::store::StoreError;
use crate::store::tally::{Adapted, Tally};
use crate::store::transfer::{Items, Kind};

/// What was counted of one kind.
pub(super) struct Compared {
    pub(super) kind: Kind,
    pub(super) source: Tally,
    pub(super) target: Tally,
}

/// What was counted of all.
pub(super) struct Comparison {
    pub(super) kinds: Vec<Compared>,
    /// How many records stand in the two with other bodies or responses.
    pub(super) adapted: u64,
}

/// Reads both stores from end to end.
pub(super) async fn compare(source: &Side, target: &Side) -> Result<Comparison, StoreError> {
    let (mut kinds, mut adapted) = (Vec::new(), Adapted::default());
    for kind in Kind::ALL {
        let of_source = tally(source, kind, |items| adapted.add(items)).await?;
        let of_target = tally(target, kind, |items| adapted.subtract(items)).await?;
        kinds.push(Compared { kind, source: of_source, target: of_target });
    }
    // Where records are missing, their documents would count as adapted.
    let is_same = kinds.iter().all(|compared| compared.source == compared.target);
    Ok(Comparison { kinds, adapted: if is_same { adapted.count() } else { 0 } })
}

async fn tally(side: &Side, kind: Kind, mut also: impl FnMut(&Items)) -> Result<Tally, StoreError> {
    let progress = Progress::new(kind, "verified", side.store.count(kind).await?);
    let mut tally = Tally::default();
    let mut pages = side.store.pages(kind, None);
    while let Some(page) = pages.recv().await {
        let items = page?.items;
        tally.add(&items);
        also(&items);
        progress.step(items.len() as u64);
    }
    Ok(tally)
}
