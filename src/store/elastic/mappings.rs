//! The mappings of our indices.

use serde_json::{Value, json};

/// The log documents. What clients and targets bring, any JSON, is kept but not looked into: it can neither be refused, nor
/// make a conflict, nor add fields. Its words are searched through `record.text`.
pub(super) fn log_mapping() -> Value {
    let mut mapping = json!({ "dynamic": "strict", "properties": { "record": { "properties": extract_fields() } } });
    let fields = [contract_fields(), outcome_fields(), run_fields(), audit_fields()];
    for (name, field) in fields.into_iter().filter_map(|fields| fields.as_object().cloned()).flatten() {
        mapping["properties"][name] = field;
    }
    mapping
}

/// A word that others choose: one that is too long for an index is kept, and not found.
fn foreign_keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": 2048 })
}

/// Fields of any form, kept as they are.
fn kept() -> Value {
    json!({ "type": "object", "enabled": false })
}

/// What log documents have had since the mirrored service.
fn contract_fields() -> Value {
    let (keyword, text) = (json!({ "type": "keyword" }), json!({ "type": "text" }));
    let searched = json!({ "type": "text", "fields": { "keyword": foreign_keyword() } });
    json!({
        "type": keyword, "identity": keyword, "key": keyword, "url": searched,
        "header": { "type": "flattened", "ignore_above": 1024 },
        "body": kept(), "response": kept(), "message": searched,
        "time": { "type": "long" }, "@timestamp": { "type": "date" },
        "by": foreign_keyword(), "note": text,
        "parked": foreign_keyword(), "parked_source": kept(),
    })
}

/// What became of instants.
fn outcome_fields() -> Value {
    let (keyword, boolean) = (json!({ "type": "keyword" }), json!({ "type": "boolean" }));
    let (date, long) = (json!({ "type": "date" }), json!({ "type": "long" }));
    json!({
        "run_id": keyword, "fire_time": date, "due_at": date, "first": date, "last": date, "count": long,
        "policy": keyword, "reason": { "type": "text", "fields": { "keyword": foreign_keyword() } },
        "trigger": keyword, "redelivered": boolean,
        "started_at": date, "lateness_ms": long, "duration_ms": long, "status": { "type": "integer" },
        "response_truncated": boolean, "response_lead": kept(), "response_trail": kept(),
    })
}

/// What only runs have.
fn run_fields() -> Value {
    let (keyword, boolean) = (json!({ "type": "keyword" }), json!({ "type": "boolean" }));
    let long = json!({ "type": "long" });
    json!({
        "run_by": foreign_keyword(), "args": foreign_keyword(), "attempts": kept(),
        "state": keyword, "phase": long, "revision": long,
        "resume_at": { "type": "date" },
        "dead_letter": boolean, "rerun_of": keyword, "rerun_as": keyword, "discarded_by": foreign_keyword(),
        "backfill": keyword, "backfill_at_once": long, "callback": keyword, "callback_of": keyword,
        "result_size": long, "content_type": foreign_keyword(), "result_pieces": long, "result_truncated": boolean,
        "result_error": { "type": "text" }, "redirects": long, "last_url": foreign_keyword(),
    })
}

/// What only audit records have. The states of what was changed are kept and not looked into.
fn audit_fields() -> Value {
    let (keyword, long) = (json!({ "type": "keyword" }), json!({ "type": "long" }));
    json!({
        "operation": keyword, "path": foreign_keyword(), "outcome": keyword, "source": keyword, "from": keyword, "object": keyword,
        "name": foreign_keyword(), "before": kept(), "after": kept(),
        "before_revision": long, "unlogged": long,
    })
}

/// What our searches need of a record.
fn extract_fields() -> Value {
    let (long, boolean) = (json!({ "type": "long" }), json!({ "type": "boolean" }));
    json!({
        "seq": long, "first": long, "last": long, "at": long, "count": long, "instant": long,
        "run": boolean, "phase": long, "dead": boolean,
        // Whatever the options are: they make no new fields.
        "policy": { "type": "flattened", "ignore_above": 1024 },
        "target": foreign_keyword(),
        "text": { "type": "text" },
    })
}

/// Tasks, their past states, the marks of deletions, and what is paused.
pub(super) fn task_mapping() -> Value {
    let (keyword, long) = (json!({ "type": "keyword" }), json!({ "type": "long" }));
    let boolean = json!({ "type": "boolean" });
    json!({
        "dynamic": "strict",
        "properties": {
            "kind": keyword, "identity": keyword, "shard": long, "number": long,
            "in_force": boolean, "enabled": boolean,
            "put_at": long, "in_force_from": long, "in_force_until": long, "changed_at": long,
            "epoch": long,
            "by": foreign_keyword(), "note": kept(),
            "document": kept(), "record": kept(), "replaced": kept(),
            "through": long, "cleared_seq": long,
            "version": long, "pauses": kept(),
            "format": { "type": "long", "index": false },
        },
    })
}

/// Pieces of results. What they hold is kept and not looked into.
pub(super) fn result_mapping() -> Value {
    let (keyword, long) = (json!({ "type": "keyword" }), json!({ "type": "long" }));
    json!({
        "dynamic": "strict",
        "properties": {
            "run_id": keyword, "number": long, "instant": long, "size": long, "bytes": { "type": "binary" },
        },
    })
}

/// Leases, and what the nodes have agreed on.
pub(super) fn lease_mapping() -> Value {
    let long = json!({ "type": "long", "index": false });
    json!({
        "dynamic": "strict",
        "properties": {
            "shard": long, "owner": { "type": "keyword" }, "epoch": long,
            "claimed_through": long, "settled_through": long, "format": long,
            "version": long, "register": kept(),
        },
    })
}
