//! Where requests may go, from the put to the connection.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use schedule_service::clock::{Clock, SystemClock};
use schedule_service::dispatch::{Answer, HttpTransport, Lookup, OutgoingRequest, Settings, Transport, TransportError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{BoxedNode, Process, Target, client, post_ok, targets};

/// Answers with these addresses, one list after the other, the last one for ever.
struct Names {
    lists: Mutex<VecDeque<Vec<&'static str>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn new(lists: &[&[&'static str]]) -> Arc<Self> {
        let lists = lists.iter().map(|list| list.to_vec()).collect();
        Arc::new(Self { lists: Mutex::new(lists), asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, host: &str) -> std::io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut lists = self.lists.lock().unwrap();
        let list = if lists.len() > 1 { lists.pop_front().unwrap() } else { lists[0].clone() };
        Ok(list.into_iter().map(|address| SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0)).collect())
    }
}

fn transport(allow: &str, deny: &str, names: &Arc<Names>) -> HttpTransport {
    drop(client());
    let settings = Settings { targets: targets(allow, deny), ..Settings::default() };
    HttpTransport::with_lookup(&settings, names.clone()).unwrap()
}

fn get(url: &str) -> OutgoingRequest {
    OutgoingRequest { method: Method::GET, url: url.parse().unwrap(), headers: HeaderMap::new(), body: Vec::new() }
}

fn status(answer: Result<Answer, TransportError>) -> Result<u16, TransportError> {
    answer.map(|answer| answer.status)
}

fn refused(text: &str) -> Result<u16, TransportError> {
    Err(TransportError::Refused(format!("refused: {text}")))
}

