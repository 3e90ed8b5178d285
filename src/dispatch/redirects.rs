//! Follows redirects, as far as an entry wants it. Which request comes next is a pure rule; each one is judged as the first was.

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HOST, HeaderName, LOCATION,
};
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use super::OutgoingRequest;
use super::attempt::{Answer, Transport, TransportError};
use crate::model::{Header, SIGNATURE_HEADERS, TargetUrl};

/// What only a body needs.
const OF_BODY: [HeaderName; 5] = [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE];

/// An answer, and how it was come by.
pub(super) struct Arrived {
    pub(super) answer: Answer,
    /// How many redirects were followed.
    pub(super) redirects: u32,
    /// Where the last of them led, its password masked; `None`: none was followed.
    pub(super) last_url: Option<Box<str>>,
}

/// Sends a request and follows at most so many redirects. With none an answer that redirects stands as it is.
pub(super) async fn send(
    transport: &dyn Transport,
    mut request: OutgoingRequest,
    redirects_max: u32,
) -> Result<Arrived, TransportError> {
    if redirects_max == 0 {
        return Ok(Arrived { answer: transport.send(request).await?, redirects: 0, last_url: None });
    }
    let mut redirects = 0;
    loop {
        let sent = request.clone();
        let answer = transport.send(request).await.map_err(|error| at(error, redirects, &sent.url))?;
        let Some(target) = redirect(&sent.url, answer.status, &answer.headers) else {
            let last_url = (redirects > 0).then(|| masked(&sent.url));
            return Ok(Arrived { answer, redirects, last_url });
        };
        if redirects == redirects_max {
            return Err(TransportError::Refused(format!("answered with more than {redirects_max} redirects")));
        }
        redirects += 1;
        let refused = |why| TransportError::Refused(format!("refused: redirect {redirects} {why}"));
        request = next(sent, answer.status, target).map_err(refused)?;
    }
}

fn masked(url: &Url) -> Box<str> {
    let whole = TargetUrl::parse(url.as_str()).map(|url| url.masked().into());
    whole.unwrap_or_else(|_| origin(url).into())
}

/// A URL without what may be a credential.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The same error; after a redirect it says where it happened.
fn at(error: TransportError, redirects: u32, url: &Url) -> TransportError {
    let told = |text: String| match redirects {
        0 => text,
        _ => format!("{text} (after redirect {redirects}, to {})", origin(url)),
    };
    match error {
        TransportError::Broken(text) => TransportError::Broken(told(text)),
        TransportError::Refused(text) => TransportError::Refused(told(text)),
    }
}

/// Where an answer wants its client to go. `None`: nowhere, or it does not say where so that it can be read.
fn redirect(from: &Url, status: u16, headers: &HeaderMap) -> Option<Url> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut given = headers.get_all(LOCATION).iter();
    let (Some(location), None) = (given.next(), given.next()) else { return None };
    let location = std::str::from_utf8(location.as_bytes()).ok().filter(|text| text.len() <= TargetUrl::LEN_MAX)?;
    from.join(location).ok().filter(|url| url.as_str().len() <= TargetUrl::LEN_MAX)
}

/// The request that a redirect asks for, or why it is not made. Methods change as in browsers (RFC 9110 15.4, Fetch 4.4).
fn next(sent: OutgoingRequest, status: u16, mut url: Url) -> Result<OutgoingRequest, String> {
    match (sent.url.scheme(), url.scheme()) {
        ("http", "http" | "https") | ("https", "https") => {}
        ("https", "http") => return Err(format!("goes from https to http, to {}", origin(&url))),
        (_, other) => {
            let scheme: String = other.chars().take(32).collect();
            return Err(format!("has the scheme `{scheme}`, expected `http` or `https`"));
        }
    }
    let OutgoingRequest { mut method, url: from, mut headers, mut body } = sent;
    if (status == 303 && method != Method::HEAD) || (matches!(status, 301 | 302) && method == Method::POST) {
        let had_body = !std::mem::take(&mut body).is_empty();
        method = Method::GET;
        OF_BODY.iter().for_each(|name| drop(headers.remove(name)));
        if had_body {
            // It was signed with the body: nobody could verify the signature without.
            SIGNATURE_HEADERS.iter().for_each(|name| drop(headers.remove(*name)));
        }
    }
    let is_same = from.origin() == url.origin();
    if !is_same && !body.is_empty() {
        return Err(format!("would take the body of a {method} to another origin, {}", origin(&url)));
    }
    if !is_same {
        // The name of the host before, too: it would be a wrong one.
        // A header that was filled in with a secret is marked as such, whatever it is called.
        let is_credential = |name: &str| Header::is_credential_name(name) || SIGNATURE_HEADERS.contains(&name);
        let stays = |name: &HeaderName, value: &HeaderValue| {
            *name == HOST || value.is_sensitive() || is_credential(name.as_str())
        };
        let dropped = headers.iter().filter(|(name, value)| stays(name, value));
        let dropped: Vec<HeaderName> = dropped.map(|(name, _)| name.clone()).collect();
        dropped.iter().for_each(|name| drop(headers.remove(name)));
    }
    // Whoever answers chooses no credentials; ours go where they went before. Both can only fail for URLs without a host.
    let (user, password) = if is_same { (from.username(), from.password()) } else { ("", None) };
    let _ = url.set_username(user).and_then(|()| url.set_password(password));
    Ok(OutgoingRequest { method, url, headers, body })
}

#[cfg(test)]
mod tests;
