//! Every key, once: what it is called, what it holds, what it is for. Hints, the example file and the README's table
//! come from here.

use std::ops::RangeInclusive;

/// What a key may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A whole number within a range.
    Number(RangeInclusive64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text; it may be empty where `may_be_empty`.
    Text { may_be_empty: bool },
    /// Addresses that may hold a user and a password.
    Hosts,
    /// A text that is never shown.
    Secret,
}

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeInclusive64 {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl RangeInclusive64 {
    pub(super) fn range(self) -> RangeInclusive<u64> {
        self.start..=self.end
    }
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The section it stands in.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
    pub(super) kind: Kind,
}

const fn number(start: u64, end: u64) -> Kind {
    Kind::Number(RangeInclusive64 { start, end })
}

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    kind: Kind,
    meaning: &'static str,
) -> Key {
    Key { section, name, default, meaning, kind }
}

const TEXT: Kind = Kind::Text { may_be_empty: false };
const OPTIONAL: Kind = Kind::Text { may_be_empty: true };
const DAY_S: u64 = 86_400;

/// All keys, in the order of the example file.
pub const KEYS: &[Key] = &[
    key(
        "server",
        "host",
        "127.0.0.1",
        TEXT,
        "Address to listen on: 127.0.0.1 is this machine only, 0.0.0.0 all of IPv4",
    ),
    key("server", "port", "3000", number(0, 65_535), "Port to listen on; 0 lets the system choose"),
    key(
        "server",
        "max_body",
        "1048576",
        number(1_024, 1 << 30),
        "Largest request body in bytes, also unpacked; larger: 413",
    ),
    key(
        "server",
        "max_header_bytes",
        "65536",
        number(1_024, 1 << 20),
        "Largest head of a request in bytes; larger: 431",
    ),
    key("server", "max_headers", "100", number(8, 10_000), "Headers of a request; more: 431"),
    key("server", "max_url_bytes", "8192", number(256, 65_534), "Longest URL of a request in bytes; longer: 414"),
    key(
        "server",
        "header_timeout_s",
        "30",
        number(1, 3_600),
        "Seconds a client may take for the head of a request, and for the TLS handshake before the first one",
    ),
    key("server", "body_timeout_s", "30", number(1, 3_600), "Seconds a client may take to send a body; longer: 408"),
    key(
        "server",
        "idle_timeout_s",
        "30",
        number(1, 86_400),
        "Seconds a connection may be idle between two requests; then it is closed",
    ),
    key(
        "server",
        "write_timeout_s",
        "300",
        number(1, 3_600),
        "Seconds a client may take nothing of an answer; then its connection is cut",
    ),
    key(
        "server",
        "connections_max",
        "4096",
        number(1, 1_000_000),
        "Open connections; further ones wait to be accepted",
    ),
    key(
        "server",
        "connections_per_address_max",
        "1024",
        number(1, 1_000_000),
        "Open connections of one address (of IPv6: of one /64); further ones are closed at once",
    ),
    key(
        "server",
        "streams_per_connection_max",
        "128",
        number(1, 10_000),
        "Requests under way over one connection of HTTP/2; further ones wait",
    ),
    key("server", "requests_max", "1024", number(1, 1_000_000), "Requests worked on at once; further ones: 503"),
    key("server", "default_time_zone", "UTC", TEXT, "Zone of dates without an offset in `/schedule`: an IANA name"),
    key(
        "server",
        "remote_user_header",
        "",
        OPTIONAL,
        "Header in which a trusted proxy names the user; empty: everybody is anonymous",
    ),
    key("server", "shutdown_grace", "30", number(0, 3_600), "Seconds that fires in flight have to end at a stop"),
    key(
        "tls",
        "cert_file",
        "",
        OPTIONAL,
        "File of the certificate to listen with, and of those up to its authority (PEM); empty: plain HTTP",
    ),
    key("tls", "key_file", "", OPTIONAL, "File of the private key of that certificate (PEM)"),
    key(
        "tls",
        "client_ca_file",
        "",
        OPTIONAL,
        "File of authorities of clients' certificates (PEM); empty: clients are asked for none",
    ),
    key(
        "tls",
        "client_cert",
        "required",
        Kind::Word(&["required", "optional"]),
        "With client_ca_file: whether a client may show none; one that is shown has to be good",
    ),
    key("tls", "min_version", "1.2", Kind::Word(&["1.2", "1.3"]), "Oldest version of TLS that is spoken"),
    key(
        "store",
        "path",
        "./data",
        TEXT,
        "Folder of the embedded store, or of what waits for Elasticsearch; one process at a time",
    ),
    key("engine", "misfire_grace_s", "30", number(1, DAY_S), "Seconds after which an unfired instant is a misfire"),
    key(
        "engine",
        "catch_up_window_s",
        "3600",
        number(0, 365 * DAY_S),
        "Seconds back within which a misfire is caught up",
    ),
    key(
        "engine",
        "catch_up_per_s",
        "100",
        number(1, 100_000),
        "Misfires caught up a second at most, of entries that fire all of theirs",
    ),
    key("dispatch", "timeout_s", "30", number(1, DAY_S), "Seconds one request may take, to the end of its answer"),
    key("dispatch", "connect_timeout_s", "10", number(1, 3_600), "Seconds that connecting may take"),
    key("dispatch", "in_flight_max", "4096", number(1, 1_000_000), "Requests in flight; further fires wait"),
    key(
        "dispatch",
        "in_flight_per_host_max",
        "512",
        number(1, 1_000_000),
        "The same for one host and port; others go on",
    ),
    key(
        "dispatch",
        "response_max_kib",
        "64",
        number(1, 1 << 20),
        "KiB of an answer that are kept; a longer one is cut",
    ),
    key(
        "dispatch",
        "result_max_mib",
        "16",
        number(0, 1 << 10),
        "MiB of an answer kept beside its record, if longer than response_max_kib or no text; 0: none",
    ),
    key(
        "dispatch",
        "retries_waiting_max",
        "100000",
        number(0, 10_000_000),
        "Runs that wait for another attempt; further ones fail",
    ),
    key("dispatch", "user_agent", DEFAULT_USER_AGENT, TEXT, "User-Agent of requests that set none"),
    key(
        "targets",
        "allow_targets",
        "",
        OPTIONAL,
        "Rules, separated by commas, of what may be reached though it is refused by default: loopback, 10.0.0.0/8, hooks.example.com:443",
    ),
    key("targets", "deny_targets", "", OPTIONAL, "Rules of what may not be reached, whatever allow_targets says"),
    key(
        "targets",
        "allow_only",
        "false",
        Kind::Word(&["true", "false"]),
        "true: only what allow_targets names may be reached",
    ),
    key("history", "retention_days", "30", number(1, 36_500), "Days that records are kept"),
    key("history", "size_max_mib", "10240", number(16, 1 << 30), "MiB of the store above which the oldest records go"),
    key(
        "history",
        "results_retention_days",
        "7",
        number(1, 36_500),
        "Days that results are kept: bodies of answers that are too large for a record, or no text",
    ),
    key(
        "history",
        "results_size_max_mib",
        "1024",
        number(16, 1 << 30),
        "MiB of results, beside the records, above which the oldest go",
    ),
    key(
        "history",
        "flush_interval_ms",
        "100",
        number(1, 60_000),
        "Milliseconds a record waits for others to be written with",
    ),
    key(
        "history",
        "records_waiting_max",
        "100000",
        number(100, 10_000_000),
        "Records that may wait to be written; then fires wait",
    ),
    key("history", "writes_in_flight_max", "4", number(1, 64), "Bulk writes of records that are under way at once"),
    key(
        "history",
        "spill_max_mib",
        "1024",
        number(1, 1 << 20),
        "MiB of records that may wait on the disk while Elasticsearch is away",
    ),
    key(
        "history",
        "when_spill_full",
        "stop_firing",
        Kind::Word(&["stop_firing", "drop_oldest"]),
        "stop_firing: fire late rather than lose a record; drop_oldest: lose the oldest records, counted",
    ),
    key("log", "level", "info", TEXT, "off, error, warn, info, debug, trace, or module=level pairs"),
    key("log", "format", "text", Kind::Word(&["text", "json"]), "text for people, json for one JSON object a line"),
    key("elasticsearch", "default_index", "schedule-service", TEXT, "Name of the history, `_index` of a search's hits"),
    key(
        "elasticsearch",
        "hosts",
        "",
        Kind::Hosts,
        "Hosts of a cluster, separated by commas; empty: the embedded store",
    ),
    key("elasticsearch", "username", "", OPTIONAL, "User for basic authentication"),
    key("elasticsearch", "password", "", Kind::Secret, "Password of that user"),
    key("elasticsearch", "cloud_id", "", OPTIONAL, "Cloud id, in place of hosts"),
    key("elasticsearch", "api_key", "", Kind::Secret, "API key (encoded), in place of user and password"),
    key("elasticsearch", "ca_file", "", OPTIONAL, "File of authorities to trust besides the public ones (PEM)"),
    key("elasticsearch", "timeout_s", "30", number(1, 600), "Seconds one request to the cluster may take"),
    key("elasticsearch", "compression", "false", Kind::Word(&["true", "false"]), "true: gzip to and from the cluster"),
    key("elasticsearch", "shards", "1", number(1, 64), "Primary shards of a month of history"),
    key("elasticsearch", "replicas", "1", number(0, 10), "Copies of each shard; 0 where there is one host only"),
    key("elasticsearch", "refresh_interval_s", "1", number(1, 3_600), "Seconds until a record can be searched"),
    key(
        "elasticsearch",
        "durability",
        "request",
        Kind::Word(&["request", "async"]),
        "request: a record counts as written after an fsync; async: before it (tasks and leases: always after)",
    ),
    key(
        "elasticsearch",
        "wait_for_active_shards",
        "1",
        TEXT,
        "Copies that must be there before a write is tried: a number, or all",
    ),
    key(
        "access",
        "admin_key",
        "",
        Kind::Secret,
        "Key that opens everything, 32 characters or more: for the first keys; empty: none",
    ),
    key(
        "access",
        "allow_anonymous",
        "false",
        Kind::Word(&["true", "false"]),
        "true: who shows no key may do everything, wherever the service listens and whatever keys there are",
    ),
    key(
        "access",
        "failed_tries_per_min",
        "30",
        number(1, 1_000_000),
        "Wrong keys that an address may show in a minute; further ones: 429",
    ),
    key(
        "cluster",
        "advertise_url",
        "",
        OPTIONAL,
        "Where the other nodes reach this one; empty: http, or https with [tls], the host or the machine's name, and the port of [server]",
    ),
    key(
        "cluster",
        "ca_file",
        "",
        OPTIONAL,
        "File of the only authorities that nodes trust among themselves over https (PEM); empty: those of the system",
    ),
    key(
        "cluster",
        "key",
        "",
        Kind::Secret,
        "Secret that all nodes share, 16 characters or more: with it they ask each other; empty: a single node",
    ),
    key("cluster", "ttl", "3s", TEXT, "Time after which a node that gives no sign of life is taken out: 500ms to 60s"),
    key(
        "secrets",
        "folder",
        "",
        OPTIONAL,
        "Folder with a file for each secret, such as /run/secrets; looked at each second; empty: none",
    ),
    key(
        "secrets",
        "key_file",
        "",
        OPTIONAL,
        "File of the keys by which the store's secrets are encrypted, one a line, the newest first; empty: none",
    ),
    key(
        "secrets",
        "mask_headers",
        "",
        OPTIONAL,
        "Headers that are masked like credentials, beside those named like one; separated by commas",
    ),
    key(
        "secrets",
        "show_headers",
        "",
        OPTIONAL,
        "Headers that are named like a credential and are not masked; separated by commas",
    ),
    key(
        "secrets",
        "core_dumps",
        "false",
        Kind::Word(&["true", "false"]),
        "true: a crash may write the memory of the process, and so secrets, into a file",
    ),
];

const DEFAULT_USER_AGENT: &str = concat!("schedule-service/", env!("CARGO_PKG_VERSION"));

impl Key {
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// Its value as it may be shown.
    pub(super) fn masked(&self, text: &str) -> String {
        match self.kind {
            Kind::Secret if !text.is_empty() => "***".to_owned(),
            // All that stands before the last `@` is hidden: a password may hold a comma or a slash.
            Kind::Hosts => text.rsplit_once('@').map_or(text.to_owned(), |(_, host)| format!("***@{host}")),
            Kind::Number(_) | Kind::Word(_) | Kind::Text { .. } | Kind::Secret => text.to_owned(),
        }
    }

    /// What was expected, for the text of a mistake.
    pub(super) fn expected(&self) -> String {
        match self.kind {
            Kind::Number(RangeInclusive64 { start, end }) => format!("a whole number from {start} to {end}"),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Text { .. } | Kind::Hosts | Kind::Secret => "a text".to_owned(),
        }
    }
}
