//! Certificates are replaced while the service runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ping, settings, start, trusting};
use crate::support::{Authority, BoxedNode, Issued, Process};

/// The certificate that a new connection is shown.
async fn shown(node: &BoxedNode, authority: &Authority) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(node.address()).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn is(issued: &Issued, shown: &CertificateDer<'_>) -> bool {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap() == *shown
}

async fn until_shown(node: &BoxedNode, authority: &Authority, issued: &Issued) {
    let waiting = async {
        while !is(issued, &shown(node, authority).await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the new certificate comes into force");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_those_that_are_open_go_on() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let (first, second) = (authority.server("first"), authority.server("second"));
    let node = start(settings(folder.path(), &first)).await;
    let client = trusting(&authority).http1_only().build().unwrap();
    assert_eq!(client.get(ping(&node)).send().await.unwrap().text().await.unwrap(), r#"{"status":"OK"}"#);
    assert!(is(&first, &shown(&node, &authority).await));

    second.write(folder.path());
    until_shown(&node, &authority, &second).await;

    assert_eq!(client.get(ping(&node)).send().await.unwrap().status(), 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_used_leaves_the_old_one_in_force_and_is_told_once() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    authority.ending("first", 2099, 12, 31).write(folder.path());
    let files = [("CERT_FILE", "cert.pem"), ("KEY_FILE", "key.pem")];
    let environment = files.map(|(key, name)| (format!("SCHEDULE__TLS__{key}"), folder.path().join(name)));
    let mut command = Process::command(folder.path());
    let mut child = command.envs(environment).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = Arc::new(Mutex::new(Vec::<String>::new()));
    let mut until = async |text: &str| {
        let waiting = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the service goes on");
                told.lock().unwrap().push(line.clone());
                if line.contains(text) {
                    return line;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waiting)
            .await
            .unwrap_or_else(|_| panic!("`{text}` is never told"))
    };

    let begun = until("a certificate is in force").await;
    until(r#""ready""#).await;
    // The files are looked at every ten seconds.
    authority.ended("ended").write(folder.path());
    let ended = until("ended at 2020").await;
    crate::support::put(folder.path(), "key.pem", &authority.server("other").key);
    crate::support::put(folder.path(), "cert.pem", &authority.server("one").certificate);
    let no_pair = until("is not the key of cert_file").await;
    let soon = authority.server("second");
    soon.write(folder.path());
    until("a certificate is in force").await;
    child.kill().await.unwrap();

    assert!(begun.contains("CN=first") && begun.contains("2099-12-31T00:00:00Z"), "{begun}");
    assert!(ended.contains("ended at 2020-01-01T00:00:00Z"), "{ended}");
    assert!(no_pair.contains("the certificate in force stays"), "{no_pair}");
    let told = told.lock().unwrap();
    assert_eq!(told.iter().filter(|line| line.contains("ended at 2020")).count(), 1, "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("PRIVATE KEY")));
}
