//! Secrets, from where they are kept to the wire, and that nothing else shows them.

mod echo;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schedule_service::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use self::echo::Echo;
use crate::support::{BoxedNode, Cluster, Process, Target, client, post, post_ok};

const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// By their names. What has line breaks cannot stand in a header.
const VALUES: [(&str, &str); 5] = [
    ("plain", "hunter2-plain"),
    ("signs", "p@ss/w:o?r&d=1%+ \"\\<>"),
    ("wide", "pä€🔑ss wort"),
    ("lines", "two\nlines\tand\u{1} more"),
    ("template", "{{args}}${secret:plain}-x"),
];

fn is_for_headers(value: &str) -> bool {
    !value.contains(|letter: char| letter.is_ascii_control())
}

/// The forms in which a value goes out, and might be found.
fn forms(value: &str) -> Vec<String> {
    let json = serde_json::to_string(value).unwrap();
    let percent = utf8_percent_encode(value, IN_URL).to_string();
    let basic = STANDARD.encode(format!("u-{value}:{value}"));
    vec![value.to_owned(), percent, json[1..json.len() - 1].to_owned(), STANDARD.encode(value), basic]
}

fn assert_shows_nothing(bytes: &[u8], place: &str) {
    for (name, value) in VALUES {
        for form in forms(value) {
            let found = memchr::memmem::find(bytes, form.as_bytes());
            assert_eq!(found, None, "{place} shows {name} as {form}");
        }
    }
}

async fn ask(method: &str, url: String, body: Option<Value>) -> Value {
    let request = client().request(method.parse().unwrap(), url);
    let request = body.iter().fold(request, |request, body| request.body(body.to_string()));
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}

fn soon() -> String {
    SystemClock.now().plus(Duration::from_millis(700)).to_string()
}

fn put(identity: &str, entry: Value) -> String {
    json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } }).to_string()
}

/// Waits until `is_there` gives something.
async fn until<T, F: Future<Output = Option<T>>>(is_there: impl Fn() -> F) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(found) = is_there().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it comes within a minute")
}

