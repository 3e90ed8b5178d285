//! The beginning of an encrypted connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_name;
use crate::api::listener::connection::ClientName;

/// With what each handshake begins.
const HANDSHAKE_RECORD: u8 = 0x16;
/// What who speaks plain HTTP here is told.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 55\r\n\
    Connection: close\r\n\r\nthis port speaks TLS: ask with https:// in the address\n";
/// How much of a plain request is read, in bytes, and for how long, so that the client gets its answer.
const DISCARDED_MAX: usize = 64 * 1024;
const DISCARDING_MAX: Duration = Duration::from_millis(500);

/// Agrees on keys with the client. Gives the name in its certificate, if it showed one.
pub(in crate::api::listener) async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<(TlsStream<TcpStream>, Option<ClientName>)> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first[0] == HANDSHAKE_RECORD => {}
        // A method of HTTP.
        _ if first[0].is_ascii_uppercase() => return Err(told_plainly(stream).await),
        _ => return Err(io::Error::other("it speaks neither TLS nor HTTP")),
    }
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let (_, session) = stream.get_ref();
    let client = match session.peer_certificates() {
        None | Some([]) => None,
        Some([own, ..]) => {
            let nameless = || io::Error::other("its certificate holds no name that can be used");
            Some(client_name::of(own).ok_or_else(nameless)?)
        }
    };
    Ok((stream, client))
}

async fn told_plainly(mut stream: TcpStream) -> io::Error {
    let tell = async {
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        let (mut discarded, mut buffer) = (0, [0; 4096]);
        while discarded < DISCARDED_MAX {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => discarded += read,
            }
        }
        Ok(())
    };
    match timeout(DISCARDING_MAX, tell).await {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => io::Error::other("it speaks HTTP without TLS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
