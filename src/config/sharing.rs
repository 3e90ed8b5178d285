//! The section `[cluster]`: how nodes that share a store find and trust each other.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::node_settings::Reader;
use crate::model::parse_duration;

const SECTION: &str = "cluster";
/// The shortest and the longest secret, in bytes. It travels in a header.
const KEY_LEN: RangeInclusive<usize> = 16..=1_024;
/// Shorter than this, a slow answer of the store looks like the end of a node.
const TTL: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(60);
const TTL_DEFAULT: Duration = Duration::from_secs(3);

/// How a node takes part among others on the same store.
#[derive(Clone, PartialEq, Eq)]
pub struct Sharing {
    /// Where the others reach it; `None`: to be derived from where it listens.
    pub advertise_url: Option<Url>,
    /// The secret that all of them share; `None`: they cannot ask each other.
    pub key: Option<Box<str>>,
    /// The only authorities that the nodes trust among themselves (PEM); `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// After how long without a sign of life a node is taken out.
    pub ttl: Duration,
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { advertise_url, key, ca_file, ttl } = self;
        let key = key.as_ref().map(|_| "***");
        f.debug_struct("Sharing")
            .field("advertise_url", advertise_url)
            .field("key", &key)
            .field("ca_file", ca_file)
            .field("ttl", ttl)
            .finish()
    }
}

impl Reader<'_> {
    pub(super) fn sharing(&mut self) -> Sharing {
        let ca_file = self.text(SECTION, "ca_file");
        let ca_file = (!ca_file.is_empty()).then(|| ca_file.into());
        Sharing { advertise_url: self.advertise_url(), key: self.cluster_key(), ca_file, ttl: self.ttl() }
    }

    fn advertise_url(&mut self) -> Option<Url> {
        let text = self.text(SECTION, "advertise_url");
        if text.is_empty() {
            return None;
        }
        let is_plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let url = Url::parse(&text).ok().filter(is_plain);
        if url.is_none() {
            self.wrong(SECTION, "advertise_url", "a URL such as http://10.0.0.7:3000, without user and password");
        }
        url
    }

    fn cluster_key(&mut self) -> Option<Box<str>> {
        let key = self.text(SECTION, "key");
        if key.is_empty() {
            return None;
        }
        if !KEY_LEN.contains(&key.len()) || !key.chars().all(|c| c.is_ascii_graphic()) {
            let (min, max) = (KEY_LEN.start(), KEY_LEN.end());
            self.wrong(SECTION, "key", &format!("{min} to {max} letters, digits or signs of ASCII, without blanks"));
        }
        Some(key.into())
    }

    fn ttl(&mut self) -> Duration {
        match parse_duration(&self.text(SECTION, "ttl")) {
            Ok(ttl) if TTL.contains(&ttl) => ttl,
            Ok(_) | Err(_) => {
                self.wrong(SECTION, "ttl", "a duration such as 3s or 1500ms, from 500ms to 60s");
                TTL_DEFAULT
            }
        }
    }
}
