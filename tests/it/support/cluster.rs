use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use super::Process;

/// Where the server for tests is; `scripts/test` starts one and says so.
const VARIABLE: &str = "SCHEDULE_TEST_ELASTICSEARCH";

/// An index name on the real Elasticsearch that nobody else uses.
pub(crate) struct Cluster {
    pub(crate) hosts: String,
    pub(crate) index: String,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let hosts = std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} is not set: run scripts/test"));
        Self { hosts, index: format!("t-{}", uuid::Uuid::new_v4()) }
    }

    /// The environment of a program that uses it.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("SCHEDULE__ELASTICSEARCH__HOSTS", &self.hosts),
            ("SCHEDULE__ELASTICSEARCH__DEFAULT_INDEX", &self.index),
            ("SCHEDULE__ELASTICSEARCH__REPLICAS", "0"),
        ]
    }

    /// The program with both stores: this one and that of the folder.
    pub(crate) fn command(&self, folder: &Path) -> Command {
        let mut command = Process::command(folder);
        command.envs(self.environment());
        command
    }

    /// Asks the server itself.
    pub(crate) async fn ask(&self, method: http::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.hosts);
        let mut request = super::client().request(method, url);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
    }

    /// Deletes what was made.
    pub(crate) async fn remove(self) {
        let indices = self.ask(http::Method::GET, &format!("{}*/_settings", self.index), &Value::Null).await;
        let names: Vec<&String> = indices.as_object().unwrap().keys().collect();
        for name in names {
            self.ask(http::Method::DELETE, name, &Value::Null).await;
        }
        self.ask(http::Method::DELETE, &format!("_index_template/{}", self.index), &Value::Null).await;
    }
}
