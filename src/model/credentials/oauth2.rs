//! Who asks for tokens (RFC 6749, section 4.4).

use std::fmt;

use serde_json::value::RawValue;
use url::form_urlencoded::Serializer;

use super::auth::{Part, basic};
use super::text::Text;
use crate::model::object::{Mistakes, Object, word};
use crate::model::{MASK, TargetUrl, template};

const KEYS: [&str; 7] = ["type", "token_url", "client_id", "client_secret", "scope", "audience", "client_auth"];

/// A client that gets its tokens from an authorization server.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth2Client {
    /// Where tokens are asked for.
    pub token_url: TargetUrl,
    id: Text,
    secret: Text,
    scope: Option<Text>,
    audience: Option<Text>,
    /// Id and secret stand in the body, else in `Authorization`.
    is_in_body: bool,
}

impl fmt::Debug for OAuth2Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuth2Client({MASK})")
    }
}

/// What a request for a token says.
pub struct TokenRequest {
    /// `Authorization`, if it has any.
    pub authorization: Option<String>,
    /// A form.
    pub body: String,
}

impl OAuth2Client {
    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        members.refuse_unknown(&KEYS, mistakes);
        let token_url = token_url(members, mistakes);
        let id = Part::Text.read("client_id", members, mistakes);
        let secret = Part::Text.read("client_secret", members, mistakes);
        let mut one = |key: &str| {
            let raw: Option<&RawValue> = members.get(key);
            raw.and_then(|raw| Part::Text.read_raw(raw, &members.path_of(key), mistakes))
        };
        let (scope, audience) = (one("scope"), one("audience"));
        let is_in_body = members.get("client_auth").and_then(|raw| {
            let place = |text: &str| match text {
                "basic" => Some(false),
                "body" => Some(true),
                _ => None,
            };
            word(raw, &members.path_of("client_auth"), place, &["basic", "body"], mistakes)
        });
        let is_in_body = is_in_body.unwrap_or_default();
        Some(Self { token_url: token_url?, id: id?, secret: secret?, scope, audience, is_in_body })
    }

    pub(super) fn texts(&self) -> Vec<(&'static str, &Text)> {
        let all = [
            ("client_id", Some(&self.id)),
            ("client_secret", Some(&self.secret)),
            ("scope", self.scope.as_ref()),
            ("audience", self.audience.as_ref()),
        ];
        all.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
    }

    pub(super) fn texts_mut(&mut self) -> Vec<&mut Text> {
        let more = self.scope.iter_mut().chain(&mut self.audience);
        [&mut self.id, &mut self.secret].into_iter().chain(more).collect()
    }

    pub(super) fn secret(&self) -> &Text {
        &self.secret
    }

    pub(super) fn secret_mut(&mut self) -> &mut Text {
        &mut self.secret
    }

    /// Whether both are the same client of the same server.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        self.id == other.id && self.token_url.origin() == other.token_url.origin()
    }

    /// What it asks. The error says which text cannot be sent.
    pub fn request(&self) -> Result<TokenRequest, String> {
        let texts = self.texts();
        for (key, text) in &texts {
            Part::Text.check(text).map_err(|error| format!("auth.{key} {error}"))?;
        }
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        let in_form = if self.is_in_body { &texts[..] } else { &texts[2..] };
        for (key, text) in in_form {
            form.append_pair(key, text);
        }
        let authorization = (!self.is_in_body).then(|| basic(&form_text(&self.id), &form_text(&self.secret)));
        Ok(TokenRequest { authorization, body: form.finish() })
    }
}

/// RFC 6749, section 2.3.1: as in a form before they are put together.
fn form_text(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn token_url(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<TargetUrl> {
    let (text, path) = (members.string("token_url", mistakes)?, members.path_of("token_url"));
    let url = TargetUrl::parse(&text).map_err(|error| mistakes.add(&path, error)).ok()?;
    if !url.to_url().username().is_empty() || url.to_url().password().is_some() {
        mistakes.add(&path, "has a user, expected it to be left out");
        return None;
    }
    // Nothing is filled in here, and the name of a secret would be sent.
    if template::secret_names(&text).next().is_some() {
        mistakes.add(&path, "names a secret, expected it in one of client_id, client_secret, scope, audience");
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<OAuth2Client, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        let members = Object::read(raw, "auth".to_owned(), &mut mistakes).unwrap();
        let client = OAuth2Client::read(&members, &mut mistakes);
        client.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.text())
    }

    /// The client of RFC 6749, section 2.3.1.
    const GIVEN: &str =
        r#""token_url":"https://a/token","client_id":"s6BhdRkqt3","client_secret":"7Fjfp0ZBr1KtDRbnfVdmIw""#;

    #[test]
    fn a_client_shows_its_secret_in_the_header_or_in_the_body() {
        let in_header = read(&format!("{{{GIVEN}}}")).unwrap().request().unwrap();
        assert_eq!(in_header.authorization.unwrap(), "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
        assert_eq!(in_header.body, "grant_type=client_credentials");

        let in_body = read(&format!(r#"{{{GIVEN},"client_auth":"body","scope":"a b","audience":"é"}}"#)).unwrap();
        let asked = in_body.request().unwrap();
        assert_eq!(asked.authorization, None);
        let expected = "grant_type=client_credentials&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw&scope=a+b&audience=%C3%A9";
        assert_eq!(asked.body, expected);
    }

    #[test]
    fn a_colon_in_an_id_does_not_shift_the_secret() {
        let odd = r#"{"token_url":"https://a/","client_id":"a:b","client_secret":"c d"}"#;

        assert_eq!(read(odd).unwrap().request().unwrap().authorization.unwrap(), basic("a%3Ab", "c+d"));
    }

    #[test]
    fn what_is_wrong_is_told_and_no_text_shows_the_secret() {
        let told = read(r#"{"token_url":"ftp://a","client_id":"","scope":1,"client_auth":"jwt"}"#).unwrap_err();
        let expected = [
            "auth.token_url: has the scheme `ftp`, expected `http` or `https`",
            "auth.client_id: is 0 bytes long, expected 1 to 8192",
            "auth.client_secret: is missing, expected a string",
            "auth.scope: is `1`, expected a string",
            "auth.client_auth: is `jwt`, expected one of basic, body",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
        let named = GIVEN.replace("/token", "/${secret:a}");
        let expected =
            "auth.token_url: names a secret, expected it in one of client_id, client_secret, scope, audience";
        assert_eq!(read(&format!("{{{named}}}")).unwrap_err(), expected);
        let user = GIVEN.replace("https://a", "https://u:s3cret@a");
        assert_eq!(read(&format!("{{{user}}}")).unwrap_err(), "auth.token_url: has a user, expected it to be left out");
        let client = read(&format!("{{{GIVEN}}}")).unwrap();
        assert_eq!(format!("{client:?}"), "OAuth2Client(***)");
    }
}
