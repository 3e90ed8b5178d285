//! What is counted and measured.

use http::Method;
use utoipa::openapi::Content;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::tag::Tag;

use super::document;
use super::operation::{Operation, READ};
use super::words::any_text;

const TAG: &str = "metrics";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "For Prometheus and what reads its formats.")
}

pub(super) fn operations() -> Vec<Operation> {
    let text = || Content::new(Some(any_text()));
    let both = ResponseBuilder::new()
        .description(
            "The metrics of the node that answers: OpenMetrics 1.0 if `Accept` names it, else the text format 0.0.4",
        )
        .content("text/plain", text())
        .content("application/openmetrics-text", text());
    vec![
        Operation::new(Method::GET, "/metrics", READ, "getMetrics", TAG, "Tells what is counted and measured")
            .description(
                "Each node tells of itself. No metric names a task or a target. It needs a key that knows all tasks, or none where \
                 `[server] metrics_open` is `true`.",
            )
            .response(200, both)
            .shared(&[(405, "OtherMethod")]),
    ]
}
