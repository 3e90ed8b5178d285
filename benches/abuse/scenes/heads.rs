//! Floods of headers and of frames: what is counted and gathered before a request is whole.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::stage::{Seen, Stage};
use crate::wire::{Came, PREFACE, address_of, connect, frame};

const NETWORK: u8 = 50;
/// A flood goes on for so long, or until the service ends it.
const FLOOD_MAX: Duration = Duration::from_secs(10);
/// And so much is sent at most.
const FLOOD_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Then it is only read, and the service has to end what it does not answer.
const SLACK: Duration = Duration::from_secs(10);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// GET, http, the path `/ping`, an authority: by HPACK.
const HEAD: &[u8] = b"\x82\x86\x04\x05/ping\x01\x09localhost";
/// The same with POST, so that a body may follow.
const HEAD_OF_POST: &[u8] = b"\x83\x86\x04\x04/get\x01\x09localhost";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    ManyHeaders,
    LongHeader,
    EndlessHead,
    Continuation,
    /// A header that is told once, and then named again and again by its number.
    Repeated,
    RapidReset,
    Settings,
    Pings,
    EmptyData,
}

const FLOODS: [Flood; 9] = [
    Flood::ManyHeaders,
    Flood::LongHeader,
    Flood::EndlessHead,
    Flood::Continuation,
    Flood::Repeated,
    Flood::RapidReset,
    Flood::Settings,
    Flood::Pings,
    Flood::EmptyData,
];

/// What comes as the piece of this number.
type Next = Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

impl Flood {
    /// What begins it, and what then comes again and again; the number grows.
    fn parts(self) -> (Vec<u8>, Next) {
        let http_1 = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n".to_vec();
        let http_2 = |more: &[u8]| [PREFACE, &frame(SETTINGS, 0, 0, &[]), more].concat();
        match self {
            Self::ManyHeaders => (http_1, Box::new(|number| format!("X-{number}: y\r\n").into_bytes())),
            Self::LongHeader => ([&http_1[..], b"X-Long: "].concat(), Box::new(|_| vec![b'x'; 1_024])),
            Self::EndlessHead => (http_1, Box::new(|_| b"Cookie: a=b\r\n".repeat(100))),
            Self::Continuation => {
                let more = frame(CONTINUATION, 0, 1, &[&b"\x40\x01x\x64"[..], &[b'x'; 100]].concat());
                (http_2(&frame(HEADERS, 0, 1, HEAD)), Box::new(move |_| more.clone()))
            }
            Self::Repeated => {
                // A literal that is indexed: a name of one letter, a value of 3,000 (127 + 57 + 22 × 128).
                let literal = [&b"\x40\x01x\x7f\xb9\x16"[..], &[b'x'; 3_000]].concat();
                let first = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[HEAD, &literal].concat());
                let many = [HEAD, &[0xbe; 10_000]].concat();
                (
                    http_2(&first),
                    Box::new(move |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 3, &many)),
                )
            }
            Self::RapidReset => {
                let one = |number: u32| {
                    let stream = 2 * number + 1;
                    let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, HEAD);
                    [asked, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
                };
                (http_2(&[]), Box::new(one))
            }
            Self::Settings => (http_2(&[]), Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(20))),
            Self::Pings => (http_2(&[]), Box::new(|_| frame(PING, 0, 0, b"abuseful").repeat(20))),
            Self::EmptyData => {
                let begun = frame(HEADERS, END_HEADERS, 1, HEAD_OF_POST);
                (http_2(&begun), Box::new(|_| frame(DATA, 0, 1, &[]).repeat(20)))
            }
        }
    }
}

pub(super) async fn play(stage: &Stage) -> Seen {
    let mut clients = JoinSet::new();
    for number in 0..stage.size.floods * FLOODS.len() {
        let stage = stage.clone();
        clients.spawn(async move {
            let flood = FLOODS[number % FLOODS.len()];
            (flood, send(&stage, number, flood).await)
        });
    }
    let (mut seen, mut ended, mut sent) = (Seen::default(), 0, 0);
    while let Some(Ok((flood, flooded))) = clients.join_next().await {
        match flooded {
            Ok((came, bytes)) => {
                ended += usize::from(bytes < FLOOD_MAX_BYTES);
                sent += bytes;
                let wrong: Vec<u16> = came.statuses().into_iter().filter(|status| *status >= 500).collect();
                seen.expect(wrong.is_empty(), || format!("{flood:?}: answered {wrong:?}"));
                seen.expect(came.is_ended, || format!("{flood:?}: the connection was not ended"));
            }
            Err(why) => seen.broken.push(format!("{flood:?}: {why}")),
        }
    }
    let all = stage.size.floods * FLOODS.len();
    seen.what = format!("{all} floods, {ended} ended by the service, {} MB were sent", sent / 1_000_000);
    seen
}

/// What came back, and how many bytes were sent.
async fn send(stage: &Stage, number: usize, flood: Flood) -> Result<(Came, usize), String> {
    let mut stream = connect(stage.address, address_of(NETWORK, number)).await.map_err(|error| error.to_string())?;
    let (first, next) = flood.parts();
    let (mut came, mut sent) = (Came::default(), first.len());
    let (mut reading, mut writing) = stream.split();
    let flooding = async {
        // Fails where the service has ended the connection.
        let mut is_going_on = writing.write_all(&first).await.is_ok();
        let mut number = 0;
        while is_going_on && sent < FLOOD_MAX_BYTES {
            let mut piece = Vec::new();
            while piece.len() < 16 * 1024 {
                piece.extend(next(number));
                number += 1;
            }
            is_going_on = writing.write_all(&piece).await.is_ok();
            sent += piece.len();
        }
        // Who floods no longer says that it is done.
        let _ = writing.shutdown().await;
    };
    let taking = came.read_to_end(&mut reading, Instant::now() + FLOOD_MAX);
    let _ = timeout(FLOOD_MAX, async { tokio::join!(flooding, taking) }).await;
    let _ = stream.shutdown().await;
    came.read_to_end(&mut stream, Instant::now() + stage.size.patience + SLACK).await;
    Ok((came, sent))
}
