//! What clients ask, and how it is answered.

use std::borrow::Cow;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::Histogram;
use super::series::Labels;

/// The methods that are named. Any other one is `other`: a client may send what it likes.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
const OTHER: &str = "other";

/// Requests to the service. Labels are looked up here: these are far fewer than fires.
#[derive(Clone, Debug, Default)]
pub struct RequestMetrics {
    requests: Family<Labels<3>, Counter>,
    duration: Family<Labels<1>, Histogram>,
}

impl RequestMetrics {
    /// A request was answered. `operation`: its name in the description; `None`: that tells nothing of it.
    pub fn note(&self, operation: Option<&'static str>, method: &str, status: u16, took: Duration) {
        let operation: Cow<'static, str> = operation.unwrap_or(OTHER).into();
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER);
        let labels =
            [("operation", operation.clone()), ("method", method.into()), ("status", status.to_string().into())];
        self.requests.get_or_create_owned(&labels).inc();
        self.duration.get_or_create_owned(&[("operation", operation)]).observe(took);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests to the service, by their operation in the description, method and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
    }
}
