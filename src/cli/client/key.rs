//! The key that a service is shown. It never stands on the command line, where `ps` would show it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use http::HeaderValue;

use crate::cli::UsageError;

/// Where a key stands that is in no file.
const VARIABLE: &str = "SCHEDULE_KEY";
/// The largest file that is read, in bytes: a token of an issuer is longer than a key.
const FILE_MAX: u64 = 32 * 1024;

/// Where the key stands.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct KeyArgs {
    /// File that holds a key of the service [default: what the environment variable SCHEDULE_KEY holds, if it is set]
    #[arg(long, value_name = "PATH", global = true)]
    key_file: Option<PathBuf>,
}

/// A key as the value of a header, which no text shows.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ServiceKey(HeaderValue);

impl ServiceKey {
    fn parse(text: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(text.trim()).ok().filter(|value| !value.is_empty())?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl KeyArgs {
    /// The key, if there is one. The file goes before the variable.
    pub(in crate::cli) fn read(&self) -> Result<Option<ServiceKey>, UsageError> {
        const EXPECTED: &str = "expected a key in one line, such as sk_…";
        let Some(path) = &self.key_file else {
            let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
            let key = text.to_str().and_then(ServiceKey::parse);
            return key.map(Some).ok_or_else(|| UsageError(format!("{VARIABLE} holds no key, {EXPECTED}")));
        };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
        let shown = path.display();
        read.map_err(|error| UsageError(format!("--key-file {shown} cannot be read: {error}")))?;
        let key = ServiceKey::parse(&text);
        key.map(Some).ok_or_else(|| UsageError(format!("--key-file {shown} holds no key, {EXPECTED}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_file_may_end_with_a_line_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            KeyArgs { key_file: Some(path.clone()) }.read()
        };

        let key = read("sk_secret\n").unwrap().unwrap();

        assert_eq!(key.header(), "sk_secret");
        assert!(!format!("{key:?}").contains("secret"), "{key:?}");
        for wrong in ["", " \n", "sk_secret\nsk_secret"] {
            let complaint = read(wrong).unwrap_err().to_string();
            assert!(complaint.contains("holds no key") && !complaint.contains("secret"), "{complaint}");
        }
        let nowhere = KeyArgs { key_file: Some(folder.path().join("none")) };
        assert!(nowhere.read().unwrap_err().to_string().contains("cannot be read"));
    }
}
