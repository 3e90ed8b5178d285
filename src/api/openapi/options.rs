//! What an entry may say of its runs.

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Type};

use super::entry::{Headers, Method};
use super::words::{Duration, Moment, Statuses, Url, any_text, format, one_of, pattern, text, whole, words};
use crate::model::{Delivery, Misfire, Overlap};

words! {
    /// What happens when an instant comes while a run of the entry is in progress.
    OverlapPolicy = one_of(Overlap::ALL.iter().map(|it| it.as_str())).default(Some(json!("allow")));

    /// What happens with instants that passed unfired: none is fired, the newest stands for all, or each is fired.
    MisfirePolicy = one_of(Misfire::ALL.iter().map(|it| it.as_str())).default(Some(json!("fire_once")));

    /// What a crash does to a run that may have been sent: it is sent again, or it is not.
    DeliveryPolicy = one_of(Delivery::ALL.iter().map(|it| it.as_str())).default(Some(json!("at_least_once")));

    /// A word to find an entry by: 1 to 64 bytes.
    Tag = text(1, 64).examples(["billing"]);

    /// What an entry is for: at most 4 KiB.
    Description = text(0, 4 * 1024);

    /// How many redirects are followed; each place is judged as the first one was.
    RedirectsMax = whole(0, 10).default(Some(json!(0)));

    /// How many instants the entry names at most, counted from its put.
    FiresMax = whole(1, 1_000_000_000);

    /// A text of at most 1 KiB.
    BodyText = text(1, 1_024);

    /// A regular expression of at most 1 KiB.
    BodyExpression = text(1, 1_024).format(format("regex"));

    /// A failure after which another attempt is made: `timeout`, `connect`, or statuses.
    RetryReason = AnyOfBuilder::new()
        .item(one_of(["timeout", "connect"]))
        .item(whole(100, 999))
        .item(pattern("^[1-9](xx|[0-9]{2}|[0-9]{2}-[1-9][0-9]{2})$"));

    /// How many attempts there are at most, the first included.
    AttemptsMax = whole(1, 20).default(Some(json!(3)));

    /// How much longer each pause is than the one before.
    Factor = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(1)).maximum(Some(100)).default(Some(json!(2)));

    /// `full`: a pause is a random part of its length.
    BackoffJitter = one_of(["full", "none"]).default(Some(json!("full")));

    /// Days in the zone of the task.
    Dates = ArrayBuilder::new()
        .items(pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$").format(format("date")))
        .max_items(Some(1_000))
        .examples([json!(["2026-12-25"])]);

    /// Days of the week, at most six of them, in any case.
    Weekdays = ArrayBuilder::new()
        .items(one_of(["sun", "mon", "tue", "wed", "thu", "fri", "sat"]))
        .max_items(Some(7))
        .examples([json!(["sat", "sun"])]);

    /// `whsec_` and the Base64 of 24 to 64 bytes; `whsec_` may be left out. It may name a secret.
    SigningSecret = any_text().format(format("signing-secret")).examples(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);

    /// No colon and no control character; at most 8 KiB.
    AuthUser = any_text().format(format("auth-user")).examples(["reporter"]);

    /// No control character; at most 8 KiB.
    AuthPassword = any_text().format(format("auth-password"));

    /// Visible ASCII; at most 8 KiB.
    AuthToken = any_text().format(format("auth-token"));

    /// At most 8 KiB.
    AuthText = any_text().format(format("auth-text")).examples(["scheduler"]);

    /// Where the server is shown id and secret: in `Authorization`, or in the body.
    ClientAuth = one_of(["basic", "body"]).default(Some(json!("basic")));

    /// Of which runs is told: of those that change the state of the entry, or of each.
    CallbackEvery = one_of(["change", "run"]).default(Some(json!("change")));

}

/// Which answers are a success. All that is given must hold; without `status` any 2xx.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) struct Success {
    #[schema(min_items = 1, max_items = 100)]
    status: Option<Vec<Statuses>>,
    /// A text that the body holds.
    body_contains: Option<BodyText>,
    /// An expression that matches in the body.
    body_matches: Option<BodyExpression>,
}

/// When a failed attempt is made again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) struct Retry {
    attempts_max: Option<AttemptsMax>,
    backoff: Option<Backoff>,
    /// `["timeout","connect",408,425,429,"5xx"]` if it is left out.
    #[schema(min_items = 1, max_items = 100)]
    on: Option<Vec<RetryReason>>,
}

/// Pauses that grow from one attempt to the next. `Retry-After` of the target is their lower bound.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) struct Backoff {
    /// The first pause, 1ms to 24h; `1s` if it is left out.
    initial: Option<Duration>,
    /// The longest pause, 1ms to 24h; `1m` if it is left out.
    max: Option<Duration>,
    factor: Option<Factor>,
    jitter: Option<BackoffJitter>,
}

/// Days on which the entry names nothing.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) struct Exclude {
    dates: Option<Dates>,
    weekdays: Option<Weekdays>,
}

/// Whom to tell of a run's end. Without a body it carries the event as JSON.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) struct Callback {
    url: Url,
    method: Option<Method>,
    headers: Option<Headers>,
    body: Option<serde_json::Value>,
    every: Option<CallbackEvery>,
    sign: Option<Sign>,
    auth: Option<Auth>,
}

/// Gives `Authorization`. Its texts may name secrets. `password`, `token` and `client_secret` are `***` in the history, and for those
/// who may only read; a put that sends `***` back keeps them.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) enum Auth {
    /// A user and a password (RFC 7617).
    #[serde(deny_unknown_fields)]
    Basic { username: AuthUser, password: AuthPassword },
    /// A token (RFC 6750).
    #[serde(deny_unknown_fields)]
    Bearer { token: AuthToken },
    /// A token that a server gives for some time (RFC 6749, section 4.4).
    #[serde(deny_unknown_fields)]
    OAuth2 {
        token_url: Url,
        client_id: AuthText,
        client_secret: AuthText,
        scope: Option<AuthText>,
        audience: Option<AuthText>,
        client_auth: Option<ClientAuth>,
    },
}

/// Signs the request by Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`. The secrets are `***` in the
/// history, and for those who may only read; a put that sends `***` back keeps them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what the model reads")]
pub(super) struct Sign {
    /// One, or two while one takes the place of the other: then the request has a signature of each.
    #[schema(min_items = 1, max_items = 2)]
    secrets: Vec<SigningSecret>,
}

/// Bounds in time of what an entry names.
pub(super) type Bound = Moment;
