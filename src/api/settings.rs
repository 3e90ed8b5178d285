use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::HeaderName;

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
    /// How long a client may take to send the head of a request. Then its connection is closed.
    pub header_timeout: Duration,
    /// How long a client may take to send a body. Then it is answered 408.
    pub body_timeout: Duration,
    /// How many connections may be open. Further ones wait to be accepted.
    pub connections_max: usize,
    /// How many requests may be worked on. Further ones are answered 503.
    pub requests_max: usize,
    /// The header in which a trusted proxy names the user; `None`: everybody is anonymous.
    pub remote_user_header: Option<HeaderName>,
    /// The zone of dates that have no offset and belong to no task.
    pub default_time_zone: TimeZone,
    /// The name that `/search` gives as `_index`.
    pub index_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 3000,
            body_max: 1024 * 1024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            connections_max: 4_096,
            requests_max: 1_024,
            remote_user_header: None,
            default_time_zone: TimeZone::UTC,
            index_name: "schedule-service".to_owned(),
        }
    }
}
