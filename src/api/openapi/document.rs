//! The document, put together of the operations of all families.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::Method;
use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{
    ComponentsBuilder, Content, Header, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Response,
    Schema, ServerBuilder,
};

use super::listed::Listed;
use super::operation::{JSON, Operation, Schemas, reference};
use super::words::{MethodList, Refused, Seconds};
use super::{
    health, jobs, keys, logs, metrics, nodes, one_shot, operations, preview, secrets, security, service, tasks,
    versions,
};

const DESCRIPTION: &str = "Fires HTTP requests on time. A task is a named set of entries; each entry has a trigger and a \
    request, and every instant that the trigger names has exactly one recorded outcome.

**Answers of the task endpoints** have the status 200 and tell in the envelope how it went: `{\"error\":0,…}`, or \
    `{\"error\":1,\"msg\":…}` with one line for each mistake.

**Requests** may be compressed (`Content-Encoding: gzip`). A slash at the end of a path counts for nothing. A head that \
    is too large is answered 431, a URL that is too long 414, and what is no HTTP, or could be understood in two ways, 400.

**Keys.** Each operation says which role it needs; `admin` holds `write`, which holds `operate`, which holds `read`. A key is sent as \
    `Authorization: Bearer sk_…` or as `X-API-Key: sk_…`; a token of the issuer that is configured as `Authorization: Bearer <token>`. A client \
    certificate may stand in their place, where the configuration says so. A service that listens on a loopback address and has no keys \
    needs none.

A page to try all this is served at `/docs`.";

/// What is made of the operations.
pub(in crate::api) struct Document {
    /// The document as it is served.
    pub(in crate::api) json: Bytes,
    /// What is served at all.
    pub(in crate::api) listed: Listed,
}

/// The document, which is the same all the time.
pub(in crate::api) fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        let operations = operations();
        let listed = Listed::of(&operations);
        let json = open_api(operations).to_json().expect("a document can be written as JSON");
        Document { json: json.into(), listed }
    });
    &DOCUMENT
}

/// All operations, in the order in which they are shown.
fn operations() -> Vec<Operation> {
    let families = [
        tasks::operations(),
        versions::operations(),
        preview::operations(),
        jobs::operations(),
        one_shot::operations(),
        operations::operations(),
        logs::operations(),
        nodes::operations(),
        keys::operations(),
        secrets::operations(),
        health::operations(),
        metrics::operations(),
        service::operations(),
    ];
    families.into_iter().flatten().collect()
}

fn tags() -> Vec<Tag> {
    let [bulk, versions] = versions::tags();
    vec![
        tasks::tag(),
        bulk,
        versions,
        preview::tag(),
        jobs::tag(),
        one_shot::tag(),
        operations::tag(),
        logs::tag(),
        nodes::tag(),
        keys::tag(),
        secrets::tag(),
        health::tag(),
        metrics::tag(),
        service::tag(),
    ]
}

/// A family of operations.
pub(super) fn tag(name: &str, description: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(description)).build()
}

fn open_api(operations: Vec<Operation>) -> OpenApi {
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let mut paths = Paths::new();
    for operation in operations {
        schemas.extend(operation.schemas);
        let mut described = operation.described.build();
        security::tell(&mut described, operation.needs, operation.path);
        let described = match operation.also {
            [] => described,
            also => {
                let places: Vec<String> = also.iter().map(|path| format!("`{path}`")).collect();
                let text = format!("Also at {}.", places.join(", "));
                let before = described.description.map(|before| format!("{before}\n\n")).unwrap_or_default();
                described.description = Some(before + &text);
                described
            }
        };
        let item = PathItem::new(http_method(&operation.method), described);
        match paths.paths.get_mut(operation.path) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(operation.path.to_owned(), item)),
        }
    }
    let responses = responses(&mut schemas);
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).responses_from_iter(responses);
    let components = security::schemes(components).build();
    let license = LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build();
    let info = InfoBuilder::new()
        .title("schedule-service")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(paths)
        .components(Some(components))
        .tags(Some(tags()))
        .build()
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "GET" => HttpMethod::Get,
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "HEAD" => HttpMethod::Head,
        other => unreachable!("no operation has the method {other}"),
    }
}

/// What operations in the envelope share: a body that cannot be read, another method, no room.
pub(super) const BODY_FAILURES: [(u16, &str); 6] = [
    (400, "Unreadable"),
    (405, "OtherMethod"),
    (408, "TooSlow"),
    (413, "TooLarge"),
    (415, "UnknownEncoding"),
    (503, "Busy"),
];

/// Answers that operations share, by their names.
fn responses(schemas: &mut BTreeMap<String, RefOr<Schema>>) -> Vec<(&'static str, Response)> {
    let mut needed = Schemas::new();
    let refused = reference::<Refused>(&mut needed);
    let (methods, seconds) = (reference::<MethodList>(&mut needed), reference::<Seconds>(&mut needed));
    let challenge = security::challenge(&mut needed);
    let more = [jobs::responses(&mut needed), one_shot::responses(&mut needed)];
    schemas.extend(needed);
    let response =
        |text: &str| ResponseBuilder::new().description(text).content(JSON, Content::new(Some(refused.clone())));
    let own = vec![
        ("NoKey", security::challenged(response(security::NO_KEY), &challenge)),
        ("NotAllowed", response(security::NOT_ALLOWED).build()),
        ("TooMany", response(security::TOO_MANY).header("Retry-After", Header::new(seconds.clone())).build()),
        ("Unreadable", response("The body broke off, or is no gzip").build()),
        ("Unclear", response("The path or the query cannot be read").build()),
        ("NotFound", response("There is no such path").build()),
        ("OtherMethod", response("The path takes another method").header("Allow", Header::new(methods)).build()),
        ("TooSlow", response("The body did not come in time (`[server] body_timeout_s`)").build()),
        ("TooLarge", response("The body is larger than `[server] max_body`, also after it is unpacked").build()),
        ("UnknownEncoding", response("The `Content-Encoding` is neither `gzip` nor `identity`").build()),
        ("Busy", response("Overloaded, loading or going down").header("Retry-After", Header::new(seconds)).build()),
    ];
    more.into_iter().flatten().chain(own).collect()
}
