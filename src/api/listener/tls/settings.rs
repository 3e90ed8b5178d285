use std::path::PathBuf;
use std::time::Duration;

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate and those between it and its authority (PEM).
    pub cert_file: PathBuf,
    /// Its private key (PEM).
    pub key_file: PathBuf,
    /// The authorities of clients' certificates (PEM); `None`: no client is asked for one.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client may do without, where there are such authorities.
    pub client_certificate: ClientCertificate,
    /// The oldest version that is spoken.
    pub version_min: TlsVersion,
    /// How often the files are looked at.
    pub look_every: Duration,
}

/// Whether a client has to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It may; one that is shown has to be good.
    Optional,
    /// It must.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

impl TlsSettings {
    /// How often the files are looked at.
    pub const LOOK_EVERY: Duration = Duration::from_secs(10);
}
