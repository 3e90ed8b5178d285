//! The copy itself: page by page, each noted once it is surely written.

use std::path::Path;

use anyhow::Context;

use super::progress::Progress;
use super::sides::Side;
use crate::store::transfer::{Kind, Page};
use crate::store::unfinished::Unfinished;

/// Copies from where `state` stands to the end, and gives how many items that were.
pub(super) async fn copy(source: &Side, target: &Side, state: &mut Unfinished, folder: &Path) -> anyhow::Result<u64> {
    let mut copied = 0;
    save(state, folder)?;
    while let Some(kind) = state.kind {
        let progress = Progress::new(kind, "copied", source.store.count(kind).await?);
        let mut pages = source.store.pages(kind, state.after.clone());
        while let Some(page) = pages.recv().await {
            let Page { items, after } = page?;
            let count = items.len() as u64;
            target.store.restore(items).await?;
            state.after = Some(after);
            save(state, folder)?;
            copied += count;
            progress.step(count);
        }
        state.kind = Kind::ALL.into_iter().skip_while(|&it| it != kind).nth(1);
        state.after = None;
        save(state, folder)?;
    }
    Ok(copied)
}

fn save(state: &Unfinished, folder: &Path) -> anyhow::Result<()> {
    let file = Unfinished::path(folder);
    state.save(folder).with_context(|| format!("cannot write {} ([store] path)", file.display()))
}
