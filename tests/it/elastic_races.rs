//! Two nodes, or two requests, at the same documents: the later step must not undo what was done in between.

use schedule_service::model::{Epoch, Record, RecordId, RecordKind, Revision, Shard, Task, TimeZone, Timestamp};
use schedule_service::store::elastic::{Address, Elastic, Settings};
use schedule_service::store::{CatalogStore, Change, JournalStore, LeaseStore, Retention};

use crate::elastic_store::{all, at, fire, identity, open, settings};
use crate::support::elasticsearch::shared;
use crate::support::{Deed, Proxy};

/// A store whose next bulk that holds `text` waits until something else was done.
async fn interrupted<T>(
    settings: &Settings,
    text: &'static str,
    work: impl AsyncFnOnce(Elastic) -> T,
    meanwhile: impl AsyncFnOnce(Elastic),
) -> T {
    let proxy = Proxy::start(&shared()).await;
    let behind = Settings { address: Address::Hosts(vec![proxy.url().parse().unwrap()]), ..settings.clone() };
    let (slow, quick) = (open(&behind).await.unwrap(), open(settings).await.unwrap());
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let mut gate = Some((reached, may_go));
    proxy.set(move |line, body| {
        if line.contains("/_bulk")
            && String::from_utf8_lossy(body).contains(text)
            && let Some((reached, may_go)) = gate.take()
        {
            reached.send(()).unwrap();
            tokio::task::block_in_place(|| may_go.recv()).unwrap();
        }
        Deed::Pass
    });
    let interrupting = async {
        is_reached.await.unwrap();
        meanwhile(quick).await;
        go.send(()).unwrap();
    };
    tokio::join!(work(slow), interrupting).0
}

fn change(replaces: Option<u64>, epoch: Epoch, at: Timestamp, kind: RecordKind) -> Change {
    let next = Revision::new(Task::new(identity(), TimeZone::UTC, Vec::new()), at);
    let source = format!(r#"{{"type":"{}","identity":"task","time":{}}}"#, kind.as_str(), at.secs());
    let source = source.into();
    let record =
        Record { id: RecordId::random(), identity: identity(), kind, settled: None, run: None, time: at, source };
    Change { identity: identity(), replaces, epoch, at, next: (kind == RecordKind::Put).then_some(next), record }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_put_again_while_its_old_states_are_forgotten_stays() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    let epoch = store.take_all("test").await.unwrap()[Shard::of(&identity()).index()].epoch;
    store.change(change(None, epoch, at(0), RecordKind::Put)).await.unwrap();
    store.change(change(Some(1), epoch, at(1), RecordKind::Delete)).await.unwrap();

    let forget = async |slow: Elastic| slow.forget_revisions(at(9)).await.unwrap();
    let put = async |quick: Elastic| {
        assert_eq!(quick.change(change(None, epoch, at(5), RecordKind::Put)).await.unwrap(), 2);
    };
    interrupted(&settings, r#"{"delete":"#, forget, put).await;

    let mut pages = store.revisions(at(100));
    let page = pages.recv().await.unwrap().unwrap();
    assert_eq!((page.len(), page[0].number, page[0].in_force_until), (1, 2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cleared_again_while_it_is_pruned_stays_cleared() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    store.append(vec![fire(1, "")]).await.unwrap();
    store.clear(&identity(), at(2)).await.unwrap();
    store.append(vec![fire(3, "")]).await.unwrap();
    let retention = Retention { before: Timestamp::EPOCH, bytes_max: u64::MAX, step_max: 100 };

    let prune = async |slow: Elastic| slow.prune(retention, at(9)).await.unwrap();
    let clear = async |quick: Elastic| quick.clear(&identity(), at(4)).await.unwrap();
    let pruned = interrupted(&settings, r#""cleared_seq":0"#, prune, clear).await;

    assert_eq!(pruned.records, 1);
    assert_eq!(store.search(all(10, 0)).await.unwrap().total, 0);
    assert_eq!(store.deleted_through(&[identity()]).await.unwrap(), [at(4)]);
}
