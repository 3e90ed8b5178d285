//! Bare connections from many addresses of this machine, and what comes back over them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

/// What begins a connection of HTTP/2.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of what comes back so much is kept.
const KEPT_MAX: usize = 256 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// One of the addresses of the loopback network: each scene has a network of its own.
pub(crate) fn address_of(network: u8, number: usize) -> Ipv4Addr {
    let [.., high, low] = (number % 65_000 + 1).to_be_bytes();
    Ipv4Addr::new(127, network, high, low)
}

/// Connects from such an address.
pub(crate) async fn connect(to: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = timeout(CONNECT_WITHIN, socket.connect(to)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub(crate) bytes: Vec<u8>,
    /// How many bytes were taken in, also such as were not kept.
    pub(crate) count: usize,
    /// The service has ended the connection.
    pub(crate) is_ended: bool,
}

impl Came {
    /// The statuses of all answers.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        if self.bytes.starts_with(b"HTTP/1.") { statuses(&self.bytes).0 } else { statuses_of_frames(&self.bytes) }
    }

    fn has_answer(&self) -> bool {
        self.bytes.starts_with(b"HTTP/1.") && statuses(&self.bytes).1
    }

    fn take(&mut self, bytes: &[u8]) {
        self.count += bytes.len();
        let room = KEPT_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Reads until the connection ends, nothing more comes for so long, or an answer is whole.
    pub(crate) async fn read_on(&mut self, stream: &mut TcpStream, quiet: Duration, until: Instant) {
        let mut buffer = [0; 16 * 1024];
        while !self.is_ended && !self.has_answer() {
            let next = timeout_at((Instant::now() + quiet).min(until), stream.read(&mut buffer));
            match next.await {
                Ok(Ok(count @ 1..)) => self.take(&buffer[..count]),
                Ok(Ok(0) | Err(_)) => self.is_ended = true,
                Err(_) => return,
            }
        }
    }

    /// Reads until the connection ends, or the time is over.
    pub(crate) async fn read_to_end(&mut self, stream: &mut (impl AsyncRead + Unpin), until: Instant) {
        let mut buffer = [0; 16 * 1024];
        while !self.is_ended {
            match timeout_at(until, stream.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) => self.take(&buffer[..count]),
                Ok(Ok(0) | Err(_)) => self.is_ended = true,
                Err(_) => return,
            }
        }
    }
}

/// Sends a request and reads one answer.
pub(crate) async fn asked(stream: &mut TcpStream, request: &[u8], within: Duration) -> io::Result<Came> {
    let until = Instant::now() + within;
    timeout_at(until, stream.write_all(request)).await??;
    let mut came = Came::default();
    came.read_on(stream, within, until).await;
    Ok(came)
}

/// Whether nobody has ended it. What has come meanwhile is thrown away.
pub(crate) fn is_open(stream: &TcpStream) -> bool {
    let mut buffer = [0; 4_096];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// The statuses of answers one after the other, and whether the last one, which is not preliminary, is whole.
fn statuses(mut bytes: &[u8]) -> (Vec<u16>, bool) {
    let (mut statuses, mut is_whole) = (Vec::new(), false);
    while bytes.starts_with(b"HTTP/1.") {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return (statuses, false) };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        statuses.push(status);
        bytes = &bytes[end + 4..];
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
        let rest = match (status, header("content-length:"), header("transfer-encoding:")) {
            (100..200, ..) => {
                is_whole = false;
                continue;
            }
            (204 | 304, ..) => Some(bytes),
            (_, Some(length), _) => length.parse().ok().and_then(|length: usize| bytes.get(length..)),
            (_, None, Some(_)) => after_chunks(bytes),
            (_, None, None) => None,
        };
        is_whole = rest.is_some();
        bytes = rest.unwrap_or_default();
    }
    (statuses, is_whole)
}

fn after_chunks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        bytes = bytes.get(end + 2 + size + 2..)?;
        if size == 0 {
            return Some(bytes);
        }
    }
}

/// Those of heads that are written by the fixed table of HPACK, as the service writes 200, 204, 206, 304, 400, 404 and 500.
fn statuses_of_frames(mut bytes: &[u8]) -> Vec<u16> {
    const HEADERS: u8 = 1;
    const OF_TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let mut statuses = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if let (HEADERS, Some(index @ 0x88..=0x8e)) = (head[3], payload.first()) {
            statuses.push(OF_TABLE[usize::from(index - 0x88)]);
        }
        bytes = rest;
    }
    statuses
}

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
