//! The two stores, and whether a service uses them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::StoreName;
use crate::clock::{Clock, SystemClock};
use crate::journal::Spill;
use crate::model::Timestamp;
use crate::node::SPILL_FOLDER;
use crate::store::elastic::{self, Elastic};
use crate::store::embedded::Embedded;
use crate::store::transfer::{Kind, MovableStore};
use crate::store::unfinished::Place;

/// How long leases are watched. A node whose tasks are due more often moves them within this time.
const WATCHED: Duration = Duration::from_secs(5);
/// A node writes its leases at least once a minute: after twice that time there is none.
const STILL_AFTER: Duration = Duration::from_secs(120);

/// What makes a store one that is in use.
const HELD: [Kind; 7] =
    [Kind::Revisions, Kind::Records, Kind::Marks, Kind::Audit, Kind::Results, Kind::Pauses, Kind::Registers];

/// Where the stores of the configuration are.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) folder: &'a Path,
    pub(super) cluster: &'a elastic::Settings,
}

/// One of them, opened.
pub(super) struct Side {
    pub(super) place: Place,
    pub(super) store: Box<dyn MovableStore>,
}

impl Stores<'_> {
    /// Opens a store for writing; no other process can then open an embedded one.
    pub(super) async fn open(self, name: StoreName) -> anyhow::Result<Side> {
        let store: Box<dyn MovableStore> = match name {
            StoreName::Embedded => Box::new(Embedded::open(self.folder)?),
            StoreName::Elasticsearch => Box::new(Elastic::open(self.cluster, Arc::new(SystemClock)).await?),
        };
        Ok(Side { place: self.place(name), store })
    }

    /// Opens a store for reading. One that is not there is not made.
    pub(super) async fn open_read_only(self, name: StoreName) -> anyhow::Result<Side> {
        let store: Box<dyn MovableStore> = match name {
            StoreName::Embedded => Box::new(Embedded::open_read_only(self.folder)?),
            StoreName::Elasticsearch => Box::new(Elastic::open_read_only(self.cluster, Arc::new(SystemClock)).await?),
        };
        Ok(Side { place: self.place(name), store })
    }

    fn place(self, name: StoreName) -> Place {
        match name {
            StoreName::Embedded => Place::Embedded,
            StoreName::Elasticsearch => Place::Elasticsearch(self.cluster.index.clone()),
        }
    }

    /// Holds the folder of the records that wait for Elasticsearch, as a service that uses it does. None may wait: they are
    /// part of the history.
    pub(super) fn hold_spill(self) -> anyhow::Result<Spill> {
        let folder = self.folder.join(SPILL_FOLDER);
        let spill = Spill::open(&folder, u64::MAX)
            .with_context(|| format!("cannot use {}, stop the service that runs on it", folder.display()))?;
        if !spill.is_empty() {
            bail!(
                "records wait in {} for Elasticsearch: start the service on it once, so that they are written",
                folder.display()
            );
        }
        Ok(spill)
    }
}

impl Side {
    /// What it holds of tasks and history, in words; `None`: nothing.
    pub(super) async fn holdings(&self) -> anyhow::Result<Option<String>> {
        let mut holdings = Vec::new();
        for kind in HELD {
            match self.store.count(kind).await? {
                0 => {}
                count => holdings.push(format!("{count} {}", kind.as_str())),
            }
        }
        Ok((!holdings.is_empty()).then(|| holdings.join(", ")))
    }

    /// Taking the leases would end a node that holds them, so this only looks whether they move.
    pub(super) async fn check_still(&self) -> anyhow::Result<()> {
        let before = self.store.leases().await?;
        let newest = before.iter().map(|lease| lease.claimed_through.max(lease.settled_through)).max();
        // Leases that were taken and never claimed may be those of a service that has just started.
        let is_still = |newest: Timestamp| newest > Timestamp::EPOCH && SystemClock.now().since(newest) > STILL_AFTER;
        if newest.is_none_or(is_still) {
            return Ok(());
        }
        tokio::time::sleep(WATCHED).await;
        if self.store.leases().await? != before {
            bail!("a service uses {}: its leases move, stop it first", self.place);
        }
        Ok(())
    }
}
