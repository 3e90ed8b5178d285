//! TLS of the listener, with certificates that are made here.

mod clients;
mod cluster;
mod reload;

use std::path::Path;
use std::time::Duration;

use http::Version;
use reqwest::{Certificate, Client, ClientBuilder};
use schedule_service::api::{ClientCertificate, TlsSettings, TlsVersion};
use schedule_service::config::NodeSettings;
use schedule_service::node::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Authority, BoxedNode, Issued};

/// How TLS is spoken with this certificate.
fn settings(folder: &Path, issued: &Issued) -> TlsSettings {
    let (cert_file, key_file) = issued.write(folder);
    TlsSettings {
        cert_file,
        key_file,
        client_ca_file: None,
        client_certificate: ClientCertificate::Required,
        version_min: TlsVersion::V1_2,
        look_every: Duration::from_millis(20),
    }
}

async fn start(tls: TlsSettings) -> BoxedNode {
    BoxedNode::start_with(|settings| settings.api.tls = Some(tls)).await
}

/// A client that trusts this authority only.
fn trusting(authority: &Authority) -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    Client::builder().timeout(Duration::from_secs(60)).tls_certs_only([trusted])
}

fn ping(node: &BoxedNode) -> String {
    format!("https://localhost:{}/ping", node.address().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_and_http_1_are_spoken_over_tls_as_the_client_likes() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let node = start(settings(folder.path(), &authority.server("one"))).await;

    let both = trusting(&authority).build().unwrap().get(ping(&node)).send().await.unwrap();
    let old = trusting(&authority).http1_only().build().unwrap().get(ping(&node)).send().await.unwrap();

    assert_eq!((both.version(), both.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!((old.version(), old.status().as_u16()), (Version::HTTP_11, 200));
    let foreign = trusting(&Authority::new("foreign")).build().unwrap().get(ping(&node)).send().await;
    assert!(foreign.is_err(), "another authority has not issued it");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_plain_http_to_the_tls_port_is_told_so() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let node = start(settings(folder.path(), &authority.server("one"))).await;

    let answer = said(&node, b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let rubbish = said(&node, b"\x00\x01\x02").await;

    assert!(
        answer.starts_with("HTTP/1.1 400 ")
            && answer.ends_with("this port speaks TLS: ask with https:// in the address\n"),
        "{answer}"
    );
    assert_eq!(rubbish, "");
    node.stop().await;
}

async fn said(node: &BoxedNode, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // The connection may be closed hard, as not all was read.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("it ends");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_go_on_ends_within_the_time_of_a_head() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let tls = settings(folder.path(), &authority.server("one"));
    let node = BoxedNode::start_with(|settings| {
        settings.api.tls = Some(tls);
        settings.api.header_timeout = Duration::from_millis(100);
    })
    .await;

    assert_eq!(said(&node, b"").await, "");
    assert_eq!(said(&node, b"\x16\x03\x01\x02\x00\x01").await, "");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_below_the_lowest_are_refused() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let tls = TlsSettings { version_min: TlsVersion::V1_3, ..settings(folder.path(), &authority.server("one")) };
    let node = start(tls).await;
    let up_to = |version| trusting(&authority).tls_version_max(version).build().unwrap().get(ping(&node));

    assert!(up_to(reqwest::tls::Version::TLS_1_2).send().await.is_err());
    assert_eq!(up_to(reqwest::tls::Version::TLS_1_3).send().await.unwrap().status(), 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_is_none_keeps_the_service_from_starting_and_is_told() {
    let (folder, store, authority) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Authority::new("ours"));
    let good = settings(folder.path(), &authority.server("one"));
    let refusal = async |tls: TlsSettings| {
        let mut settings = NodeSettings::default();
        settings.api.port = 0;
        settings.api.tls = Some(tls);
        settings.store.path = store.path().to_owned();
        format!("{:#}", Node::start(settings).await.err().expect("it does not start"))
    };

    let missing = refusal(TlsSettings { key_file: folder.path().join("none.pem"), ..good.clone() }).await;
    let swapped = refusal(TlsSettings { cert_file: good.key_file.clone(), ..good.clone() }).await;
    std::fs::write(folder.path().join("other.pem"), authority.server("two").key).unwrap();
    let wrong = refusal(TlsSettings { key_file: folder.path().join("other.pem"), ..good }).await;

    assert!(
        missing.contains("[tls] key_file `") && missing.contains("none.pem` cannot be read: No such file"),
        "{missing}"
    );
    assert!(swapped.contains("[tls] cert_file `") && swapped.contains("holds no certificate in PEM"), "{swapped}");
    assert!(wrong.contains("[tls] key_file is not the key of cert_file"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_reach_a_service_over_https_with_the_authority_that_they_are_told() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let ca_file = crate::support::put(folder.path(), "ca.pem", &authority.pem);
    let node = start(settings(folder.path(), &authority.server("one"))).await;
    let export = |arguments: &[&str]| {
        let mut command = crate::support::Process::command(folder.path());
        command.arg("export").args(["--server", &format!("https://localhost:{}", node.address().port())]);
        command.args(arguments);
        command
    };

    let trusted = export(&["--ca-file", ca_file.to_str().unwrap()]).output().await.unwrap();
    let by_environment = export(&[]).env("SCHEDULE_CA_FILE", &ca_file).output().await.unwrap();
    let stranger = export(&[]).output().await.unwrap();
    let no_file = export(&["--ca-file", "none.pem"]).output().await.unwrap();

    assert!(trusted.status.success(), "{}", String::from_utf8_lossy(&trusted.stderr));
    assert!(by_environment.status.success(), "{}", String::from_utf8_lossy(&by_environment.stderr));
    assert!(!stranger.status.success(), "nobody trusts this authority without being told");
    let told = String::from_utf8_lossy(&no_file.stderr).into_owned();
    assert!(!no_file.status.success() && told.contains("--ca-file: `none.pem` cannot be read"), "{told}");
    node.stop().await;
}
