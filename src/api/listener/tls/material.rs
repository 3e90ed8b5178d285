//! From the files of a certificate to what TLS is spoken with.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};
use x509_parser::prelude::{FromDer, X509Certificate};
use xxhash_rust::xxh64::Xxh64;

use super::settings::{ClientCertificate, TlsSettings, TlsVersion};
use crate::model::Timestamp;

/// The largest file that is read, in bytes. A larger one is refused.
const FILE_MAX: u64 = 1024 * 1024;
/// What is spoken over TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why the files cannot be used. The text says which one, and what is wrong with it; never what stands in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Check that it is there, and that the service may read it.
    #[error("[tls] {key} `{path}` cannot be read", path = path.display())]
    Unreadable {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Put the right file there.
    #[error("[tls] {key} `{path}` {why}", path = path.display())]
    Unusable {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The two files belong to different certificates, or one of them is being replaced.
    #[error("[tls] key_file is not the key of cert_file ({why})")]
    Pair {
        /// What the library says.
        why: String,
    },
}

/// What stands in the files.
pub(super) struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
    /// Others than the owner and the group may read the key.
    pub(super) is_key_open: bool,
}

impl Files {
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        let authorities = settings.client_ca_file.as_deref().map(|path| read("client_ca_file", path)).transpose()?;
        Ok(Self {
            certificates: read("cert_file", &settings.cert_file)?,
            key: read("key_file", &settings.key_file)?,
            authorities,
            is_key_open: is_open(&settings.key_file),
        })
    }

    /// Tells files apart from what stood in them before.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Xxh64::new(0);
        for part in [&self.certificates, &self.key].into_iter().chain(&self.authorities) {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.digest()
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let size = fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    let size = size.map_err(|source| TlsError::Unreadable { key, path: path.to_owned(), source })?;
    if size as u64 > FILE_MAX {
        return Err(unusable(key, path, format!("is too long, expected at most {FILE_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0)
}

#[cfg(not(unix))]
fn is_open(_path: &Path) -> bool {
    false
}

fn unusable(key: &'static str, path: &Path, why: impl Into<String>) -> TlsError {
    TlsError::Unusable { key, path: path.to_owned(), why: why.into() }
}

/// What TLS is spoken with.
pub(super) struct Material {
    pub(super) config: Arc<ServerConfig>,
    /// When the certificate ends.
    pub(super) ends_at: Timestamp,
    /// Whose it is.
    pub(super) subject: String,
}

impl Material {
    pub(super) fn of(settings: &TlsSettings, files: &Files) -> Result<Self, TlsError> {
        let chain = certificates("cert_file", &settings.cert_file, &files.certificates)?;
        let unreadable = |why: String| unusable("cert_file", &settings.cert_file, why);
        let (_, own) = X509Certificate::from_der(&chain[0])
            .map_err(|error| unreadable(format!("holds a certificate that cannot be read ({error})")))?;
        let ends_at = Timestamp::from_secs(own.validity().not_after.timestamp());
        let subject = own.subject().to_string();
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|_| unusable("key_file", &settings.key_file, "holds no private key in PEM"))?;
        let provider = Arc::new(ring::default_provider());
        let versions = match settings.version_min {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12][..],
            TlsVersion::V1_3 => &[&version::TLS13][..],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("the provider has suites for both versions");
        let verifier = files.authorities.as_deref().map(|pem| verifier(settings, pem, &provider)).transpose()?;
        let asks_clients = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Pair { why: error.to_string() });
        let mut config = config?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if asks_clients {
            // A session that is taken up again would go by a certificate that is not looked at any more.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { config: Arc::new(config), ends_at, subject })
    }
}

/// At least one certificate.
fn certificates(key: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| unusable(key, path, format!("is no PEM ({error})")))?;
    if read.is_empty() {
        return Err(unusable(key, path, "holds no certificate in PEM"));
    }
    Ok(read)
}

fn verifier(
    settings: &TlsSettings,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    const KEY: &str = "client_ca_file";
    let path = settings.client_ca_file.as_deref().unwrap_or(Path::new(""));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(KEY, path, pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable(KEY, path, format!("holds a certificate that cannot be read ({error})")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = match settings.client_certificate {
        ClientCertificate::Optional => builder.allow_unauthenticated(),
        ClientCertificate::Required => builder,
    };
    builder.build().map_err(|error| unusable(KEY, path, format!("holds no authority of clients ({error})")))
}
