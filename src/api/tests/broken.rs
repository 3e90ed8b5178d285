//! A node that takes a request and says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::node::{KEY, Node, TTL, names, task};
use crate::clock::SystemClock;
use crate::cluster::played::Nothing;
use crate::cluster::{Keeper, KeeperSettings, Member, Tenure};
use crate::model::{Identity, Shard, Timestamp};
use crate::store::memory::MemoryStore;

/// Takes part, and breaks off whatever it is asked. Gives how often it was.
async fn breaking(store: &MemoryStore) -> (Keeper, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let asked = asked.clone();
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                asked.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let clock = Arc::new(SystemClock);
    let me = Member::new(Uuid::new_v4(), &url, Timestamp::EPOCH);
    let settings = KeeperSettings { ttl: TTL };
    let tenure = Tenure::shared(clock.clone());
    (Keeper::start(me, Arc::new(store.beside()), Arc::new(Nothing), tenure, clock, settings), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_broke_off_is_told_and_never_done_twice_and_what_is_read_is_asked_for_again() {
    let store = MemoryStore::new();
    let node = Node::start(&store, Some(KEY)).await;
    let (keeper, asked) = breaking(&store).await;
    let view = keeper.view().wait_for(|view| view.has_settled && view.acting.len() == 32).await.unwrap().clone();
    node.keeper.view().wait_for(|seen| seen.membership.owned_by(view.me).count() == 32).await.unwrap();
    let name = names().into_iter().find(|name| {
        let owner = view.membership.owner(Shard::of(&Identity::parse(name).unwrap()));
        owner.is_some_and(|owner| view.is_me(owner))
    });
    let name = name.unwrap();

    let (status, answer) = node.post("/put", task(&name)).await;
    assert_eq!((status, &answer["msg"]), (200, &json!("the change broke off, read the task back")));
    let (status, answer) = node.ask("POST", &format!("/scheduled-jobs/{name}:a/runs"), &[], String::new()).await;
    assert!(status == 500 && answer.contains("broke off"), "{status} {answer}");
    let lines = format!("{}\n", json!({ "put": task(&name) }));
    let (_, answer) = node.ask("POST", "/bulk", &[], lines).await;
    assert!(answer.contains(r#""error":1,"msg":"the change broke off, read the task back""#), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    let (status, answer) = node.post("/get", json!({ "identity": name })).await;
    assert_eq!((status, &answer["error"]), (503, &json!(1)), "{answer}");
    assert!(asked.load(Ordering::SeqCst) > 6);
    assert_eq!(node.post("/all", json!({})).await.0, 503);
}
