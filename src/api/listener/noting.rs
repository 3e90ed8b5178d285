//! Counts requests by what they ask for and how they are answered.

use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::api::openapi;
use crate::observe::metrics::RequestMetrics;

/// Below this path nodes ask each other, which no description tells of.
const OF_NODES: &str = "/cluster/";
/// The name of what they ask.
const BETWEEN_NODES: &str = "between_nodes";

/// A request that is under way.
pub(super) struct Noted {
    metrics: RequestMetrics,
    operation: Option<&'static str>,
    method: Method,
    begun: Instant,
}

impl Noted {
    /// It begins. Whatever path is asked for: there are only so many operations.
    pub(super) fn begin(metrics: &RequestMetrics, method: &Method, path: &str) -> Self {
        let operation = openapi::document().listed.operation(method, path);
        let operation = operation.or_else(|| path.starts_with(OF_NODES).then_some(BETWEEN_NODES));
        Self { metrics: metrics.clone(), operation, method: method.clone(), begun: Instant::now() }
    }

    /// Its answer begins to go out.
    pub(super) fn end(self, status: StatusCode) {
        self.metrics.note(self.operation, self.method.as_str(), status.as_u16(), self.begun.elapsed());
    }
}