/// A server that counts who connects, and closes after each answer.
async fn counting(address: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
        }
    });
    (address, count)
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_connected_to() {
    let (open, at_open) = counting("127.0.0.2:0").await;
    let (_, at_closed) = counting(&format!("127.0.0.3:{}", open.port())).await;
    let names = Names::new(&[&["127.0.0.2"], &["127.0.0.3"]]);
    let transport = transport("127.0.0.2", "", &names);
    let url = format!("http://rebinding.example:{}/", open.port());

    let first = status(transport.send(get(&url)).await);
    let asked_once = names.asked();
    let second = status(transport.send(get(&url)).await);

    assert_eq!((first, asked_once, at_open.load(Ordering::SeqCst)), (Ok(200), 1, 1));
    let text = "rebinding.example is 127.0.0.3, which is loopback ([targets] allow_targets opens it)";
    assert_eq!((second, names.asked()), (refused(text), 2));
    assert_eq!((at_open.load(Ordering::SeqCst), at_closed.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn of_several_addresses_those_are_used_that_may_be_reached() {
    let (open, at_open) = counting("127.0.0.2:0").await;
    let (_, at_closed) = counting(&format!("127.0.0.3:{}", open.port())).await;
    let names = Names::new(&[&["127.0.0.3", "::ffff:127.0.0.3", "127.0.0.2", "169.254.169.254"]]);
    let url = format!("http://several.example:{}/", open.port());

    let answered = status(transport("127.0.0.2", "", &names).send(get(&url)).await);
    let denied = status(transport("127.0.0.2", "*.example", &names).send(get(&url)).await);

    assert_eq!((answered, at_open.load(Ordering::SeqCst)), (Ok(200), 1));
    assert_eq!(denied, refused("several.example is denied by the rule `*.example` of [targets] deny_targets"));
    assert_eq!(
        (at_closed.load(Ordering::SeqCst), names.asked()),
        (0, 1),
        "nobody is asked for what is denied by its name"
    );
}

#[tokio::test]
async fn a_rule_for_ports_and_schemes_holds_where_a_name_is_resolved() {
    let (open, count) = counting("127.0.0.2:0").await;
    let (port, names) = (open.port(), Names::new(&[&["127.0.0.2"]]));
    let send = async |allow: &str, url: &str| status(transport(allow, "", &names).send(get(url)).await);
    let (url, secure) = (format!("http://h.example:{port}/"), format!("https://h.example:{port}/"));
    let loopback = refused("h.example is 127.0.0.2, which is loopback ([targets] allow_targets opens it)");

    assert_eq!(send(&format!("loopback:{port}"), &url).await, Ok(200));
    assert_eq!(send(&format!("http://H.example.:{port}"), &url).await, Ok(200));
    assert_eq!(send(&format!("h.example:{}", port ^ 1), &url).await, loopback);
    assert_eq!(send(&format!("https://loopback:{port}"), &url).await, loopback);
    // Also through the layer of TLS the reason comes back as what it is.
    assert_eq!(send(&format!("http://loopback:{port}"), &secure).await, loopback);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn many_requests_on_their_way_at_once_are_each_judged_by_their_own_destination() {
    let (open, count) = counting("127.0.0.2:0").await;
    let names = Names::new(&[&["127.0.0.2"]]);
    let transport = transport(&format!("127.0.0.2:{}", open.port()), "", &names);
    let send = async |number: u16| {
        let port = if number.is_multiple_of(2) { open.port() } else { open.port() ^ 1 };
        status(transport.send(get(&format!("http://h{}.example:{port}/", number % 7))).await)
    };

    let answers = futures_util::future::join_all((0..200).map(send)).await;

    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.is_ok(), number % 2 == 0, "{number}: {answer:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn a_connection_that_is_used_again_costs_no_further_look_up() {
    let (target, names) = (Target::start().await, Names::new(&[&["127.0.0.1"]]));
    let transport = transport("loopback", "", &names);
    let url = format!("http://pooled.example:{}/ok", target.address.port());

    for _ in 0..10 {
        let mut answer = transport.send(get(&url)).await.unwrap();
        while let Some(chunk) = answer.body.next().await {
            chunk.unwrap();
        }
    }

    assert_eq!((target.count(), names.asked()), (10, 1));
}

async fn put(node: &BoxedNode, identity: &str, entry: Value) -> Value {
    let body = json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&node.base, "/put", body.to_string()).await
}

fn soon() -> String {
    SystemClock.now().plus(Duration::from_millis(400)).to_string()
}

/// Waits for the record of a run that has ended.
async fn ended(base: &str, identity: &str) -> Value {
    let search = json!({ "identity": [identity], "type": ["success", "error"] }).to_string();
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let answer = post_ok(base, "/logs/search", search.clone()).await;
            if let Some(found) = answer["data"]["logs"].get(0) {
                return found["log"].clone();
            }
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("no run of {identity} ended"))
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_no_way_of_writing_leads_to_this_machine_and_each_refusal_is_told_and_recorded_once() {
    let (target, node) =
        (Target::start().await, BoxedNode::start_with(|settings| settings.dispatch.targets = targets("", "")).await);
    let (port, opens) = (target.address.port(), "([targets] allow_targets opens it)");
    let by_address = format!("127.0.0.1 is loopback {opens}");
    let mapped = format!("::ffff:127.0.0.1 carries 127.0.0.1, which is loopback {opens}");
    let local = |name: &str| format!("{name} is 127.0.0.1, which is loopback {opens}");
    let all = [
        (format!("http://127.0.0.1:{port}/"), by_address.clone()),
        (format!("http://2130706433:{port}/"), by_address.clone()),
        (format!("http://0177.0.0.1:{port}/"), by_address.clone()),
        (format!("http://example.com@127.0.0.1:{port}/"), by_address),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), mapped),
        (format!("http://0.0.0.0:{port}/"), format!("0.0.0.0 is unspecified {opens}")),
        (format!("http://LOCALHOST.:{port}/"), local("localhost")),
        (format!("http://a.localhost:{port}/"), local("a.localhost")),
    ];

    for (number, (url, why)) in all.iter().enumerate() {
        let entry =
            json!({ "at": soon(), "url": url, "retry": { "attempts_max": 3, "backoff": { "initial": "1ms" } } });
        let answer = put(&node, &format!("t{number}"), entry).await;
        assert_eq!(answer["warnings"], json!([format!("entries.e.url: is refused when it is sent: {why}")]), "{url}");
    }
    for (number, (url, why)) in all.iter().enumerate() {
        let record = ended(&node.base, &format!("t{number}")).await;
        assert_eq!(record["message"], json!([format!("refused: {why}")]), "{url}");
        assert_eq!(record["attempts"].as_array().unwrap().len(), 1, "{record}");
    }

    assert_eq!(target.count(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_and_preview_and_bulk_tell_what_would_be_refused() {
    let node = BoxedNode::start_with(|settings| settings.dispatch.targets = targets("", "bad.example")).await;
    let why = "is refused when it is sent: 10.0.0.1 is private ([targets] allow_targets opens it)";
    let task = json!({
        "identity": "t", "time_zone": "UTC", "start": true,
        "entries": { "e": { "every": "1d", "url": "http://10.0.0.1/", "on_failure": { "url": "https://bad.example/" } } },
    });
    let expected = json!([
        format!("entries.e.url: {why}"),
        "entries.e.on_failure.url: is refused when it is sent: bad.example is denied by the rule `bad.example` of [targets] deny_targets",
    ]);

    let validated = post_ok(&node.base, "/validate", task.to_string()).await;
    let previewed = post_ok(&node.base, "/preview", task.to_string()).await;
    let of_entry =
        post_ok(&node.base, "/preview", json!({ "every": "1d", "url": "http://10.0.0.1/" }).to_string()).await;
    let without_url = post_ok(&node.base, "/preview", json!({ "every": "1d" }).to_string()).await;
    let bulk =
        client().post(format!("{}/bulk", node.base)).body(json!({ "put": task }).to_string()).send().await.unwrap();
    let line: Value = serde_json::from_str(bulk.text().await.unwrap().lines().next().unwrap()).unwrap();
    let stored = post_ok(&node.base, "/preview", json!({ "identity": "t" }).to_string()).await;

    assert_eq!((&validated["data"]["valid"], &validated["data"]["warnings"]), (&true.into(), &expected));
    assert_eq!(previewed["data"]["warnings"], expected);
    assert_eq!(of_entry["data"]["warnings"], json!([format!("url: {why}")]));
    assert_eq!(without_url["data"].get("warnings"), None);
    assert_eq!(line["warnings"], expected, "{line}");
    assert_eq!(stored["data"]["warnings"], expected);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_goes_nowhere_where_its_run_might_not_go() {
    let (run, told) = (Target::start().await, Target::start().await);
    let deny = format!("loopback:{}", told.address.port());
    let node = BoxedNode::start_with(|settings| settings.dispatch.targets = targets("loopback", &deny)).await;

    put(&node, "t", json!({ "at": soon(), "url": run.url("/ok"), "on_success": { "url": told.url("/told") } })).await;
    let search = json!({ "identity": ["t"], "type": ["error"] }).to_string();
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let answer = post_ok(&node.base, "/logs/search", search.clone()).await;
            if let Some(found) = answer["data"]["logs"].get(0) {
                return found["log"].clone();
            }
            tokio::task::yield_now().await;
        }
    });
    let record = waited.await.unwrap();

    let why = format!("refused: 127.0.0.1 is denied by the rule `{deny}` of [targets] deny_targets");
    assert_eq!((&record["callback"], &record["message"]), (&"on_success".into(), &json!([why])));
    assert_eq!((run.count(), told.count()), (1, 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_of_the_environment_comes_between() {
    let (target, proxy, folder) = (Target::start().await, Target::start().await, tempfile::tempdir().unwrap());
    let through = proxy.url("");
    let names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"];
    let environment: Vec<(&str, &str)> = names.iter().map(|name| (*name, through.as_str())).collect();
    let process = Process::try_start_with(folder.path(), &environment).await.unwrap();

    let entry = json!({ "at": soon(), "url": target.url("/ok") });
    let body = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&process.base, "/put", body.to_string()).await;
    let record = ended(&process.base, "t").await;

    assert_eq!((&record["type"], target.count(), proxy.count()), (&"success".into(), 1, 0));
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_as_far_as_the_entry_says_and_the_record_tells_where_to() {
    let (node, one, other) = (BoxedNode::start().await, Target::start().await, Target::start().await);
    let entry = |url: String, max: u32| json!({ "at": soon(), "url": url, "redirects_max": max, "body": { "a": 1 }, "headers": { "Authorization": "Bearer s3cret" } });

    put(&node, "stands", entry(one.url("/to/302?/end"), 0)).await;
    put(&node, "follows", entry(one.url("/to/307?/to/302?/follows"), 2)).await;
    put(&node, "leaves", entry(one.url(&format!("/to/303?{}", other.url("/left"))), 1)).await;
    put(&node, "carries", entry(one.url(&format!("/to/308?{}", other.url("/carried"))), 1)).await;
    put(&node, "many", entry(one.url("/to/307?/to/307?/end"), 1)).await;

    let (stands, many) = (ended(&node.base, "stands").await, ended(&node.base, "many").await);
    assert_eq!((&stands["status"], stands.get("redirects")), (&302.into(), None));
    assert_eq!(many["message"], json!(["answered with more than 1 redirects"]));
    let follows = ended(&node.base, "follows").await;
    assert_eq!((&follows["type"], &follows["redirects"]), (&"success".into(), &2.into()));
    assert_eq!((&follows["last_url"], &follows["policy"]["redirects_max"]), (&one.url("/follows").into(), &2.into()));
    let arrived = &one.arrivals_at("/follows")[0];
    assert_eq!((&arrived.method, arrived.body.len(), arrived.header("content-type")), (&Method::GET, 0, ""));
    assert_eq!(arrived.header("authorization"), "Bearer s3cret");
    let leaves = ended(&node.base, "leaves").await;
    assert_eq!((&leaves["type"], &leaves["last_url"]), (&"success".into(), &other.url("/left").into()));
    let arrived = &other.arrivals_at("/left")[0];
    assert_eq!((arrived.header("authorization"), arrived.header("x-schedule-identity")), ("", "leaves"));
    assert_eq!(arrived.header("idempotency-key"), leaves["run_id"]);
    let carries = ended(&node.base, "carries").await;
    let why = format!("refused: redirect 1 would take the body of a POST to another origin, {}", other.url(""));
    assert_eq!((&carries["message"], other.arrivals_at("/carried").len()), (&json!([why]), 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_nowhere_where_an_entry_might_not_go() {
    let (one, closed) = (Target::start().await, Target::start().await);
    let deny = format!("127.0.0.1:{}", closed.address.port());
    let node = BoxedNode::start_with(|settings| settings.dispatch.targets = targets("loopback", &deny)).await;
    let port = closed.address.port();
    let retry = json!({ "attempts_max": 3, "backoff": { "initial": "1ms" } });
    let places = [
        ("denied", closed.url("/"), format!("127.0.0.1 is denied by the rule `{deny}` of [targets] deny_targets")),
        (
            "named",
            format!("http://localhost:{port}/"),
            format!("localhost is 127.0.0.1, which is denied by the rule `{deny}` of [targets] deny_targets"),
        ),
        (
            "metadata",
            "http://0xa9fea9fe/latest/meta-data".to_owned(),
            "169.254.169.254 is a metadata service ([targets] allow_targets opens it)".to_owned(),
        ),
    ];

    for (identity, place, _) in &places {
        let url = one.url(&format!("/to/302?{place}"));
        put(&node, identity, json!({ "at": soon(), "url": url, "redirects_max": 5, "retry": retry })).await;
    }

    for (identity, place, why) in &places {
        let record = ended(&node.base, identity).await;
        let message = record["message"][0].as_str().unwrap();
        let place: url::Url = place.parse().unwrap();
        let behind = format!("refused: {why} (after redirect 1, to {})", place.origin().ascii_serialization());
        assert_eq!((message, record["attempts"].as_array().unwrap().len()), (&*behind, 1));
    }
    assert_eq!((one.count(), closed.count()), (3, 0));
    node.stop().await;
}
