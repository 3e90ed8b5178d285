//! Certificates of clients.

use schedule_service::api::{ClientCertificate, TlsSettings};
use serde_json::{Value, json};

use super::{ping, settings, start, trusting};
use crate::support::{Authority, BoxedNode, put, task};

struct Guarded {
    servers: Authority,
    clients: Authority,
    folder: tempfile::TempDir,
}

impl Guarded {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { servers: Authority::new("servers"), clients: Authority::new("clients"), folder }
    }

    async fn start(&self, client_certificate: ClientCertificate) -> BoxedNode {
        let client_ca_file = Some(put(self.folder.path(), "clients.pem", &self.clients.pem));
        let tls = settings(self.folder.path(), &self.servers.server("one"));
        start(TlsSettings { client_ca_file, client_certificate, ..tls }).await
    }

    /// Whether somebody with this certificate gets an answer.
    async fn lets_in(&self, node: &BoxedNode, identity: Option<reqwest::Identity>) -> bool {
        let client = trusting(&self.servers);
        let client = identity.into_iter().fold(client, |client, identity| client.identity(identity));
        client.build().unwrap().get(ping(node)).send().await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_certificate_is_required_nobody_gets_in_without_a_good_one() {
    let guarded = Guarded::new();
    let node = guarded.start(ClientCertificate::Required).await;

    assert!(guarded.lets_in(&node, Some(guarded.clients.client("ann").identity())).await);
    assert!(!guarded.lets_in(&node, None).await);
    assert!(
        !guarded.lets_in(&node, Some(Authority::new("clients").client("ann").identity())).await,
        "a foreign authority"
    );
    assert!(!guarded.lets_in(&node, Some(guarded.clients.ended("ann").identity())).await);
    assert!(
        !guarded.lets_in(&node, Some(guarded.clients.client(&"x".repeat(300)).identity())).await,
        "a name that is none"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_certificate_is_optional_one_that_is_shown_has_to_be_good() {
    let guarded = Guarded::new();
    let node = guarded.start(ClientCertificate::Optional).await;

    assert!(guarded.lets_in(&node, Some(guarded.clients.client("ann").identity())).await);
    assert!(guarded.lets_in(&node, None).await);
    assert!(
        !guarded.lets_in(&node, Some(Authority::new("clients").client("ann").identity())).await,
        "a foreign authority"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_changes_bears_the_name_in_its_certificate() {
    let guarded = Guarded::new();
    let node = guarded.start(ClientCertificate::Optional).await;
    let base = format!("https://localhost:{}", node.address().port());
    let put_by = async |identity: Option<reqwest::Identity>, name: &str| {
        let client =
            identity.into_iter().fold(trusting(&guarded.servers), |client, identity| client.identity(identity));
        let client = client.build().unwrap();
        let put = client.post(format!("{base}/put")).body(task(name, "0 0 0 1 1 *", "http://127.0.0.1:9/"));
        assert_eq!(put.send().await.unwrap().status(), 200);
        let history = client.get(format!("{base}/history/{name}")).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Value>(&history).unwrap()["data"]["versions"][0]["by"].clone()
    };

    assert_eq!(put_by(Some(guarded.clients.client("ann").identity()), "by-ann").await, json!("ann"));
    assert_eq!(put_by(None, "by-nobody").await, json!("anonymous"));
    node.stop().await;
}
