//! The states that a task went through, by their numbers.

use std::ops::Range;

use serde_json::value::RawValue;

use super::task_document::{TaskDocument, past_id, task_id};
use super::{Inner, bulk};
use crate::model::{Identity, Revision};
use crate::store::StoreError;

const READING: &str = "reading the history of a task";
/// How many states one request asks for: each may hold thousands of entries.
const STATES_MAX: u64 = 50;

impl Inner {
    /// The states of a task with a number below `before`, newest first, as they are now, not as a search sees them.
    pub(super) async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError> {
        let Some(newest) = self.newest_state(identity).await? else { return Ok(Vec::new()) };
        let before = before.unwrap_or(u64::MAX);
        let (mut states, mut below) = (Vec::new(), newest.revision.number.min(before));
        if newest.revision.number < before && max > 0 {
            states.push(newest.to_revision()?);
        }
        while states.len() < max && below > 1 {
            let count = u64::try_from(max - states.len()).map_or(STATES_MAX, |count| count.min(STATES_MAX));
            let begin = below.saturating_sub(count).max(1);
            let found = self.past_states(identity, begin..below).await?;
            if found.is_empty() {
                // The oldest are forgotten first: what is below is gone, too.
                break;
            }
            states.extend(found);
            below = begin;
        }
        Ok(states)
    }

    async fn newest_state(&self, identity: &Identity) -> Result<Option<TaskDocument>, StoreError> {
        let ids = [(&*self.names.tasks, task_id(identity))];
        let mut got = bulk::get_many::<Box<RawValue>>(&self.client, READING, ids.into_iter()).await?;
        got.pop().flatten().map(|(_, source)| TaskDocument::read(&task_id(identity), source.get())).transpose()
    }

    /// The past states with these numbers, newest first.
    async fn past_states(&self, identity: &Identity, numbers: Range<u64>) -> Result<Vec<Revision>, StoreError> {
        let ids = numbers.clone().rev().map(|number| (&*self.names.tasks, past_id(identity, number)));
        let got = bulk::get_many::<Box<RawValue>>(&self.client, READING, ids).await?;
        // The newest change may still have to write the one that it ended.
        let waiting = self.outbox.of_task(identity).and_then(|(_, consequence)| consequence.past);
        let waiting = waiting.and_then(|past| serde_json::from_slice::<TaskDocument>(&past.source).ok());
        let is_waiting = |number: u64| waiting.clone().filter(|past| past.revision.number == number);
        let mut states = Vec::with_capacity(got.len());
        for (number, past) in numbers.rev().zip(got) {
            let read = |(_, source): (_, Box<RawValue>)| TaskDocument::read(&past_id(identity, number), source.get());
            let past = past.map(read).transpose()?.or_else(|| is_waiting(number));
            states.extend(past.map(|past| past.to_revision()).transpose()?);
        }
        Ok(states)
    }
}
