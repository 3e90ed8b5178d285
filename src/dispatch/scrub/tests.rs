use http::{HeaderMap, Method};
use proptest::prelude::*;
use url::Url;

use super::*;
use crate::model::{SecretName, SecretText};

fn request(url: &str) -> OutgoingRequest {
    OutgoingRequest { method: Method::GET, url: Url::parse(url).unwrap(), headers: HeaderMap::new(), body: Vec::new() }
}

fn texts(values: &[&str]) -> SecretTexts {
    let named =
        |(number, value): (usize, &&str)| (SecretName::parse(&format!("s{number}")).unwrap(), SecretText::new(value));
    values.iter().enumerate().map(named).collect()
}

fn scrub(values: &[&str]) -> Scrub {
    Scrub::of(&texts(values), &request("http://h/"))
}

/// What is left of a body that comes in these chunks.
async fn scrubbed(scrub: &Scrub, chunks: Vec<Vec<u8>>) -> Vec<u8> {
    let chunks = chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)));
    let answer = Answer { status: 200, headers: HeaderMap::new(), body: Box::pin(stream::iter(chunks)) };
    let mut body = scrub.answer(answer).body;
    let mut clean = Vec::new();
    while let Some(chunk) = body.next().await {
        clean.extend_from_slice(&chunk.unwrap());
    }
    clean
}

#[test]
fn each_form_in_which_a_secret_comes_back_is_masked() {
    let value = "hün/ter 2\"~";
    let scrub = scrub(&[value]);

    for form in [
        value,
        "h%C3%BCn%2Fter%202%22~",
        "h%c3%bcn%2fter%202%22~",
        "h%C3%BCn%2Fter+2%22%7E",
        "hün/ter 2\\\"~",
        "h\\u00fcn/ter 2\\\"~",
        "hün\\/ter 2\\\"~",
        "aMO8bi90ZXIgMiJ-",
        "aMO8bi90ZXIgMiJ+",
    ] {
        assert_eq!(scrub.text(format!("<{form}>")), "<***>", "{form}");
    }
    assert_eq!(scrub.text("hün/ter 3".to_owned()), "hün/ter 3");
}

#[test]
fn user_and_password_are_masked_as_the_client_sends_them_and_as_they_are_meant() {
    let basic = |text: &str| STANDARD.encode(text);
    let in_url = Scrub::of(&texts(&["p@ssword"]), &request("http://ann:p%40ssword@h/"));
    assert_eq!(in_url.text(format!("Basic {}", basic("ann:p@ssword"))), "Basic ***");

    let mut request = request("http://h/");
    let value = format!("Basic {}", basic("ann:p@ssword"));
    request.headers.insert(AUTHORIZATION, value.parse().unwrap());
    let in_header = Scrub::of(&texts(&[&basic("ann:p@ssword")]), &request);
    assert_eq!(in_header.text(format!("{value} is ann:p@ssword")), "Basic *** is ann:***");
}

#[test]
fn a_short_secret_and_a_request_without_secrets_change_nothing() {
    assert!(scrub(&["short"]).0.is_none() && scrub(&[]).0.is_none());
    assert_eq!(scrub(&["short"]).text("short".to_owned()), "short");
    assert_eq!(scrub(&["short", "longer"]).text("short longer".to_owned()), "short ***");
}

#[test]
fn texts_that_overlap_have_one_mask_however_long_they_go_on() {
    let clean = |text: &str| scrub(&["abcdef", "defghi", "aaaaaaa"]).text(text.to_owned());

    assert_eq!(clean("<abcdefghi>"), "<***>");
    assert_eq!(clean("<abcdefabcdef>"), "<******>");
    assert!(!clean(&"a".repeat(100_000)).contains("aaaaaaa"));
}

#[tokio::test]
async fn a_content_type_shows_no_secret_and_an_error_comes_through() {
    let mut answer = Answer::whole(200, "x");
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/hunter22"));
    answer.body = Box::pin(stream::iter([Ok(Bytes::from("hun")), Err(TransportError::Broken("broke off".to_owned()))]));

    let mut answer = scrub(&["hunter22"]).answer(answer);

    assert_eq!(answer.headers[CONTENT_TYPE], "text/***");
    assert_eq!(answer.body.next().await, Some(Err(TransportError::Broken("broke off".to_owned()))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn wherever_the_chunks_end_no_secret_is_left_and_nothing_else_is_lost(
        secret in "[a-c]{6,9}|[a-zé\"/ ]{6,12}",
        pieces in prop::collection::vec("[a-d é\"]{0,8}", 1..8),
        fill in 0_usize..3,
        cuts in prop::collection::vec(1_usize..40, 1..200),
    ) {
        // Long enough that it is not all looked at in one go.
        let filling = "-".repeat(fill * 4_090);
        let text = pieces.join(&format!("{secret}{filling}"));
        let (mut rest, mut chunks) = (text.as_bytes(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*cut));
            chunks.push(chunk.to_vec());
            rest = after;
            if rest.is_empty() { break; }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (scrub, clean) = (scrub(&[&secret]), |chunks| runtime.block_on(scrubbed(&scrub(&[&secret]), chunks)));
        let by_chunks = String::from_utf8(clean(chunks)).unwrap();
        prop_assert!(!by_chunks.contains(&secret), "{}", by_chunks);
        let masks = by_chunks.matches(MASK).count();
        prop_assert_eq!(masks > 0, pieces.len() > 1, "{}", by_chunks);
        prop_assert_eq!(by_chunks.matches('-').count(), filling.len() * (pieces.len() - 1));
        prop_assert!(!scrub.text(text).contains(&secret));
    }
}
