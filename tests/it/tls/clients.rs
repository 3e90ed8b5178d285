//! Certificates of clients.

use schedule_service::access::{SecretHash, parse_certificate_rules};
use schedule_service::api::{ClientCertificate, TlsSettings};
use serde_json::{Value, json};

use super::{ping, settings, start, trusting};
use crate::support::{Authority, BoxedNode, put, task};

const ADMIN_KEY: &str = "the-admin-key-of-these-tests-0123456789";

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

    /// A node on which certificates allow something.
    async fn start_with_rules(&self, rules: &str) -> BoxedNode {
        let client_ca_file = Some(put(self.folder.path(), "clients.pem", &self.clients.pem));
        let tls = settings(self.folder.path(), &self.servers.server("one"));
        let tls = TlsSettings { client_ca_file, client_certificate: ClientCertificate::Optional, ..tls };
        BoxedNode::start_with(|settings| {
            settings.api.tls = Some(tls);
            settings.access.certificates = parse_certificate_rules(rules).unwrap();
            settings.access.admin_key = Some(SecretHash::of(ADMIN_KEY.as_bytes()));
        })
        .await
    }

    /// What is answered to somebody with this certificate, and these headers.
    async fn post(
        &self,
        node: &BoxedNode,
        identity: Option<reqwest::Identity>,
        headers: &[(&str, &str)],
        path: &str,
        body: String,
    ) -> (u16, Value) {
        let client = identity.into_iter().fold(trusting(&self.servers), |client, identity| client.identity(identity));
        let url = format!("https://localhost:{}{path}", node.address().port());
        let mut request = client.build().unwrap().post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
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

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_a_rule_names_stands_in_place_of_a_key_and_others_do_not() {
    let guarded = Guarded::new();
    let node = guarded.start_with_rules("cn:ann=admin, uri:spiffe://ours/ci=write:team-a/").await;
    let ann = || Some(guarded.clients.client("ann").identity());
    let ci = || Some(guarded.clients.client_with_uri("builder", "spiffe://ours/ci").identity());
    let of = |name: &str| task(name, "0 0 0 1 1 *", "http://127.0.0.1:9/");

    let (_, put) = guarded.post(&node, ci(), &[], "/put", of("team-a/x")).await;
    assert_eq!(put["error"], 0, "{put}");
    let query = json!({ "type": "audit", "identity": "team-a/x" }).to_string();
    let (_, audit) = guarded.post(&node, ann(), &[], "/logs/search", query).await;
    let noted = &audit["data"]["logs"][0]["log"];
    assert_eq!((&noted["by"], &noted["source"]), (&json!("cert:spiffe://ours/ci"), &json!("certificate")), "{audit}");
    let (status, refused) = guarded.post(&node, ci(), &[], "/put", of("team-b/x")).await;
    assert_eq!(status, 403);
    assert_eq!(
        refused["msg"],
        "`cert:spiffe://ours/ci` is for tasks whose identity begins with `team-a/`, this one does not"
    );
    let (status, made) =
        guarded.post(&node, ann(), &[], "/keys", json!({ "name": "reader", "role": "read" }).to_string()).await;
    assert_eq!((status, &made["data"]["created_by"]), (201, &json!("cert:ann")), "{made}");
    for stranger in [
        None,
        Some(guarded.clients.client("bob").identity()),
        Some(guarded.clients.client("ANN").identity()),
        Some(guarded.clients.client_with_uri("builder", "spiffe://ours/ci2").identity()),
        Some(guarded.clients.client("spiffe://ours/ci").identity()),
    ] {
        assert_eq!(guarded.post(&node, stranger, &[], "/all", "{}".to_owned()).await.0, 401);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_beside_a_certificate_decides_and_a_page_from_elsewhere_has_no_use_of_the_browsers_certificate() {
    let guarded = Guarded::new();
    let node = guarded.start_with_rules("cn:ann=admin, cn:eve=read").await;
    let ann = || Some(guarded.clients.client("ann").identity());
    let (_, made) =
        guarded.post(&node, ann(), &[], "/keys", json!({ "name": "reader", "role": "read" }).to_string()).await;
    let reader = made["data"]["key"].as_str().unwrap();
    let of = || task("x", "0 0 0 1 1 *", "http://127.0.0.1:9/");
    let put = async |identity, headers: &[(&str, &str)]| guarded.post(&node, identity, headers, "/put", of()).await;

    let (status, refused) = put(ann(), &[("x-api-key", reader)]).await;
    assert_eq!(
        (status, &refused["msg"]),
        (403, &json!("this needs the role write, and the key `reader` has the role read"))
    );
    assert_eq!(put(ann(), &[("x-api-key", "sk_wrong")]).await.0, 401, "a wrong key is never taken for none");
    let eve = Some(guarded.clients.client("eve").identity());
    assert_eq!(put(eve, &[("x-api-key", ADMIN_KEY)]).await.0, 200, "the key may do more than the certificate");
    let (status, foreign) = put(ann(), &[("origin", "https://evil.example")]).await;
    assert_eq!((status, foreign["msg"].as_str().unwrap().contains("page from elsewhere")), (403, true), "{foreign}");
    let own = format!("https://localhost:{}", node.address().port());
    assert_eq!(put(ann(), &[("origin", &own)]).await.0, 200);
    node.stop().await;
}
