//! What browsers are given: bytes that are part of the program. Knows nothing else.

/// A file for a browser.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its name; empty for the page itself.
    pub name: &'static str,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// The page that shows what can be asked, and asks it.
pub const DOCS: [File; 6] = [
    File { name: "", content_type: HTML, bytes: include_bytes!("docs/index.html") },
    File { name: "docs.css", content_type: CSS, bytes: include_bytes!("docs/docs.css") },
    File { name: "docs.js", content_type: JAVASCRIPT, bytes: include_bytes!("docs/docs.js") },
    File { name: "form.js", content_type: JAVASCRIPT, bytes: include_bytes!("docs/form.js") },
    File { name: "schema.js", content_type: JAVASCRIPT, bytes: include_bytes!("docs/schema.js") },
    File { name: "text.js", content_type: JAVASCRIPT, bytes: include_bytes!("docs/text.js") },
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
