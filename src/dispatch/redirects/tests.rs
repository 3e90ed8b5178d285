use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use http::HeaderValue;

use super::*;

/// Answers what it is told, one answer after the other, and notes what came.
struct Scripted {
    answers: Mutex<VecDeque<Result<(u16, &'static str), TransportError>>>,
    came: Mutex<Vec<OutgoingRequest>>,
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        self.came.lock().unwrap().push(request);
        let (status, location) = self.answers.lock().unwrap().pop_front().expect("no more requests were expected")?;
        let mut answer = Answer::whole(status, "");
        if !location.is_empty() {
            answer.headers.insert(LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap());
        }
        Ok(answer)
    }
}

fn request(method: Method, url: &str, body: &str) -> OutgoingRequest {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer s3cret"),
        ("cookie", "a=s3cret"),
        ("x-api-key", "s3cret"),
        ("host", "front.example"),
        ("content-type", "text/plain"),
        ("x-team", "billing"),
        ("idempotency-key", "run"),
        ("x-schedule-run-id", "run"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    OutgoingRequest { method, url: Url::parse(url).unwrap(), headers, body: body.into() }
}

type Came = Vec<OutgoingRequest>;

/// What an answer of these comes to, and what was sent for it.
async fn sent(
    first: OutgoingRequest,
    max: u32,
    answers: &[(u16, &'static str)],
) -> (Result<(u16, u32, Option<Box<str>>), TransportError>, Came) {
    let answers = answers.iter().map(|&answer| Ok(answer)).collect();
    let transport = Scripted { answers: Mutex::new(answers), came: Mutex::default() };
    let arrived = send(&transport, first, max).await;
    let told = arrived.map(|arrived| (arrived.answer.status, arrived.redirects, arrived.last_url));
    (told, transport.came.into_inner().unwrap())
}

fn refused(text: &str) -> TransportError {
    TransportError::Refused(text.to_owned())
}

fn names(request: &OutgoingRequest) -> Vec<&str> {
    let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn no_redirect_is_followed_unless_the_entry_wants_it_and_one_too_many_is_an_error() {
    let first = || request(Method::GET, "http://a.example/", "");

    let (none, came) = sent(first(), 0, &[(302, "/b")]).await;
    assert_eq!((none, came.len()), (Ok((302, 0, None)), 1));

    let (some, came) = sent(first(), 2, &[(302, "/b?c"), (301, "../d"), (200, "/e")]).await;
    assert_eq!((some, came.len()), (Ok((200, 2, Some("http://a.example/d".into()))), 3));

    let (many, came) = sent(first(), 2, &[(302, "/b"), (302, "/c"), (302, "/d")]).await;
    assert_eq!((many, came.len()), (Err(refused("answered with more than 2 redirects")), 3));
}

#[tokio::test]
async fn an_answer_that_does_not_say_where_to_go_stands_as_it_is() {
    for (status, location) in [(302, ""), (302, "http://"), (302, "http://[::1"), (304, "/b"), (300, "/b"), (200, "/b")]
    {
        let (told, came) = sent(request(Method::GET, "http://a.example/", ""), 3, &[(status, location)]).await;
        assert_eq!((told, came.len()), (Ok((status, 0, None)), 1), "{status} {location}");
    }
    let mut two = HeaderMap::new();
    two.append(LOCATION, HeaderValue::from_static("/b"));
    two.append(LOCATION, HeaderValue::from_static("/c"));
    let from = Url::parse("http://a.example/").unwrap();
    assert_eq!(redirect(&from, 302, &two), None);
    let long = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(&"x".repeat(TargetUrl::LEN_MAX)).unwrap())]);
    assert_eq!(redirect(&from, 302, &long), None);
    let no_text = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(b"/\xff").unwrap())]);
    assert_eq!(redirect(&from, 302, &no_text), None);
}

#[tokio::test]
async fn methods_and_bodies_change_as_in_browsers() {
    for (status, method, next, has_body) in [
        (301, Method::POST, Method::GET, false),
        (302, Method::POST, Method::GET, false),
        (303, Method::POST, Method::GET, false),
        (303, Method::PUT, Method::GET, false),
        (303, Method::DELETE, Method::GET, false),
        (303, Method::HEAD, Method::HEAD, true),
        (301, Method::PUT, Method::PUT, true),
        (302, Method::PATCH, Method::PATCH, true),
        (307, Method::POST, Method::POST, true),
        (308, Method::POST, Method::POST, true),
        (302, Method::GET, Method::GET, true),
    ] {
        let (told, came) = sent(request(method, "http://a.example/", "body"), 1, &[(status, "/b"), (200, "")]).await;

        assert_eq!(told.unwrap().1, 1);
        assert_eq!((&came[1].method, came[1].body.is_empty()), (&next, !has_body), "{status}");
        assert_eq!(came[1].headers.contains_key(CONTENT_TYPE), has_body, "{status} {next}");
        assert!(came[1].headers.contains_key("authorization"), "it is the same origin");
    }
}

