//! The small words of which requests and answers are made, each with its bounds. Where the model has a bound or a list of
//! words, it is taken from there.

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::access::Role;
use crate::cluster::Reason;
use crate::model::cron::CronExpr;
use crate::model::{NAME_LEN_MAX, RecordKind, TargetUrl, Trigger};
use crate::secrets::Source;

const SECRET_SOURCES: [Source; 3] = [Source::Environment, Source::Folder, Source::Store];
const OWNER_CHANGES: [Reason; 5] = [Reason::Free, Reason::HandedOver, Reason::Silent, Reason::Restarted, Reason::Left];

/// A text of so many letters.
pub(super) fn text(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(min)).max_length(Some(max))
}

/// A text of any length.
pub(super) fn any_text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text that an expression describes from its first to its last letter.
pub(super) fn pattern(expression: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(expression))
}

/// One of some words.
pub(super) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

/// A whole number within a range.
pub(super) fn whole(min: i64, max: i64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max))
}

/// A whole number that is only bounded from below.
pub(super) fn at_least(min: i64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min))
}

pub(super) fn format(name: &str) -> Option<SchemaFormat> {
    Some(SchemaFormat::Custom(name.to_owned()))
}

fn date_time() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).format(format("date-time"))
}

/// The schema of an object of which only these members are always there.
pub(super) fn requiring(schema: RefOr<Schema>, members: &[&str]) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else { unreachable!("a struct is described as an object") };
    object.required = members.iter().map(|&member| member.to_owned()).collect();
    Schema::Object(object).into()
}

/// Describes types by hand: each with its name, its text and its schema.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(in crate::api) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let lines: Vec<&str> = [$($doc),+].iter().map(|line| line.trim()).collect();
                $schema.description(Some(lines.join(" "))).into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}
pub(super) use words;

