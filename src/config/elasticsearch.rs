//! The section `[elasticsearch]`: how a cluster is reached, and what our indices are like.

use std::time::Duration;

use url::Url;

use super::node_settings::Reader;
use crate::store::elastic::{Address, Credentials, Durability, Refresh, Settings};

const SECTION: &str = "elasticsearch";
/// Where Elasticsearch listens unless an address says otherwise.
const DEFAULT_PORT: u16 = 9200;
/// Elasticsearch allows 255 bytes; our names add `-logs-2026.12`.
const INDEX_LEN_MAX: usize = 200;

impl Reader<'_> {
    /// The name of the history.
    pub(super) fn index_name(&mut self) -> String {
        let name = self.text(SECTION, "default_index");
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !begins_well || !name.chars().all(is_allowed) || name.len() > INDEX_LEN_MAX {
            let expected = format!(
                "a name that Elasticsearch takes: lower-case letters, digits, -, _ and ., a letter or digit first, \
                 at most {INDEX_LEN_MAX} bytes"
            );
            self.wrong(SECTION, "default_index", &expected);
        }
        name
    }

    /// How the cluster is reached; `None`: there is none, the embedded store is used.
    pub(super) fn cluster(&mut self, index: &str) -> Option<Settings> {
        let credentials = self.credentials();
        let (address, in_hosts) = self.address();
        let address = address?;
        let credentials = match (credentials, in_hosts) {
            (Credentials::None, Some((user, password))) => Credentials::Basic(user, password),
            (given, Some(_)) => {
                self.wrong(SECTION, "hosts", "addresses without user and password, as username or api_key is set, too");
                given
            }
            (given, None) => given,
        };
        let ca_file = self.text(SECTION, "ca_file");
        Some(Settings {
            address,
            credentials,
            ca_file: (!ca_file.is_empty()).then(|| ca_file.into()),
            timeout: Duration::from_secs(self.number(SECTION, "timeout_s")),
            compression: self.text(SECTION, "compression") == "true",
            index: index.to_owned(),
            shards: self.number(SECTION, "shards"),
            replicas: self.number(SECTION, "replicas"),
            refresh: Refresh::EverySeconds(self.number(SECTION, "refresh_interval_s")),
            durability: match self.text(SECTION, "durability").as_str() {
                "async" => Durability::Async,
                _ => Durability::Request,
            },
            wait_for_active_shards: self.active_shards(),
        })
    }

    fn credentials(&mut self) -> Credentials {
        let (user, password) = (self.text(SECTION, "username"), self.text(SECTION, "password"));
        let key = self.text(SECTION, "api_key");
        if !key.is_empty() && !user.is_empty() {
            self.wrong(SECTION, "api_key", "nothing while username is set, or the other way round");
        }
        if !key.chars().all(|c| c.is_ascii_graphic()) {
            self.wrong(SECTION, "api_key", "the encoded form: letters, digits, +, / and =");
        }
        match (key.is_empty(), user.is_empty()) {
            (false, _) => Credentials::ApiKey(key),
            (true, false) => Credentials::Basic(user, password),
            (true, true) => Credentials::None,
        }
    }

    /// Where the cluster is, and the user and password that stood in its address.
    fn address(&mut self) -> (Option<Address>, Option<(String, String)>) {
        let (cloud_id, hosts) = (self.text(SECTION, "cloud_id"), self.text(SECTION, "hosts"));
        if hosts.is_empty() {
            return ((!cloud_id.is_empty()).then_some(Address::CloudId(cloud_id)), None);
        }
        if !cloud_id.is_empty() {
            self.wrong(SECTION, "cloud_id", "nothing while hosts is set, or the other way round");
        }
        let (mut urls, mut credentials) = (Vec::new(), None);
        for host in hosts.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            match read_host(host) {
                Some((url, in_host)) => {
                    urls.push(url);
                    credentials = credentials.or(in_host);
                }
                None => {
                    self.wrong(SECTION, "hosts", "addresses such as http://127.0.0.1:9200, separated by commas");
                    return (None, None);
                }
            }
        }
        if urls.is_empty() {
            self.wrong(SECTION, "hosts", "addresses such as http://127.0.0.1:9200, separated by commas");
            return (None, None);
        }
        (Some(Address::Hosts(urls)), credentials)
    }

    fn active_shards(&mut self) -> String {
        let text = self.text(SECTION, "wait_for_active_shards");
        if text != "all" && text.parse::<u32>().is_err() {
            self.wrong(SECTION, "wait_for_active_shards", "a number of copies, or all");
        }
        text
    }
}

/// A host, and the user and password that stood in it. Without a scheme it is plain HTTP at the usual port.
fn read_host(host: &str) -> Option<(Url, Option<(String, String)>)> {
    let has_scheme = host.contains("://");
    let mut url = Url::parse(&if has_scheme { host.to_owned() } else { format!("http://{host}") }).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || url.query().is_some() {
        return None;
    }
    if !has_scheme && url.port().is_none() {
        url.set_port(Some(DEFAULT_PORT)).ok()?;
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials =
        (!url.username().is_empty()).then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((url, credentials))
}
