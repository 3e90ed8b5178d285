//! What the service tells of itself.

use http::Method;
use utoipa::PartialSchema;
use utoipa::openapi::Content;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::tag::Tag;

use super::document;
use super::operation::{JSON, Needs, Operation};
use super::words::{any_text, one_of, words};
use crate::ui;

const TAG: &str = "description";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "This description, and a page to try it.")
}

words! {
    /// A file of the page.
    DocsFile = one_of(ui::DOCS.iter().map(|file| file.name).filter(|name| !name.is_empty()));
}

pub(super) fn operations() -> Vec<Operation> {
    let operation = |path, id, summary| {
        Operation::new(Method::GET, path, Needs::Nothing, id, TAG, summary).shared(&[(405, "OtherMethod")])
    };
    let page = || Content::new(Some(any_text()));
    let scripts_and_styles = ResponseBuilder::new()
        .description("A script or a style sheet")
        .content("text/javascript", page())
        .content("text/css", page());
    vec![
        operation("/openapi.json", "getDescription", "Describes everything that can be asked").content(
            200,
            "An OpenAPI 3.1 document",
            JSON,
            Content::new(Some(serde_json::Value::schema())),
        ),
        operation("/docs", "getDocs", "Shows a page to read and try this").content(
            200,
            "The page",
            "text/html",
            page(),
        ),
        operation("/docs/{file}", "getDocsFile", "Gives a file of the page")
            .path_parameter::<DocsFile>("file", "The name of the file", "docs.js")
            .response(200, scripts_and_styles)
            .shared(&[(404, "NotFound")]),
    ]
}
