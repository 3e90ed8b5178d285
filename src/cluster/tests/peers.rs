//! A node asks another one over real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::SystemClock;
use crate::cluster::played::Nothing;
use crate::cluster::{
    AskError, ClusterKey, Keeper, KeeperSettings, Member, Overdue, Owner, PeerRequest, Peers, Tenure, peer_client,
};
use crate::model::{Shard, ShardSet, Timestamp};
use crate::store::memory::MemoryStore;

const TTL: Duration = Duration::from_millis(600);
const KEY: &str = "0123456789abcdef";

struct Node {
    keeper: Keeper,
    peers: Peers,
    tenure: Tenure,
    store: MemoryStore,
}

/// Joins under this address.
fn join(store: &MemoryStore, url: &str, key: Option<&str>) -> Node {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (clock, store) = (Arc::new(SystemClock), store.beside());
    let tenure = Tenure::shared(clock.clone());
    let me = Member::new(Uuid::new_v4(), url, Timestamp::EPOCH);
    let settings = KeeperSettings { ttl: TTL };
    let keeper = Keeper::start(me, Arc::new(store.clone()), Arc::new(Nothing), tenure.clone(), clock, settings);
    let client = peer_client().build().unwrap();
    let peers = Peers::new(keeper.clone(), tenure.clone(), client, key.map(ClusterKey::new), TTL);
    Node { keeper, peers, tenure, store }
}

/// A node, and another one that is played at an address.
async fn beside(url: &str) -> (Node, Node, Member) {
    let store = MemoryStore::new();
    let (node, other) = (join(&store, "http://127.0.0.1:1", Some(KEY)), join(&store, url, None));
    let seen = node.keeper.view().wait_for(|view| view.others().next().is_some()).await.unwrap().clone();
    let member = seen.others().next().unwrap().clone();
    (node, other, member)
}

fn request(path: &str) -> PeerRequest {
    PeerRequest { method: Method::POST, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::from("body") }
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"body") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0, "it ends too early");
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_request_shows_the_key_and_comes_back_with_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (node, _other, member) = beside(&url).await;

    let asked = node.peers.ask(&member, request("/put?a=b%20c"));
    let answers = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok").await.unwrap();
        head
    };
    let (answer, head) = tokio::join!(asked, answers);

    let mut answer = answer.ok().unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers["x-a"].as_bytes()), (201, &b"b"[..]));
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "ok");
    assert!(head.starts_with("POST /put?a=b%20c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("schedule-cluster-key: {KEY}\r\n")), "{head}");
}

#[tokio::test]
async fn what_was_not_sent_is_told_from_what_broke_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (node, _other, member) = beside(&url).await;

    let breaks_off = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head_of(&mut stream).await;
    };
    let (broke_off, ()) = tokio::join!(node.peers.ask(&member, request("/put")), breaks_off);
    drop(listener);
    let not_sent = node.peers.ask(&member, request("/put")).await;

    assert!(matches!(broke_off.err().unwrap(), AskError::BrokeOff(_)));
    assert!(matches!(not_sent.err().unwrap(), AskError::NotSent(_)));
}

#[tokio::test]
async fn a_node_that_has_gone_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (node, other, member) = beside(&url).await;

    let asked = node.peers.ask(&member, request("/put"));
    let goes = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head_of(&mut stream).await;
        // It gives no sign of life, and its connections stay open.
        other.store.cut_off(true);
        stream
    };
    let (answer, _stream) = tokio::join!(asked, goes);

    assert!(matches!(answer.err().unwrap(), AskError::BrokeOff(why) if why == "it has gone"));
}

#[tokio::test]
async fn without_the_same_key_nodes_cannot_ask_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (node, other, member) = beside(&url).await;

    let refuses = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    };
    let (refused, ()) = tokio::join!(node.peers.ask(&member, request("/put")), refuses);
    let without = other.peers.ask(&member, request("/put")).await;

    assert_eq!(refused.err(), Some(AskError::KeyRefused(url.into())));
    assert_eq!(without.err(), Some(AskError::NoKey));
    assert!(node.peers.trusts(KEY.as_bytes()) && !node.peers.trusts(b"0123456789abcdeF"));
    assert!(!other.peers.trusts(KEY.as_bytes()) && !other.peers.trusts(b""));
}

#[tokio::test]
async fn a_path_that_would_become_another_one_is_not_sent() {
    let (node, _other, member) = beside("http://127.0.0.1:9").await;

    for path in ["/history/%2e/restore", "/history/%2E%2e/restore", "/a/../b"] {
        let answer = node.peers.ask(&member, request(path)).await;
        assert!(matches!(answer.err(), Some(AskError::Path(_))), "{path}");
    }
    let answer = node.peers.ask(&member, request("/scheduled-jobs/%2e%3Aa?query=\"a b\"")).await;
    assert!(matches!(answer.err(), Some(AskError::NotSent(_))));
}

#[tokio::test]
async fn each_shard_has_one_owner_and_everybody_knows_it() {
    let (node, other, member) = beside("http://127.0.0.1:9").await;
    node.keeper
        .view()
        .wait_for(|view| view.has_settled && view.membership.owned_by(member.id).count() == 32)
        .await
        .unwrap();
    other.keeper.view().wait_for(|view| view.has_settled && view.acting.len() == 32).await.unwrap();

    let here: ShardSet = Shard::all().filter(|shard| node.peers.owner(*shard) == Owner::Here).collect();
    assert_eq!((here.len(), here), (32, node.peers.held(ShardSet::ALL)));
    let there: ShardSet = Shard::all().filter(|shard| !here.contains(*shard)).collect();
    assert_eq!(there, other.peers.held(ShardSet::ALL));
    let owners: Vec<ShardSet> = node.peers.owners(ShardSet::ALL).into_iter().map(|(_, shards)| shards).collect();
    assert_eq!(owners, [there]);
    assert!(there.iter().all(|shard| matches!(node.peers.owner(shard), Owner::At(it) if it.id == member.id)));
    node.tenure.end();
    // It owns them, and may not act for them now.
    assert!(here.iter().all(|shard| node.peers.owner(shard) == Owner::Nobody));
}

#[tokio::test]
async fn a_search_tries_again_while_there_is_time_and_then_ends() {
    let (node, _other, _) = beside("http://127.0.0.1:9").await;
    let (begun, mut search, mut tries) = (Instant::now(), node.peers.search(), 0);

    while search.again().await.is_ok() {
        tries += 1;
    }

    let took = begun.elapsed();
    assert!(took >= 2 * TTL + Duration::from_secs(2) && tries > 10, "{took:?}, {tries} tries");
    assert_eq!(Peers::alone(Tenure::alone(Arc::new(SystemClock))).search().again().await, Err(Overdue));
}
