//! Entries: as they are put, and as they are shown.

use serde_json::json;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::operation::{Schemas, reference};
use super::options::{
    Auth, Bound, Callback, DeliveryPolicy, Description, Exclude, FiresMax, MisfirePolicy, OverlapPolicy, RedirectsMax,
    Retry, Sign, Success, Tag,
};
use super::words::{CronTime, Duration, EntryStateWord, Moment, Url, ZonedDate, one_of, words};

words! {
    /// The method of a request.
    Method = one_of(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]).default(Some(json!("POST")));

    /// Headers by their names, as HTTP allows them. Those that carry credentials are `***` in the history.
    Headers = ObjectBuilder::new()
        .additional_properties(Some(super::words::text(0, 8 * 1024)))
        .examples([json!({ "X-Source": "cron" })]);
}

/// What an entry says beside its trigger. What is left out, or `null`, has its default.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what is read")]
pub(super) struct EntryOptions {
    url: Url,
    method: Option<Method>,
    headers: Option<Headers>,
    /// Any JSON. `null`, `{}`, `[]` and `""` stand for an empty body.
    body: Option<serde_json::Value>,
    /// How long an attempt may take, 1ms to 24h; `[dispatch] timeout_s` if it is left out.
    timeout: Option<Duration>,
    success: Option<Success>,
    redirects_max: Option<RedirectsMax>,
    retry: Option<Retry>,
    overlap: Option<OverlapPolicy>,
    misfire: Option<MisfirePolicy>,
    /// How far back misfires are fired, 0s to 365d; `[engine] catch_up_window_s` if it is left out.
    catch_up_window: Option<Duration>,
    delivery: Option<DeliveryPolicy>,
    /// Each run starts up to so much later than its instant, 0s to 24h.
    jitter: Option<Duration>,
    /// The entry names no instant before.
    start_at: Option<Bound>,
    /// The entry names no instant after.
    end_at: Option<Bound>,
    fires_max: Option<FiresMax>,
    exclude: Option<Exclude>,
    /// `false`: the entry names nothing.
    #[schema(default = true)]
    enabled: Option<bool>,
    /// Words to find it by, each given once.
    #[schema(max_items = 32)]
    tags: Option<Vec<Tag>>,
    description: Option<Description>,
    /// Told when a run fails.
    on_failure: Option<Callback>,
    /// Told when a run succeeds.
    on_success: Option<Callback>,
    /// Told when a run succeeds after one that failed.
    on_recovery: Option<Callback>,
    sign: Option<Sign>,
    auth: Option<Auth>,
}

/// The three ways to say when, each with its text.
pub(super) fn triggers(schemas: &mut Schemas) -> [(&'static str, RefOr<Schema>); 3] {
    [
        ("cron_time", reference::<CronTime>(schemas)),
        ("every", reference::<Duration>(schemas)),
        ("at", reference::<Moment>(schemas)),
    ]
}

/// Exactly one of the three.
pub(super) fn trigger() -> OneOfBuilder {
    let one = |(key, schema)| ObjectBuilder::new().property(key, schema).required(key);
    let all = triggers(&mut Vec::new()).into_iter().map(one).fold(OneOfBuilder::new(), OneOfBuilder::item);
    all.description(Some(
        "When: exactly one of `cron_time`, `every` (whole seconds, aligned to the Unix epoch) and `at`.",
    ))
}

/// An entry as it is put: a trigger and a request.
pub(super) struct EntryRequest;

impl PartialSchema for EntryRequest {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new()
            .item(trigger())
            .item(Ref::from_schema_name(EntryOptions::name()))
            .description(Some("An entry as it is put: a trigger and a request. Dates that `/get` gave are ignored."))
            .into()
    }
}

impl ToSchema for EntryRequest {
    fn schemas(schemas: &mut Schemas) {
        triggers(schemas);
        reference::<EntryOptions>(schemas);
    }
}

/// An entry as it is shown: what was put, and its dates.
#[derive(ToSchema)]
#[schema(as = Entry)]
#[expect(dead_code, reason = "it only describes what `view` writes")]
pub(in crate::api) struct EntryAnswer {
    #[serde(flatten)]
    options: EntryOptions,
    #[schema(required = false)]
    cron_time: CronTime,
    #[schema(required = false)]
    every: Duration,
    #[schema(required = false)]
    at: Moment,
    /// The next instant.
    next_date: ZonedDate,
    /// The last instant that was fired.
    last_date: ZonedDate,
    /// In detail always, else only when it is `finished`.
    #[schema(required = false)]
    state: EntryStateWord,
}
