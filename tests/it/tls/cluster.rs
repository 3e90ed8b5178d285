//! Nodes that reach each other over https.

use std::time::Duration;

use serde_json::Value;

use super::trusting;
use crate::support::{Authority, Cluster, Process, put, task};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_ask_each_other_over_https_and_trust_only_their_own_authority() {
    let (cluster, authority) = (Cluster::new(), Authority::new("ours"));
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut nodes = Vec::new();
    for folder in &folders {
        let (cert_file, key_file) = authority.server("node").write(folder.path());
        let ca_file = put(folder.path(), "ca.pem", &authority.pem);
        let mut environment = cluster.environment().to_vec();
        environment.push(("SCHEDULE__CLUSTER__KEY", "the-key-of-this-test"));
        environment.push(("SCHEDULE__CLUSTER__CA_FILE", ca_file.to_str().unwrap()));
        environment.push(("SCHEDULE__TLS__CERT_FILE", cert_file.to_str().unwrap()));
        environment.push(("SCHEDULE__TLS__KEY_FILE", key_file.to_str().unwrap()));
        let started = Process::try_start_with(folder.path(), &environment).await;
        nodes.push(started.unwrap_or_else(|log| panic!("the service did not start: {log}")));
    }
    let bases: Vec<String> = nodes.iter().map(|node| node.base.replace("http://", "https://")).collect();
    let client = trusting(&authority).build().unwrap();
    let ask = async |base: &str, path: &str, body: String| {
        let answer = client.post(format!("{base}{path}")).body(body).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    let dealt = async {
        loop {
            let told = client.get(format!("{}/cluster", bases[0])).send().await.unwrap().text().await.unwrap();
            let told: Value = serde_json::from_str(&told).unwrap();
            let nodes = told["data"]["nodes"].as_array().unwrap();
            assert!(nodes.iter().all(|node| node["url"].as_str().unwrap().starts_with("https://")), "{told}");
            if nodes.len() == 2 && nodes.iter().all(|node| node["shards"] == 32) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), dealt).await.expect("the shards are dealt within a minute");

    let names: Vec<String> = (0..12).map(|number| format!("task-{number:02}")).collect();
    for (place, name) in names.iter().enumerate() {
        let put = ask(&bases[place % 2], "/put", task(name, "0 0 0 1 1 *", "http://127.0.0.1:9/")).await;
        assert_eq!(put["error"], 0, "{put}");
    }

    for base in &bases {
        assert_eq!(ask(base, "/all", "{}".to_owned()).await["data"], serde_json::json!(names));
    }
    for node in nodes {
        node.kill().await;
    }
    cluster.remove().await;
}
