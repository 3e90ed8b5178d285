use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// Where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Its hosts. Credentials in them were taken out.
    Hosts(Vec<Url>),
    /// The id of a deployment in Elastic Cloud.
    CloudId(String),
}

/// Who we are to the cluster.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// It asks nobody.
    None,
    /// User and password.
    Basic(String, String),
    /// An API key, as Elasticsearch shows it encoded.
    ApiKey(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(..) => "Basic(***)",
            Self::ApiKey(_) => "ApiKey(***)",
        })
    }
}

/// When a write is answered, as Elasticsearch calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync.
    Request,
    /// Before it; a crash of the machine may lose some seconds of the history.
    Async,
}

/// When a write can be found by a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// After this many seconds at most.
    EverySeconds(u64),
    /// With the answer to the write. Slow: for tests.
    Immediately,
}

/// How a cluster is reached and what our indices are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// Who we are.
    pub credentials: Credentials,
    /// A file with the certificates of authorities to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether requests and answers are compressed.
    pub compression: bool,
    /// The alias of the history; all our indices begin with it.
    pub index: String,
    /// Primary shards of a history index.
    pub shards: u64,
    /// Copies of each shard.
    pub replicas: u64,
    /// When records can be searched.
    pub refresh: Refresh,
    /// When a record counts as written. Tasks and leases are always written with an fsync.
    pub durability: Durability,
    /// How many copies must be there before a write is tried: a number, or `all`.
    pub wait_for_active_shards: String,
}
