//! Fuzzed requests, many at once, each over a connection and from an address of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::fuzz::Case;
use crate::stage::{Seen, Stage};
use crate::wire::{Came, address_of, connect};

const NETWORK: u8 = 10;
const AT_ONCE: usize = 48;
/// Once nothing comes for so long, nothing more is waited for: what was sent is not whole.
const QUIET: Duration = Duration::from_millis(150);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// After this side has said that nothing more comes. A body that is too large is read on for some seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// What may be answered above 499: a method that nobody knows, and that there is too much to do.
const ALLOWED: [u16; 2] = [501, 503];
/// After so many that are broken it is enough.
const BROKEN_MAX: usize = 5;

pub(super) async fn play(stage: &Stage) -> Seen {
    let numbers = match stage.only {
        Some(number) => number..number + 1,
        None => 0..stage.size.fuzzed,
    };
    let mut sent = futures_util::stream::iter(numbers).map(|number| send(stage, number)).buffer_unordered(AT_ONCE);
    let (mut answers, mut unanswered) = (BTreeMap::<u16, usize>::new(), 0);
    let mut seen = Seen::default();
    while let Some((statuses, broken)) = sent.next().await {
        unanswered += usize::from(statuses.is_empty());
        statuses.into_iter().for_each(|status| *answers.entry(status).or_default() += 1);
        seen.broken.extend(broken);
        if seen.broken.len() >= BROKEN_MAX {
            break;
        }
    }
    let count: usize = answers.values().sum();
    let above: Vec<String> = answers.range(500..).map(|(status, count)| format!("{count} × {status}")).collect();
    let above = if above.is_empty() { "none above 499".to_owned() } else { above.join(", ") };
    seen.what = format!("{count} answers ({above}), {unanswered} closed without one");
    seen
}

/// The statuses that came, and what must not be.
async fn send(stage: &Stage, number: usize) -> (Vec<u16>, Option<String>) {
    let case = Case::new(stage.seed, number, &stage.bases).with_key(&stage.key);
    let told = |what: String| format!("{what}: --seed {} --only {number}: {}", stage.seed, case.escaped());
    let mut stream = match connect(stage.address, address_of(NETWORK, number)).await {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(told(format!("cannot connect ({error})")))),
    };
    let mut came = Came::default();
    // The service may answer and close before it has read everything; or read no further, and then it has to close.
    let is_sent = timeout(ANSWER_WITHIN, stream.write_all(&case.bytes)).await;
    came.read_on(&mut stream, QUIET, Instant::now() + ANSWER_WITHIN).await;
    let _ = stream.shutdown().await;
    came.read_to_end(&mut stream, Instant::now() + ENDS_WITHIN).await;
    let statuses = came.statuses();
    if stage.only.is_some() {
        eprintln!("abuse: sent {}", case.escaped());
        eprintln!("abuse: came b\"{}\"", came.bytes.escape_ascii());
    }
    let wrong = statuses.iter().find(|status| **status >= 500 && !ALLOWED.contains(status));
    let broken = match (wrong, came.is_ended) {
        (Some(status), _) => {
            let text = String::from_utf8_lossy(&came.bytes[..came.bytes.len().min(600)]).into_owned();
            Some(told(format!("answered {status} ({text:?})")))
        }
        (None, false) => Some(told(format!("neither ended nor taken (sent: {})", is_sent.is_ok()))),
        (None, true) => None,
    };
    (statuses, broken)
}
