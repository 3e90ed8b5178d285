//! Bodies of 200 MB, several of each kind at once.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::stage::{Seen, Stage};
use crate::wire::{Came, address_of, connect};

const NETWORK: u8 = 30;
const SIZE: usize = 200_000_000;
const PIECE: usize = 64 * 1024;
/// What is announced as too large is read on so far, that its answer arrives.
const READ_MAX: usize = 17 * 1024 * 1024;
/// What the buffers of a connection hold at most where the system does not tell.
const BUFFERS_MAX: usize = 38 * 1024 * 1024;
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// How it is sent, and what may be answered: 413, and 408 where so much is to do that the body takes too long.
struct Kind {
    name: &'static str,
    path: &'static str,
    headers: &'static str,
    form: Form,
    has_key: bool,
    answers: &'static [u16],
    /// It is read to its end, and only its pieces are refused.
    is_taken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Length,
    Chunks,
    Packed,
}

const fn put(name: &'static str, form: Form, headers: &'static str) -> Kind {
    Kind { name, path: "/put", headers, form, has_key: true, answers: &[413, 408], is_taken: false }
}

const KINDS: [Kind; 6] = [
    put("with its length", Form::Length, ""),
    put("in chunks", Form::Chunks, ""),
    put("packed", Form::Packed, "Content-Encoding: gzip\r\n"),
    Kind { has_key: false, answers: &[401], ..put("without a key", Form::Length, "") },
    Kind { path: "/bulk", answers: &[200, 413, 408], is_taken: true, ..put("one line of /bulk", Form::Chunks, "") },
    Kind {
        path: "/bulk",
        answers: &[200, 413, 408],
        ..put("one packed line of /bulk", Form::Packed, "Content-Encoding: gzip\r\n")
    },
];

pub(super) async fn play(stage: &Stage) -> Seen {
    let packed: Arc<[u8]> = match packed() {
        Ok(packed) => packed.into(),
        Err(error) => return Seen { what: String::new(), broken: vec![format!("cannot pack ({error})")] },
    };
    let mut clients = JoinSet::new();
    for number in 0..stage.size.bodies * KINDS.len() {
        let (stage, packed) = (stage.clone(), packed.clone());
        clients.spawn(async move { (number % KINDS.len(), send(&stage, number, &packed).await) });
    }
    let taken_max = READ_MAX + buffers_max().unwrap_or(BUFFERS_MAX);
    let (mut seen, mut refused, mut taken) = (Seen::default(), [0; KINDS.len()], 0);
    while let Some(Ok((kind, sent))) = clients.join_next().await {
        let Kind { name, answers, is_taken, form, .. } = &KINDS[kind];
        match sent {
            Ok((statuses, sent)) => {
                refused[kind] += usize::from(!statuses.is_empty());
                let is_bounded = *is_taken || *form == Form::Packed || sent <= taken_max;
                seen.expect(is_bounded, || format!("{name}: {sent} bytes were taken"));
                let is_expected = statuses.iter().all(|status| answers.contains(status));
                seen.expect(is_expected, || format!("{name}: answered {statuses:?}, expected {answers:?}"));
                taken = taken.max(if *is_taken { 0 } else { sent });
            }
            Err(why) => seen.broken.push(format!("{name}: {why}")),
        }
    }
    for (kind, answered) in KINDS.iter().zip(refused) {
        // The system may throw an answer away with a connection to which bytes still come.
        seen.expect(answered > 0, || format!("{}: not one of them was answered", kind.name));
    }
    let (all, answered) = (stage.size.bodies * KINDS.len(), refused.iter().sum::<usize>());
    seen.what = format!("{all} bodies, {answered} answered, at most {} MB of one read", taken / 1_000_000);
    seen
}

/// What was answered, and how many bytes could be sent.
async fn send(stage: &Stage, number: usize, packed: &[u8]) -> Result<(Vec<u16>, usize), String> {
    let kind = &KINDS[number % KINDS.len()];
    let mut stream = connect(stage.address, address_of(NETWORK, number)).await.map_err(|error| error.to_string())?;
    let length = match kind.form {
        Form::Length => format!("Content-Length: {SIZE}\r\n"),
        Form::Chunks => "Transfer-Encoding: chunked\r\n".to_owned(),
        Form::Packed => format!("Content-Length: {}\r\n", packed.len()),
    };
    let key = if kind.has_key { format!("X-Api-Key: {}\r\n", stage.key) } else { String::new() };
    let head = format!("POST {} HTTP/1.1\r\nHost: localhost\r\n{key}{}{length}\r\n", kind.path, kind.headers);
    stream.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    let (mut came, mut sent) = (Came::default(), 0);
    let until = Instant::now() + ENDS_WITHIN;
    let piece = match kind.form {
        Form::Length => vec![b'x'; PIECE],
        Form::Chunks => [format!("{PIECE:x}\r\n").as_bytes(), &vec![b'x'; PIECE], b"\r\n"].concat(),
        Form::Packed => packed.to_vec(),
    };
    let pieces = if kind.form == Form::Packed { 1 } else { SIZE / PIECE };
    let mut buffer = [0; 16 * 1024];
    for _ in 0..pieces {
        match timeout(ENDS_WITHIN, stream.write_all(&piece)).await {
            Ok(Ok(())) => sent += piece.len(),
            // It was refused: what comes back says how.
            Ok(Err(_)) => break,
            Err(_) => return Err("neither taken nor refused".to_owned()),
        }
        // What comes meanwhile is not left lying: it would be lost with the connection.
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => came.bytes.extend_from_slice(&buffer[..count]),
            Err(_) => {}
        }
    }
    if kind.form == Form::Chunks {
        // Where it was refused this fails.
        let _ = stream.write_all(b"0\r\n\r\n").await;
    }
    // A client that says too early that nothing more comes is taken for gone.
    came.read_on(&mut stream, ENDS_WITHIN, until).await;
    let _ = stream.shutdown().await;
    came.read_to_end(&mut stream, until).await;
    match came.is_ended {
        true => Ok((came.statuses(), sent)),
        false => Err("the connection does not end".to_owned()),
    }
}

/// What the system holds of a connection for sender and receiver together: taken as far as the sender can tell.
fn buffers_max() -> Option<usize> {
    let largest = |name: &str| {
        let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
        sizes.split_whitespace().next_back()?.parse::<usize>().ok()
    };
    Some(largest("tcp_rmem")? + largest("tcp_wmem")?)
}

/// 200 MB that are small.
fn packed() -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let piece = vec![b'x'; PIECE];
    for _ in 0..SIZE / PIECE {
        encoder.write_all(&piece)?;
    }
    encoder.finish()
}
