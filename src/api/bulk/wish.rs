//! What a line wants.

use crate::api::caller::Caller;
use crate::api::reply::ApiError;
use crate::api::wire::{Misunderstood, understand};
use crate::api::{Services, changes, quota, targets};
use crate::catalog::{Put, Removal, Switch};
use crate::model::Identity;
use crate::model::object::Object;

const EXAMPLE: &str = r#"{"put":{"identity":"backup",…}}, {"delete":{"identity":"backup"}} or {"running":{"identity":"backup","running":true}}"#;

/// How a line ended: the revision that is in force then, if there is one, and what is odd about it.
pub(super) type Outcome = (Result<Option<u64>, ApiError>, Vec<String>);

#[derive(Debug)]
pub(super) enum Wish {
    Put(Box<Put>, Vec<String>),
    Remove(Removal),
    Switch(Switch),
}

impl Wish {
    pub(super) fn read(line: &[u8], caller: &Caller, services: &Services) -> Result<Self, Misunderstood> {
        let members = understand(|mistakes| {
            let members = Object::read_frame(line, EXAMPLE, mistakes)?.into_members();
            if members.len() != 1 {
                mistakes.add("body", format_args!("has {} members, expected one, such as {EXAMPLE}", members.len()));
            }
            Some(members)
        })?;
        let Some((word, raw)) = members.value.into_iter().next() else { unreachable!("there is one member") };
        let inner = raw.get().as_bytes();
        match word.as_str() {
            "put" => targets::put(inner, &services.terms(), &services.targets).map(|parsed| {
                let put = Put { by: Some(caller.shared()), asked_by: caller.asked_by(), ..parsed.value };
                Self::Put(Box::new(put), parsed.warnings)
            }),
            "delete" => changes::removal(inner, caller).map(|parsed| Self::Remove(parsed.value)),
            "running" => changes::switch(inner, caller).map(|parsed| Self::Switch(parsed.value)),
            other => {
                let shown: String = other.chars().take(32).flat_map(char::escape_debug).collect();
                Err(Misunderstood(format!("{shown}: is not known, expected one of put, delete, running")))
            }
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        match self {
            Self::Put(put, _) => &put.task.identity,
            Self::Remove(removal) => &removal.identity,
            Self::Switch(switch) => &switch.identity,
        }
    }

    /// By this node.
    pub(super) async fn carry_out(self, services: &Services, caller: &Caller) -> Outcome {
        let catalog = &services.catalog;
        let (result, warnings) = match self {
            Self::Put(put, warnings) => match quota::place(services, caller, &put.task.identity).await {
                Ok(place) => (catalog.put_in(place, *put).await.map(Some), warnings),
                Err(error) => return (Err(error), warnings),
            },
            Self::Remove(removal) => (catalog.remove(removal).await.map(|()| None), Vec::new()),
            Self::Switch(switch) => (catalog.switch(switch).await.map(Some), Vec::new()),
        };
        (result.map_err(ApiError::quietly), warnings)
    }
}