/// Names a secret in each place, also of a callback.
fn naming(name: &str, value: &str, echo: &Echo) -> Value {
    let reference = format!("${{secret:{name}}}");
    let url = format!("http://u-{reference}:{reference}@{}/{name}/{reference}?q={reference}", echo.address);
    let headers = if is_for_headers(value) { json!({ "X-Secret": format!("<{reference}>") }) } else { json!({}) };
    let callback =
        json!({ "url": format!("http://{}/callback/{reference}", echo.address), "headers": headers, "every": "run" });
    json!({ "at": soon(), "url": url, "headers": headers, "body": { "k": reference }, "on_success": callback })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_value_arrives_as_itself_in_any_place_and_neither_store_nor_log_nor_answer_shows_it() {
    let (folder, echo) = (tempfile::tempdir().unwrap(), Echo::start().await);
    let log = folder.path().join("log");
    let mut command = Process::command(folder.path());
    for (name, value) in VALUES {
        command.env(format!("SCHEDULE_SECRET_{name}"), value);
    }
    command.env("SCHEDULE__LOG__LEVEL", "trace").stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read_to_string(&log).unwrap();
    let base = until(|| async {
        let lines = lines();
        let found = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<Value> = found.collect();
        found.iter().find(|line| line["message"] == "ready")?;
        found.iter().find_map(|line| Some(format!("http://{}", line["address"].as_str()?)))
    });
    let base = base.await;

    for (name, value) in VALUES {
        let answer = post_ok(&base, "/put", put(name, naming(name, value, &echo))).await;
        assert!(answer.get("warnings").is_none(), "{answer}");
    }
    echo.wait_for(2 * VALUES.len()).await;
    let mut texts = Vec::new();
    for (name, _) in VALUES {
        let body = json!({ "identity": name, "type": "success", "limit": 10, "skip": 0 }).to_string();
        let found = until(|| async {
            let answer = post_ok(&base, "/search", body.clone()).await;
            answer["data"]["hits"]["hits"].as_array().is_some_and(|hits| hits.len() >= 2).then_some(answer)
        });
        let found = found.await.to_string();
        assert!(found.contains("***"), "what came back is masked: {found}");
        texts.push(found);
        let history = ask("GET", format!("{base}/history/{name}"), None).await;
        texts.extend([
            history.to_string(),
            post_ok(&base, "/get", json!({ "identity": name }).to_string()).await.to_string(),
        ]);
    }

    for (name, value) in VALUES {
        let forms = forms(value);
        let line = format!("POST /{name}/{0}?q={0} HTTP/1.1\r\n", forms[1]);
        let arrived = echo.arrived(&line);
        assert!(arrived.contains(&format!("Basic {}\r\n", forms[4])), "{arrived}");
        assert!(arrived.ends_with(&format!("{{\"k\":\"{}\"}}", forms[2])), "{arrived}");
        let called_back = echo.arrived(&format!("POST /callback/{} HTTP/1.1\r\n", forms[1]));
        for arrived in [arrived, called_back].iter().filter(|_| is_for_headers(value)) {
            assert!(arrived.contains(&format!(": <{value}>\r\n")), "{arrived}");
        }
    }
    for (path, body) in [("/logs/search", json!({})), ("/lists", json!({ "identity": VALUES.map(|(name, _)| name) }))] {
        texts.push(post_ok(&base, path, body.to_string()).await.to_string());
    }
    texts.push(client().get(format!("{base}/export")).send().await.unwrap().text().await.unwrap());
    let listed = ask("GET", format!("{base}/secrets"), None).await;
    assert_eq!(listed["data"]["secrets"].as_array().unwrap().len(), VALUES.len());
    texts.push(listed.to_string());
    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id().unwrap())).unwrap();
        let core: Vec<&str> =
            limits.lines().find(|line| line.contains("core file")).unwrap().split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"], "no crash writes memory");
    }
    let pid = child.id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").args(["-s", "TERM", &pid]).status().await.unwrap().success());
    assert!(child.wait().await.unwrap().success());

    texts.iter().for_each(|text| assert_shows_nothing(text.as_bytes(), "an answer"));
    assert!(lines().contains("fired `plain`"), "all is logged");
    assert_shows_nothing(lines().as_bytes(), "the log");
    let mut stored = 0;
    for file in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = file.unwrap().path();
        if let Ok(bytes) = std::fs::read(&path) {
            stored += bytes.len();
            assert_shows_nothing(&bytes, &path.display().to_string());
        }
    }
    assert!(stored > 1024 * 1024, "the long answer is stored: {stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_anew_counts_for_the_next_attempts() {
    let (files, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    std::fs::write(files.path().join("token"), "old\n").unwrap();
    let folder = files.path().to_owned();
    let node = BoxedNode::start_with(|settings| settings.secrets.folder = Some(folder)).await;

    let headers = json!({ "X-Token": "${secret:token}" });
    post_ok(&node.base, "/put", put("t", json!({ "every": "1s", "url": target.url("/"), "headers": headers }))).await;
    target.wait_until(|arrivals| arrivals.iter().any(|arrival| arrival.header("x-token") == "old")).await;
    std::fs::write(files.path().join("next"), "new\n").unwrap();
    std::fs::rename(files.path().join("next"), files.path().join("token")).unwrap();

    target.wait_until(|arrivals| arrivals.iter().any(|arrival| arrival.header("x-token") == "new")).await;
    node.stop().await;
}

/// The program as a client, with what it is given on its standard input.
async fn secret(folder: &Path, base: &str, words: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Process::command(folder);
    command.arg("secret").args(words).args(["--server", base]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_store_is_set_listed_encrypted_anew_and_deleted() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    let keys = folder.path().join("keys");
    let made =
        Process::command(folder.path()).args(["secret", "keygen", "--output"]).arg(&keys).output().await.unwrap();
    assert!(made.status.success());
    let key_file = keys.clone();
    let node = BoxedNode::start_with(|settings| settings.secrets.key_file = Some(key_file)).await;
    let run = |words: Vec<&'static str>, input: &'static str| {
        let (base, folder) = (node.base.clone(), folder.path().to_owned());
        async move { secret(&folder, &base, &words, input).await }
    };
    let entry = || json!({ "at": soon(), "url": target.url("/"), "headers": { "X-Token": "${secret:token}" } });

    let warned = post_ok(&node.base, "/put", put("t", entry())).await;
    let unknown = "secret token is not known (looked in the environment, the store)";
    assert_eq!(warned["warnings"], json!([format!("entries.e.headers.X-Token: {unknown}: without it, runs fail")]));
    assert_eq!(run(vec!["set", "token"], "s3cret-of-store\n").await, (Some(0), "token is kept\n".to_owned()));
    let put_again = post_ok(&node.base, "/put", put("t", entry())).await;
    assert!(put_again.get("warnings").is_none(), "{put_again}");
    target.wait_until(|arrivals| arrivals.iter().any(|arrival| arrival.header("x-token") == "s3cret-of-store")).await;

    let (code, listed) = run(vec!["list"], "").await;
    assert!(code == Some(0) && listed.contains("token  store  2") && !listed.contains("s3cret"), "{listed}");
    let old = std::fs::read_to_string(&keys).unwrap();
    let new = Process::command(folder.path()).args(["secret", "keygen"]).output().await.unwrap().stdout;
    std::fs::write(&keys, [&new[..], old.as_bytes()].concat()).unwrap();
    assert_eq!(run(vec!["rotate"], "").await, (Some(0), "1 secrets are encrypted by the first key\n".to_owned()));

    std::fs::write(&keys, &new).unwrap();
    let store = node.stop().await;
    let key_file = keys.clone();
    let node = BoxedNode::start_in(store, |settings| settings.secrets.key_file = Some(key_file)).await;
    let listed = ask("GET", format!("{}/secrets", node.base), None).await;
    assert_eq!(listed["data"]["secrets"][0]["problem"], Value::Null, "{listed}");
    let (base, none) = (node.base.clone(), "");
    assert_eq!(secret(folder.path(), &base, &["delete", "token"], none).await.0, Some(0));
    let (code, said) = secret(folder.path(), &base, &["delete", "token"], none).await;
    assert!(code == Some(0) && said.contains("warning: the store held no secret token"), "{said}");
    assert_eq!(secret(folder.path(), &base, &["set", "token"], none).await.0, Some(2), "an empty value is none");
    let wrong = ask("PUT", format!("{base}/secrets/a%20b"), Some(json!({ "value": "x" }))).await;
    assert!(wrong["msg"].as_str().unwrap().starts_with("name: names no secret"), "{wrong}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_with_masks_can_be_put_again_and_changes_no_credential() {
    let node = BoxedNode::start().await;
    let callback = json!({ "url": "http://u:pw2@127.0.0.1:1/", "headers": { "X-Key": "k1", "X-A": "a" } });
    let headers = json!({ "Authorization": "Bearer t1", "Cookie": "${secret:c}", "X-A": "a" });
    let entry = json!({
        "cron_time": "0 0 0 1 1 *", "url": "http://u:pw@127.0.0.1:1/x", "headers": headers, "on_failure": callback,
    });
    post_ok(&node.base, "/put", put("t", entry)).await;
    let get = || async { post_ok(&node.base, "/get", r#"{"identity":"t"}"#).await["data"]["entries"]["e"].clone() };
    let before = get().await;

    let history = ask("GET", format!("{}/history/t", node.base), None).await;
    let mut masked = history["data"]["versions"][0]["task"].clone();
    let seen = &masked["entries"]["e"];
    assert_eq!(seen["headers"], json!({ "Authorization": "***", "Cookie": "${secret:c}", "X-A": "a" }));
    assert_eq!(
        (&seen["url"], &seen["on_failure"]["url"]),
        (&json!("http://u:***@127.0.0.1:1/x"), &json!("http://u:***@127.0.0.1:1/"))
    );
    masked["start"] = json!(false);
    let valid = post_ok(&node.base, "/validate", masked.to_string()).await;
    assert_eq!(valid["data"]["valid"], true, "{valid}");
    post_ok(&node.base, "/put", masked.to_string()).await;

    let after = get().await;
    assert_eq!(
        (&after["url"], &after["headers"], &after["on_failure"]),
        (&before["url"], &before["headers"], &before["on_failure"])
    );
    let exported = client().get(format!("{}/export", node.base)).send().await.unwrap().text().await.unwrap();
    assert!(exported.contains("Bearer t1") && exported.contains("u:pw2@"), "{exported}");

    // Of an entry that does not exist nothing can be kept.
    masked["identity"] = json!("other");
    let (_, refused) = post(&node.base, "/put", masked.to_string()).await;
    let line = json!({ "put": masked }).to_string();
    let bulk = client().post(format!("{}/bulk", node.base)).body(line).send().await.unwrap().text().await.unwrap();
    let invalid = post_ok(&node.base, "/validate", masked.to_string()).await;
    let mistake = "entries.e.headers.Authorization: is the mask of a credential, and none is stored that could be kept";
    assert!(refused["msg"].as_str().unwrap().contains(mistake), "{refused}");
    assert_eq!(refused["msg"].as_str().unwrap().lines().count(), 4, "{refused}");
    assert!(bulk.contains(mistake), "{bulk}");
    assert_eq!((&invalid["data"]["valid"], invalid["data"]["mistakes"].as_array().unwrap().len()), (&json!(false), 4));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_one_elasticsearch_share_the_secrets_of_the_store() {
    let (cluster, folders) = (Cluster::new(), [(); 3].map(|()| tempfile::tempdir().unwrap()));
    let keys = folders[2].path().join("keys");
    let words = ["secret", "keygen", "--output", keys.to_str().unwrap()];
    assert!(Process::command(folders[2].path()).args(words).output().await.unwrap().status.success());
    let mut nodes = Vec::new();
    for folder in &folders[..2] {
        let mut environment = cluster.environment().to_vec();
        environment.push(("SCHEDULE__CLUSTER__KEY", "the-key-of-this-test"));
        environment.push(("SCHEDULE__SECRETS__KEY_FILE", keys.to_str().unwrap()));
        let started = Process::try_start_with(folder.path(), &environment).await;
        nodes.push(started.unwrap_or_else(|log| panic!("the service did not start: {log}")));
    }
    let url = |node: usize, path: &str| format!("{}/secrets{path}", nodes[node].base);
    let known = |node: usize| ask("GET", url(node, ""), None);
    let names = |known: &Value| known["data"]["secrets"].as_array().map_or(usize::MAX, Vec::len);

    let set = ask("PUT", url(0, "/token"), Some(json!({ "value": "s3cret-of-nodes" }))).await;
    assert_eq!(set, json!({ "error": 0, "msg": "ok" }));
    let listed = until(|| async { Some(known(1).await).filter(|known| names(known) == 1) }).await;
    assert_eq!(listed["data"]["secrets"][0]["problem"], Value::Null, "{listed}");
    let stored = cluster.ask(http::Method::GET, &format!("{}-*/_search?size=1000", cluster.index), &Value::Null).await;
    assert!(stored["hits"]["hits"].is_array() && !stored.to_string().contains("s3cret-of-nodes"), "{stored}");
    let gone = ask("DELETE", url(1, "/token"), None).await;
    assert_eq!(gone, json!({ "error": 0, "msg": "ok" }));
    until(|| async { Some(known(0).await).filter(|known| names(known) == 0) }).await;

    for node in nodes {
        node.kill().await;
    }
    cluster.remove().await;
}
