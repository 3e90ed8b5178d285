//! In a cluster the node that carries a request out writes its document, with the address of who asked.

use serde_json::{Value, json};

use super::audit_as;
use crate::cluster_requests::Nodes;
use crate::support::{client, post_ok, task};

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_to_another_node_is_noted_once_and_says_who_asked_and_from_where() {
    let nodes = Nodes::start(2).await;
    let names: Vec<String> = (0..10).map(|number| format!("t-{number}")).collect();
    for name in &names {
        let body = task(name, "0 0 0 1 1 *", "http://127.0.0.1:9/");
        // A client's word for where it comes from counts for nothing.
        let request = client().post(format!("{}/put", nodes.base(0))).header("schedule-cluster-from", "203.0.113.9");
        let told = request.body(body).send().await.unwrap().text().await.unwrap();
        assert!(told.contains("\"error\":0"), "{told}");
    }
    let lines: String = names.iter().map(|name| format!("{}\n", json!({ "delete": { "identity": name } }))).collect();
    let told = client().post(format!("{}/bulk", nodes.base(1))).body(lines).send().await.unwrap().text().await.unwrap();
    assert!(told.ends_with("{\"lines\":10,\"failed\":0}\n"), "{told}");
    for name in &names {
        post_ok(nodes.base(0), "/clear", json!({ "identity": name }).to_string()).await;
    }

    // Elasticsearch shows what was written after a second.
    let all = async {
        loop {
            let documents = audit_as("", nodes.base(0), json!({})).await;
            if documents.len() >= 30 {
                return documents;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let documents = tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("all are found");

    assert_eq!(documents.len(), 30, "{documents:?}");
    for name in &names {
        let mut of_task: Vec<&str> = documents
            .iter()
            .filter(|document| document["identity"] == **name)
            .map(|document| document["operation"].as_str().unwrap())
            .collect();
        of_task.sort_unstable();
        assert_eq!(of_task, ["changeTasks", "clearTaskLog", "putTask"], "{name}");
    }
    for document in &documents {
        assert_eq!(document["from"], "127.0.0.1", "{document}");
        assert_eq!((&document["by"], &document["source"]), (&json!("anonymous"), &json!("nothing")));
        assert_eq!(document["outcome"], Value::from("done"));
    }
    nodes.end().await;
}
