//! Reads the authorities of certificates from a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reqwest::Certificate;

/// The largest file that is read, in bytes. A larger one is refused.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// Check that it is there, and that it may be read.
    #[error("`{path}` cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Put the right file there.
    #[error("`{path}` holds no certificates in PEM, expected those of authorities", path = .0.display())]
    NoCertificates(PathBuf),
}

/// The certificates in a file: one at least.
pub fn authorities(path: &Path) -> Result<Vec<Certificate>, AuthoritiesError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    read.map_err(|error| AuthoritiesError::Unreadable(path.to_owned(), error))?;
    let certificates = Certificate::from_pem_bundle(&bytes).unwrap_or_default();
    if certificates.is_empty() {
        return Err(AuthoritiesError::NoCertificates(path.to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_certificates_or_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");

        assert!(authorities(&path).unwrap_err().to_string().ends_with("ca.pem` cannot be read"));
        for wrong in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAA"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(authorities(&path).unwrap_err().to_string().contains("holds no certificates"), "{wrong}");
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(&path, certificate.pem().repeat(2)).unwrap();
        assert_eq!(authorities(&path).unwrap().len(), 2);
    }
}
