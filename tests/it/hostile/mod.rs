//! What the listener does with clients that mean harm: each case says what is sent and what has to come back, and after each the
//! next well-formed request on a new connection is served.

mod framing;
mod http_2;
mod json;
mod limits;
mod paths;
mod random;
mod values;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::BoxedNode;

/// The service ends every connection by then, whatever comes over it.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const PING: &[u8] = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A node that has little patience.
async fn impatient() -> BoxedNode {
    BoxedNode::start_with(|settings| {
        settings.api.header_timeout = Duration::from_secs(2);
        settings.api.body_timeout = Duration::from_secs(2);
        settings.api.idle_timeout = Duration::from_millis(200);
        settings.api.write_timeout = Duration::from_secs(2);
    })
    .await
}

/// Sends bytes and gives what comes back until the service ends the connection.
async fn sent(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The service may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(ENDS_WITHIN, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    answer
}

/// The statuses of all answers over HTTP/1.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let begins = text.match_indices("HTTP/1.").map(|(at, _)| &text[at..]);
    // The text of an answer may name a version, too.
    begins.filter_map(|answer| answer.split(' ').nth(1)?.parse().ok()).collect()
}

/// What is answered to these bytes. The next client is served all the same.
async fn answered(node: &BoxedNode, bytes: &[u8]) -> Vec<u16> {
    let answer = sent(node.address(), bytes).await;
    assert_served(node).await;
    statuses(&answer)
}

async fn assert_served(node: &BoxedNode) {
    let answer = sent(node.address(), PING).await;
    assert!(answer.ends_with(br#"{"status":"OK"}"#), "{}", String::from_utf8_lossy(&answer));
}
