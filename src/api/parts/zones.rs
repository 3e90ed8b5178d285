//! The zones of tasks, for the dates of their runs.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{Question, gather, is_of, shards_of};
use crate::api::Services;
use crate::api::reply::ApiError;
use crate::model::{Identity, ShardSet, TimeZone};

/// The zones of some tasks. Those that are gone have none.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::api) struct Zones {
    identities: BTreeSet<String>,
}

impl Question for Zones {
    const NAME: &'static str = "zones";
    type Answer = Vec<(String, String)>;

    async fn answer(&self, services: &Services, _shards: ShardSet) -> Result<Self::Answer, ApiError> {
        let zone = |identity: &String| {
            let revision = services.catalog.get(&Identity::parse(identity).ok()?)?;
            Some((identity.clone(), revision.task.time_zone.name().to_owned()))
        };
        Ok(self.identities.iter().filter_map(zone).collect())
    }

    fn of(&self, shards: ShardSet) -> Self {
        Self { identities: self.identities.iter().filter(|identity| is_of(identity, shards)).cloned().collect() }
    }
}

impl Zones {
    /// Of these tasks, whoever owns them.
    pub(in crate::api) async fn of_tasks(
        services: &Services,
        identities: impl Iterator<Item = &Identity>,
    ) -> Result<HashMap<String, TimeZone>, ApiError> {
        let identities: BTreeSet<String> = identities.map(|identity| identity.as_str().to_owned()).collect();
        let shards = shards_of(identities.iter().map(String::as_str));
        let answers = gather(services, &Self { identities }, shards).await?;
        let zones = answers.into_iter().flatten();
        Ok(zones.filter_map(|(identity, zone)| Some((identity, TimeZone::parse(&zone).ok()?))).collect())
    }
}