words! {
    /// The name of a task: any Unicode, 1 to 256 bytes in UTF-8.
    Identity = text(1, NAME_LEN_MAX).format(format("identity")).examples(["backup"]);

    /// The name of an entry within its task: any Unicode, 1 to 256 bytes in UTF-8.
    EntryName = text(1, NAME_LEN_MAX).format(format("entry-name")).examples(["nightly"]);

    /// The name of a secret: ASCII letters, digits, `_`, `-` and `.`, the first a letter, a digit or `_`.
    SecretName = pattern("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$").examples(["db-password"]);

    /// Where a secret comes from.
    SecretSource = one_of(SECRET_SOURCES.iter().map(|source| source.as_str()));

    /// A zone by its exact IANA name.
    TimeZone = pattern("^[A-Za-z0-9_+/-]{1,64}$").format(format("time-zone")).examples(["UTC", "Europe/Berlin"]);

    /// Six fields, seconds first, or `@every 1h30m`, `@hourly` and the like; `CRON_TZ=` may stand before it.
    CronTime = text(1, CronExpr::LEN_MAX).format(format("cron-time")).examples(["0 0 3 * * MON-FRI"]);

    /// Where a request goes: an `http` or `https` URL with a host, at most 8 KiB.
    Url = pattern("^[Hh][Tt][Tt][Pp][Ss]?:")
        .max_length(Some(TargetUrl::LEN_MAX))
        .format(format("http-url"))
        .examples(["https://example.com/backup"]);

    /// Why shards changed their owner: nobody had them, both nodes live, or the former owner gave no sign of life, was started anew,
    /// or went.
    OwnerChange = one_of(OWNER_CHANGES.iter().map(|reason| reason.as_str()));

    /// Numbers with units: `d`, `h`, `m`, `s`, `ms`; whole milliseconds.
    Duration = pattern(r"^([0-9]+(\.[0-9]+)?(d|h|m|s|ms))+$").max_length(Some(64)).examples(["1h30m"]);

    /// A moment: RFC 3339 with an offset, from 1970 to 9999, to the millisecond.
    Moment = date_time().examples(["2026-12-24T18:00:00+01:00"]);

    /// A moment: RFC 3339 with the offset of the task's zone. Never is `0001-01-01T00:00:00Z`.
    ZonedDate = date_time().examples(["2026-12-24T18:00:00+01:00"]);

    /// A moment: RFC 3339 in UTC, to the millisecond.
    UtcDate = date_time().examples(["2026-12-24T17:00:00.000Z"]);

    /// An HTTP status.
    Status = whole(100, 999).examples([503]);

    /// HTTP statuses: a number, a class such as `"5xx"`, or a range such as `"500-503"`.
    Statuses = AnyOfBuilder::new()
        .item(whole(100, 999))
        .item(pattern("^[1-9](xx|[0-9]{2}|[0-9]{2}-[1-9][0-9]{2})$"))
        .examples([json!("5xx")]);

    /// The id of a run or of another record.
    RecordUuid = ObjectBuilder::new().schema_type(Type::String).format(format("uuid"))
        .examples(["019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f"]);

    /// What a record tells.
    RecordType = one_of(RecordKind::ALL.map(RecordKind::as_str));

    /// Seconds since the Unix epoch.
    UnixSeconds = ObjectBuilder::new().schema_type(Type::Integer).format(format("int64")).examples([1_795_000_000]);

    /// Milliseconds.
    Millis = at_least(0).examples([120]);

    /// How many there are.
    Count = at_least(0);

    /// Always 0: it is done.
    Zero = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([0]));

    /// Always 1: it is not done.
    One = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1]));

    /// `eq`: exactly; `gte`: at least.
    Relation = one_of(["eq", "gte"]);

    /// 0: it is done; 1: it is not.
    ZeroOrOne = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([0, 1]));

    /// The number of a revision.
    RevisionNumber = at_least(0);

    /// Whether an entry fires: `stopped` with its task, `disabled` by itself, `finished` when it names nothing more.
    EntryStateWord = one_of(["active", "stopped", "disabled", "finished"]);

    /// What made a version.
    VersionType = one_of(["put", "running"]);

    /// A job: `identity:entry`, each part percent-encoded, as the listing gives it.
    JobId = any_text().format(format("job-id")).examples(["backup:nightly"]);

    /// Where a run stands.
    RunStatus = one_of(["IN_PROGRESS", "SUCCEEDED", "FAILED"]);

    /// Whether a run of the job is under way, or waits.
    ActivityStatus = one_of(["IDLE", "QUEUED", "RUNNING"]);

    /// Why a run was made.
    TriggerWord = one_of(Trigger::ALL.map(Trigger::as_str));

    /// The id of a request at one instant.
    OneShotId = any_text().format(format("one-shot-id")).examples(["019b5271-ae80-7000-8000-000000000000"]);

    /// Where a request at one instant stands.
    OneShotStatus = one_of(["scheduled", "succeeded", "failed"]);

    /// A day or a moment: `20220221`, `20220221T061500` or ISO 8601; without an offset in the zone of the task.
    LooseDate = any_text().format(format("loose-date")).examples(["20261121", "20261121T061500", "2026-11-21T06:15:00+01:00"]);

    /// Methods, separated by commas.
    MethodList = ObjectBuilder::new().schema_type(Type::String);

    /// Seconds.
    Seconds = at_least(0);

    /// How a key is sent.
    Challenge = ObjectBuilder::new().schema_type(Type::String);

    /// What may be done. `admin` holds `write`, which holds `operate`, which holds `read`.
    RoleWord = one_of(Role::ALL.map(Role::as_str));

    /// The id of a key. It is no secret.
    KeyId = any_text().format(format("key-id")).examples(["0123456789abcdef"]);

    /// Whether a key opens anything.
    KeyStanding = one_of(["valid", "expired", "revoked"]);
}

/// A request that is not done, and why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `reply` writes")]
pub(in crate::api) struct Refused {
    error: One,
    /// One line for each mistake.
    msg: String,
    /// The revision in force, where the request expected another one.
    #[schema(required = false)]
    revision: u64,
}
