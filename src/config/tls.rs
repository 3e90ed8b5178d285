//! The section `[tls]`: how our own listener speaks TLS.

use std::path::PathBuf;

use super::node_settings::Reader;
use crate::api::{ClientCertificate, TlsSettings, TlsVersion};

const SECTION: &str = "tls";

impl Reader<'_> {
    /// `None`: plain HTTP is spoken.
    pub(super) fn tls(&mut self) -> Option<TlsSettings> {
        let file = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
        let (cert_file, key_file) = (file(self.text(SECTION, "cert_file")), file(self.text(SECTION, "key_file")));
        let client_ca_file = file(self.text(SECTION, "client_ca_file"));
        let client_certificate = match self.text(SECTION, "client_cert").as_str() {
            "optional" => ClientCertificate::Optional,
            _ => ClientCertificate::Required,
        };
        let version_min = match self.text(SECTION, "min_version").as_str() {
            "1.3" => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        };
        let (cert_file, key_file) = match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => (cert_file, key_file),
            (Some(_), None) => {
                self.wrong(SECTION, "key_file", "the file of the key that belongs to cert_file");
                return None;
            }
            (None, Some(_)) => {
                self.wrong(SECTION, "cert_file", "the file of the certificate that belongs to key_file");
                return None;
            }
            (None, None) => {
                if client_ca_file.is_some() {
                    self.wrong(
                        SECTION,
                        "client_ca_file",
                        "nothing while cert_file is empty: without TLS nobody shows a certificate",
                    );
                }
                return None;
            }
        };
        let look_every = TlsSettings::LOOK_EVERY;
        Some(TlsSettings { cert_file, key_file, client_ca_file, client_certificate, version_min, look_every })
    }

    /// Nodes know each other by their key, and have no certificate to show.
    pub(super) fn check_nodes_get_in(&mut self, tls: Option<&TlsSettings>, has_cluster_key: bool) {
        let is_required = tls
            .is_some_and(|tls| tls.client_ca_file.is_some() && tls.client_certificate == ClientCertificate::Required);
        if is_required && has_cluster_key {
            self.wrong(
                SECTION,
                "client_cert",
                "optional while [cluster] key is set: other nodes show that key, and no certificate",
            );
        }
    }
}
