//! Pages of all tasks, in the order of their names, put together of pages of many nodes. Each page is asked for by itself, so shards
//! may move between two of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Question, gather};
use crate::api::Services;
use crate::api::reply::ApiError;
use crate::model::{Prefixes, Revision, ShardSet};

/// How many tasks are looked at without a pause for others.
const TASKS_AT_ONCE: usize = 1_000;

/// Items of tasks that stand beside each other.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::api) struct Page<T> {
    /// With the name of the task, in the order of names.
    pub(in crate::api) items: Vec<(String, T)>,
    /// Up to this name there are no others; `None`: to the end.
    pub(in crate::api) through: Option<String>,
}

impl<T> Page<T> {
    /// One page of the pages of nodes: up to the name up to which each of them has told everything.
    fn of(mut pages: Vec<Self>) -> Self {
        if let [_] = pages.as_slice()
            && let Some(only) = pages.pop()
        {
            return only;
        }
        let through = pages.iter().filter_map(|page| page.through.clone()).min();
        let mut items: Vec<(String, T)> = pages.into_iter().flat_map(|page| page.items).collect();
        if let Some(through) = &through {
            items.retain(|(name, _)| name <= through);
        }
        // Items of one task are of one node, and keep their order.
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { items, through }
    }
}

/// The next page of all tasks.
pub(in crate::api) async fn page<T, Q: Question<Answer = Page<T>>>(
    services: &Services,
    question: &Q,
) -> Result<Page<T>, ApiError> {
    Ok(Page::of(gather(services, question, ShardSet::ALL).await?))
}

/// The tasks that a caller knows of, as a question names them.
pub(in crate::api) fn covered(texts: &[String]) -> Result<Prefixes, ApiError> {
    Prefixes::parse(texts).map_err(|error| ApiError::Unreadable(error.to_string()))
}

/// Where this node's tasks are looked through.
pub(in crate::api) struct Scan<'a> {
    pub(in crate::api) shards: ShardSet,
    pub(in crate::api) prefix: &'a str,
    /// The tasks that the caller knows of.
    pub(in crate::api) covered: Prefixes,
    pub(in crate::api) after: Option<&'a str>,
    /// How many tasks are looked at.
    pub(in crate::api) tasks_max: usize,
}

/// Looks through tasks of this node until `visit` wants no more; one-shots are passed over. Gives up to which name it has looked;
/// `None`: to the end.
pub(in crate::api) async fn scan(
    services: &Services,
    scan: Scan<'_>,
    mut visit: impl FnMut(&Arc<Revision>) -> bool + Send,
) -> Result<Option<String>, ApiError> {
    let Scan { shards, prefix, covered, after, tasks_max } = scan;
    let (mut after, mut seen) = (after.map(str::to_owned), 0);
    while seen < tasks_max {
        let at_once = TASKS_AT_ONCE.min(tasks_max - seen);
        let slice = services.catalog.page(shards, prefix, after.as_deref(), at_once);
        if slice.shards != shards {
            return Err(ApiError::Elsewhere);
        }
        seen += at_once;
        let is_listed =
            |revision: &&Arc<Revision>| !revision.task.is_one_shot && covered.cover(&revision.task.identity);
        for revision in slice.tasks.iter().filter(is_listed) {
            if !visit(revision) {
                return Ok(Some(revision.task.identity.as_str().to_owned()));
            }
        }
        after = slice.through.map(|through| through.as_str().to_owned());
        if after.is_none() {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(names: &str, through: Option<&str>) -> Page<()> {
        let items = names.chars().map(|name| (name.to_string(), ())).collect();
        Page { items, through: through.map(str::to_owned) }
    }

    fn names(pages: Vec<Page<()>>) -> (String, Option<String>) {
        let page = Page::of(pages);
        (page.items.into_iter().map(|(name, ())| name).collect(), page.through)
    }

    #[test]
    fn pages_of_nodes_make_one_page_as_far_as_all_of_them_reach() {
        assert_eq!(
            names(vec![page("adf", Some("f")), page("bc", Some("e")), page("z", None)]),
            ("abcd".into(), Some("e".into()))
        );
        assert_eq!(names(vec![page("ad", None), page("", None), page("bc", None)]), ("abcd".into(), None));
        assert_eq!(names(vec![page("ad", Some("d"))]), ("ad".into(), Some("d".into())));
        assert_eq!(names(vec![page("xy", Some("y")), page("", Some("c"))]), (String::new(), Some("c".into())));
        assert_eq!(names(vec![]), (String::new(), None));
    }
}
