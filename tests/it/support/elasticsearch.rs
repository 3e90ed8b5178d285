use std::path::Path;
use std::time::Duration;

use schedule_service::store::elastic::{Address, Credentials, Durability, Refresh, Settings};
use serde_json::{Value, json};
use tokio::process::Command;

use super::client;

/// Where the server is that the tests share; `scripts/check` starts one and says so.
pub(crate) fn shared() -> String {
    std::env::var("SCHEDULE_TEST_ELASTICSEARCH").unwrap_or_else(|_| {
        panic!("SCHEDULE_TEST_ELASTICSEARCH is not set: run scripts/check, or `scripts/elasticsearch start` and set it to its hosts")
    })
}

/// A store on the server that the tests share, under a name that no other test uses.
pub(crate) fn settings() -> Settings {
    let _ = client();
    Settings {
        address: Address::Hosts(vec![shared().parse().unwrap()]),
        credentials: Credentials::None,
        ca_file: None,
        timeout: Duration::from_secs(30),
        compression: false,
        index: unique_index(),
        shards: 1,
        replicas: 0,
        refresh: Refresh::Immediately,
        durability: Durability::Request,
        wait_for_active_shards: "1".to_owned(),
    }
}

/// A name that no other test uses.
pub(crate) fn unique_index() -> String {
    format!("t-{}", uuid::Uuid::new_v4())
}

/// What tests ask Elasticsearch through.
#[derive(Clone)]
pub(crate) struct Server {
    url: String,
    client: reqwest::Client,
    user: Option<(String, String)>,
}

impl Server {
    /// The server that the tests share.
    pub(crate) fn shared() -> Self {
        Self::at(&shared())
    }

    /// A server that asks for no user.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), client: client(), user: None }
    }

    /// Asks; the answer must be a success.
    pub(crate) async fn ask(&self, method: http::Method, path: &str, body: Value) -> Value {
        let request =
            self.client.request(method, format!("{}{path}", self.url)).header("content-type", "application/json");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let request = match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// How many log documents of an index match.
    pub(crate) async fn count(&self, index: &str, query: Value) -> u64 {
        self.ask(http::Method::POST, &format!("/{index}-logs-*/_refresh"), Value::Null).await;
        let found = self.ask(http::Method::POST, &format!("/{index}-logs-*/_count"), json!({ "query": query })).await;
        found["count"].as_u64().unwrap()
    }
}

/// An Elasticsearch of its own, which a test may ill-treat.
pub(crate) struct Instance {
    name: &'static str,
    /// What `start` printed.
    said: String,
}

impl Instance {
    /// Starts it, or brings back what is down of it.
    pub(crate) async fn start(name: &'static str, options: &[&str]) -> Self {
        let said = script(&[&["start", "--name", name], options].concat()).await;
        Self { name, said }
    }

    /// Brings back what is down of it.
    pub(crate) async fn heal(&self) {
        script(&["start", "--name", self.name]).await;
    }

    /// `kill`, `halt`, `pause` or `resume` of a node, counted from 1.
    pub(crate) async fn node(&self, deed: &str, number: u32) {
        script(&[deed, &number.to_string(), "--name", self.name]).await;
    }

    pub(crate) async fn replace_certificate(&self) {
        script(&["certificate", "--name", self.name]).await;
    }

    /// What a test asks one of its nodes through.
    pub(crate) fn server(&self) -> Server {
        let server = Server::at(self.told("hosts").split(',').next().unwrap());
        if !self.said.contains("username=") {
            return server;
        }
        let authority = reqwest::Certificate::from_pem(&std::fs::read(self.told("ca_file")).unwrap()).unwrap();
        // The public authorities are left out: a machine without any can run the tests, too.
        let client = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
        Server { client, user: Some((self.told("username"), self.told("password"))), ..server }
    }

    /// What a service needs to reach it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![("SCHEDULE__ELASTICSEARCH__HOSTS", self.told("hosts"))];
        if self.said.contains("username=") {
            environment.push(("SCHEDULE__ELASTICSEARCH__USERNAME", self.told("username")));
            environment.push(("SCHEDULE__ELASTICSEARCH__PASSWORD", self.told("password")));
            environment.push(("SCHEDULE__ELASTICSEARCH__CA_FILE", self.told("ca_file")));
        }
        environment
    }

    /// A line of what `start` printed, by its name.
    fn told(&self, name: &str) -> String {
        let found = self.said.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.said)).to_owned()
    }
}

async fn script(arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/elasticsearch");
    let running = Command::new(path).args(arguments).output();
    let ran =
        tokio::time::timeout(Duration::from_secs(240), running).await.expect("scripts/elasticsearch ends").unwrap();
    let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "scripts/elasticsearch {arguments:?}: {said} {complained}");
    said.into_owned()
}
