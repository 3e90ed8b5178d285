//! Many connections that are opened, used once and kept: first more than one address may have, then more than there are places.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::stage::{Seen, Stage};
use crate::wire::{address_of, asked, connect, is_open};

const NETWORK: u8 = 40;
const NETWORK_BESIDE: u8 = 41;
const AT_ONCE: usize = 64;
/// A fifth of all come from one address.
const PART_OF_ONE: usize = 5;
/// Others come from addresses that have so many each.
const PER_ADDRESS: usize = 125;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Beyond the time that they may be idle, as the service is busy.
const SLACK: Duration = Duration::from_secs(10);
const PING: &[u8] = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub(super) async fn play(stage: &Stage) -> Seen {
    let (size, mut seen) = (stage.size, Seen::default());
    let of_one = size.idle / PART_OF_ONE;
    let (mut open, closed) = opened(stage, NETWORK, of_one, of_one).await;
    let kept = open.iter().filter(|stream| is_open(stream)).count();
    let allowed = of_one.min(size.per_address_max);
    seen.expect(kept <= allowed, || format!("one address has {kept} connections, allowed are {allowed}"));
    seen.expect(kept + closed == of_one && open.len() >= allowed, || {
        format!("one address was let in {} times, and turned away {closed} times of {of_one}", open.len())
    });
    let (more, refused) = opened(stage, NETWORK_BESIDE, size.idle - of_one, PER_ADDRESS).await;
    seen.expect(refused == 0, || format!("{refused} connections of addresses that have few were not served"));
    open.extend(more);
    let kept = open.iter().filter(|stream| is_open(stream)).count();
    seen.expect(kept <= size.connections_max, || format!("{kept} are open, allowed are {}", size.connections_max));
    let left = all_closed(&open, stage).await;
    seen.expect(left == 0, || format!("{left} are open though their time is over"));
    seen.what = format!(
        "{} opened, {closed} of one address turned away, {} gave way to others, {kept} open at most",
        size.idle,
        open.len() - kept
    );
    seen
}

/// Beside everything else, when it is not known who has how many: all that is asked is that they end.
pub(super) async fn play_beside(stage: &Stage) -> Seen {
    let (open, _) = opened(stage, NETWORK_BESIDE, stage.size.idle, PER_ADDRESS).await;
    let mut seen = Seen::default();
    let left = all_closed(&open, stage).await;
    seen.expect(left == 0, || format!("{left} idle connections are open though their time is over"));
    seen
}

/// Opens so many, each of which asks once. Those that were answered, and how many were closed instead.
async fn opened(stage: &Stage, network: u8, count: usize, per_address: usize) -> (Vec<TcpStream>, usize) {
    let open = |number: usize| async move {
        let mut stream = connect(stage.address, address_of(network, number / per_address)).await.ok()?;
        let came = asked(&mut stream, PING, ANSWER_WITHIN).await.ok()?;
        (came.statuses() == [200]).then_some(stream)
    };
    let mut opening = futures_util::stream::iter(0..count).map(open).buffer_unordered(AT_ONCE);
    let (mut streams, mut closed) = (Vec::with_capacity(count), 0);
    while let Some(stream) = opening.next().await {
        match stream {
            Some(stream) => streams.push(stream),
            None => closed += 1,
        }
    }
    (streams, closed)
}

/// Waits until all are closed, or have been idle for longer than they may; how many are open then.
async fn all_closed(streams: &[TcpStream], stage: &Stage) -> usize {
    let until = Instant::now() + stage.size.patience + SLACK;
    loop {
        let left = streams.iter().filter(|stream| is_open(stream)).count();
        if left == 0 || Instant::now() > until {
            return left;
        }
        sleep(Duration::from_millis(500)).await;
    }
}
