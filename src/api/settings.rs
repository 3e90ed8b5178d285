use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::HeaderName;

use super::audit::AuditSettings;
use super::listener::TlsSettings;
use super::put_limits::PutLimits;
use crate::model::TimeZone;

/// How the service listens, and how much it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The largest request body, in bytes, also after decompression. A larger one is answered 413.
    pub body_max: usize,
    /// The largest head of a request, in bytes. A larger one is answered 431.
    pub head_max: usize,
    /// How many headers a request may have. More are answered 431.
    pub headers_max: usize,
    /// The longest URL of a request, in bytes. A longer one is answered 414.
    pub url_max: usize,
    /// How long a client may take to send the head of a request, with the TLS handshake before the first one. Then its connection is
    /// closed.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests. Then it is closed.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer. Then its connection is cut.
    pub write_timeout: Duration,
    /// How long a client may take to send a body. Then it is answered 408.
    pub body_timeout: Duration,
    /// How many connections may be open. For a further one an idle one is closed; while all are busy it waits.
    pub connections_max: usize,
    /// How many of them one address may have. Further ones are closed at once.
    pub connections_per_address_max: usize,
    /// How many requests may be under way over one connection of HTTP/2. Further ones wait, or are reset.
    pub streams_max: u32,
    /// How many requests may be worked on. Further ones are answered 503.
    pub requests_max: usize,
    /// What a task that is put may hold.
    pub put_limits: PutLimits,
    /// The header in which a trusted proxy names the user; `None`: everybody is anonymous.
    pub remote_user_header: Option<HeaderName>,
    /// Whether metrics are shown to who shows no key.
    pub metrics_open: bool,
    /// The zone of dates that have no offset and belong to no task.
    pub default_time_zone: TimeZone,
    /// The name that `/search` gives as `_index`.
    pub index_name: String,
    /// What is noted of requests.
    pub audit: AuditSettings,
    /// How TLS is spoken; `None`: it is not.
    pub tls: Option<TlsSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 3000,
            body_max: 1024 * 1024,
            head_max: 64 * 1024,
            headers_max: 100,
            url_max: 8 * 1024,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(300),
            body_timeout: Duration::from_secs(30),
            connections_max: 4_096,
            connections_per_address_max: 1_024,
            streams_max: 128,
            requests_max: 1_024,
            put_limits: PutLimits::default(),
            remote_user_header: None,
            metrics_open: false,
            default_time_zone: TimeZone::UTC,
            index_name: "schedule-service".to_owned(),
            audit: AuditSettings::default(),
            tls: None,
        }
    }
}
