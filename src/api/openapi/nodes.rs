//! The nodes that share the store.

use http::Method;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::tag::Tag;

use super::document::{self, BODY_FAILURES};
use super::operation::{ADMIN, Operation, READ};
use super::words::{text, words};
use crate::api::nodes::ClusterView;
use crate::api::reply::Done;

const TAG: &str = "cluster";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "The nodes that share the store: who lives, who owns what, and what changed hands.")
}

words! {
    /// The id or the URL of a node.
    NodeName = text(1, 1_024).examples(["http://10.0.0.7:3000"]);
}

/// A node that is to give its shards away.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `nodes` reads")]
struct DrainRequest {
    node: NodeName,
    /// `false`: it takes part again.
    #[schema(default = true)]
    drained: Option<bool>,
}

pub(super) fn operations() -> Vec<Operation> {
    let node = json!({
        "id": "0b5e7a3c-52a1-4d0f-9a55-2f6f0e1f7a11", "url": "http://10.0.0.7:3000", "is_me": true, "is_leaving": false,
        "joined": "2026-11-21T06:15:30.123Z", "silent_ms": 310, "clock_ahead_ms": 0,
        "clock_ahead_within_ms": 0, "shards": 64,
    });
    let shard = json!({
        "shard": 0, "owner": "http://10.0.0.7:3000", "epoch": 3, "claimed_through": "2026-11-21T06:20:02.000Z",
        "settled_through": "2026-11-21T06:20:00.412Z",
    });
    let change = json!({
        "at": "2026-11-21T06:15:30.201Z", "from": null, "to": "http://10.0.0.7:3000", "reason": "free", "shards": [0, 1, 2],
    });
    let answer = json!({ "ttl_ms": 3000, "nodes": [node], "shards": [shard], "changes": [change] });
    vec![
        Operation::new(Method::GET, "/cluster", READ, "getCluster", TAG, "Tells which node lives and which owns what")
            .description(
                "As the node that answers has seen it last. A service on the embedded store has no nodes beside it.",
            )
            .data::<ClusterView<'_>>("The cluster", answer)
            .shared(&[(405, "OtherMethod"), (503, "Busy")]),
        Operation::new(
            Method::POST,
            "/cluster/drain",
            ADMIN,
            "drainNode",
            TAG,
            "Has a node give its shards to the others",
        )
        .description("It stays, answers, and takes no shards until it is asked to take part again, or is started anew.")
        .json::<DrainRequest>(json!({ "node": "http://10.0.0.7:3000" }))
        .done::<Done<'_>>("It begins to; or why not")
        .shared(&BODY_FAILURES),
    ]
}
