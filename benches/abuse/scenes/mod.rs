//! What is done to the service.

mod bodies;
mod fuzz;
mod heads;
mod idle;
mod keys;
mod slow;

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::stage::{Seen, Stage};

/// A scene that takes longer hangs.
const SCENE_MAX: Duration = Duration::from_secs(300);

/// One way to ill-treat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    Fuzz,
    Slow,
    Bodies,
    Idle,
    Heads,
    Keys,
    Together,
}

impl Scene {
    /// In the order in which they are played.
    pub(crate) const ALL: &[Self] =
        &[Self::Fuzz, Self::Slow, Self::Bodies, Self::Idle, Self::Heads, Self::Keys, Self::Together];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fuzz => "fuzz",
            Self::Slow => "slow",
            Self::Bodies => "bodies",
            Self::Idle => "idle",
            Self::Heads => "heads",
            Self::Keys => "keys",
            Self::Together => "together",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Fuzz => "requests that are well-formed before something is done to them, and bytes that are none",
            Self::Slow => "heads and bodies byte by byte, and answers that nobody takes",
            Self::Bodies => "bodies of 200 MB: as they are, in chunks, packed, as one line",
            Self::Idle => "connections that are opened, used once and kept",
            Self::Heads => "floods of headers, and of frames of HTTP/2",
            Self::Keys => "wrong keys from many addresses",
            Self::Together => "a fifth of each of these at once",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let known = || Self::ALL.iter().map(|scene| scene.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().find(|scene| scene.name() == text);
        found.copied().ok_or_else(|| anyhow!("no scene is called `{text}`, expected one of {}", known()))
    }

    pub(crate) fn listing() -> String {
        Self::ALL.iter().map(|scene| format!("  {:<10}{}\n", scene.name(), scene.about())).collect()
    }

    /// Plays it to its end, or until it takes too long.
    pub(crate) async fn play(self, stage: &Stage) -> Seen {
        let played = async {
            match self {
                Self::Fuzz => fuzz::play(stage).await,
                Self::Slow => slow::play(stage).await,
                Self::Bodies => bodies::play(stage).await,
                Self::Idle => idle::play(stage).await,
                Self::Heads => heads::play(stage).await,
                Self::Keys => keys::play(stage).await,
                Self::Together => together(stage).await,
            }
        };
        tokio::time::timeout(SCENE_MAX, played).await.unwrap_or_else(|_| {
            let mut seen = Seen::new("hangs");
            seen.broken.push(format!("it did not end within {} s", SCENE_MAX.as_secs()));
            seen
        })
    }
}

async fn together(stage: &Stage) -> Seen {
    // Other requests than before.
    let stage = &Stage { size: stage.size.beside(), seed: stage.seed.wrapping_add(1), ..stage.clone() };
    let (fuzz, slow, bodies, idle, heads, keys) = tokio::join!(
        fuzz::play(stage),
        slow::play(stage),
        bodies::play(stage),
        idle::play_beside(stage),
        heads::play(stage),
        keys::play(stage),
    );
    let all = [fuzz, slow, bodies, idle, heads, keys];
    let broken = all.into_iter().flat_map(|seen| seen.broken).collect();
    Seen { what: "a fifth of each at once".to_owned(), broken }
}