#[tokio::test]
async fn credentials_and_bodies_stay_with_the_origin_that_they_are_for() {
    const OURS: [&str; 3] = ["idempotency-key", "x-schedule-run-id", "x-team"];
    for elsewhere in ["http://b.example/", "http://a.example:81/", "https://a.example/", "//a.example:82"] {
        let first = request(Method::POST, "http://ann:s3cret@a.example/", "body");
        let (_, came) = sent(first.clone(), 2, &[(303, elsewhere), (302, "http://a.example/"), (200, "")]).await;

        if came.len() == 3 {
            assert_eq!(names(&came[2]), OURS, "what is left behind does not come back");
            assert_eq!(came[2].url.as_str(), "http://a.example/");
        }
        assert_eq!(names(&came[1]), OURS, "{elsewhere}");
        assert!(came[1].url.username().is_empty() && came[1].url.password().is_none());
        let (told, came) = sent(first, 2, &[(307, elsewhere)]).await;
        let text = told.unwrap_err().to_string();
        assert!(
            text.starts_with("refused: redirect 1 would take the body of a POST to another origin, http"),
            "{text}"
        );
        assert_eq!(came.len(), 1);
    }
}

#[tokio::test]
async fn a_signature_goes_along_within_its_origin_as_long_as_the_body_does() {
    let signed = |method: Method, body: &str| {
        let mut first = request(method, "http://a.example/", body);
        for name in SIGNATURE_HEADERS {
            first.headers.insert(name, HeaderValue::from_static("x"));
        }
        first
    };
    let kept = |request: &OutgoingRequest| SIGNATURE_HEADERS.map(|name| request.headers.contains_key(name));
    for (method, body, status, location, is_kept) in [
        (Method::POST, "body", 307, "/b", true),
        (Method::PUT, "body", 302, "/b", true),
        (Method::POST, "", 303, "/b", true),
        (Method::GET, "", 302, "/b", true),
        (Method::POST, "body", 303, "/b", false),
        (Method::GET, "", 302, "http://b.example/", false),
        (Method::GET, "", 302, "https://a.example/", false),
    ] {
        let (_, came) = sent(signed(method, body), 1, &[(status, location), (200, "")]).await;
        assert_eq!(kept(&came[0]), [true; 3]);
        assert_eq!(kept(&came[1]), [is_kept; 3], "{status} {location}");
    }
}

#[tokio::test]
async fn the_user_of_a_url_stays_within_its_origin_and_none_is_taken_from_an_answer() {
    let first = || request(Method::GET, "http://ann:s3cret@a.example/", "");

    let (told, came) = sent(first(), 2, &[(302, "http://eve:pw@a.example:80/b"), (302, "c"), (200, "")]).await;
    assert_eq!(came[1].url.as_str(), "http://ann:s3cret@a.example/b");
    assert_eq!(came[2].url.as_str(), "http://ann:s3cret@a.example/c");
    assert_eq!(told.unwrap().2.as_deref(), Some("http://ann:***@a.example/c"));

    let (told, came) = sent(first(), 2, &[(302, "http://eve:pw@b.example/b"), (200, "")]).await;
    assert_eq!(came[1].url.as_str(), "http://b.example/b");
    assert_eq!(told.unwrap().2.as_deref(), Some("http://b.example/b"));
}

#[tokio::test]
async fn a_redirect_to_another_scheme_or_out_of_https_is_refused() {
    let first = |url: &str| request(Method::GET, url, "");

    let (told, _) = sent(first("https://a.example/"), 3, &[(302, "http://a.example/secret")]).await;
    assert_eq!(told, Err(refused("refused: redirect 1 goes from https to http, to http://a.example")));
    for location in ["file:///etc/passwd", "javascript:alert(1)", "gopher://a.example:70/x", "data:,x"] {
        let (told, came) = sent(first("http://a.example/"), 3, &[(302, "/b"), (302, location)]).await;
        let scheme = location.split(':').next().unwrap();
        let text = format!("refused: redirect 2 has the scheme `{scheme}`, expected `http` or `https`");
        assert_eq!((told, came.len()), (Err(refused(&text)), 2));
    }
}

#[tokio::test]
async fn an_error_behind_a_redirect_says_where_it_happened_without_path_and_user() {
    for error in [TransportError::Broken, TransportError::Refused] {
        let answers = VecDeque::from([Ok((302, "http://b.example:81/s3cret?s3cret")), Err(error("why".to_owned()))]);
        let transport = Scripted { answers: Mutex::new(answers), came: Mutex::default() };

        let told = send(&transport, request(Method::GET, "http://a.example/", ""), 3).await.map(|_| ());

        assert_eq!(told, Err(error("why (after redirect 1, to http://b.example:81)".to_owned())));
    }
}
