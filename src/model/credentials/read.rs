//! Reads what a request says of them, and gives its texts to whoever fills them in.

use secrecy::zeroize::Zeroizing;

use super::text::{Text, filled_in};
use super::{Auth, SIGNATURE_HEADERS, Signing};
use crate::model::object::{Mistakes, Object};
use crate::model::template::{TemplateError, is_reference, secret_names};
use crate::model::{MASK, SecretName, SecretTexts, TargetUrl};

/// What an entry, or a callback, says of how its request shows who sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// What it is signed with; `None`: it is not.
    pub sign: Option<Box<Signing>>,
    /// What stands in `Authorization`; `None`: what its headers say.
    pub auth: Option<Box<Auth>>,
}

impl Credentials {
    /// The options that it is made of.
    pub const KEYS: [&str; 2] = ["sign", "auth"];
    /// The members of these options that nobody else may see.
    pub const SECRET_KEYS: [&str; 4] = ["secrets", "password", "token", "client_secret"];

    /// Reads them among the members of an entry or a callback, and refuses headers of its own in whose place they stand.
    pub fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Self {
        let sign = members.object("sign", mistakes);
        if sign.is_some() {
            refuse_headers(members, &SIGNATURE_HEADERS, "sign", mistakes);
        }
        let auth = members.object("auth", mistakes);
        if auth.is_some() {
            refuse_headers(members, &["authorization"], "auth", mistakes);
            refuse_user(members, mistakes);
        }
        Self {
            sign: sign.and_then(|sign| Signing::read(&sign, mistakes)).map(Box::new),
            auth: auth.and_then(|auth| Auth::read(&auth, mistakes)).map(Box::new),
        }
    }

    /// The secrets that they name, each with its place.
    pub fn secrets(&self) -> impl Iterator<Item = (String, SecretName)> + '_ {
        let signing = self.sign.iter().flat_map(|sign| sign.texts()).enumerate();
        let signing = signing.map(|(index, text)| (format!("sign.secrets[{index}]"), text));
        let auth = self.auth.iter().flat_map(|auth| auth.texts());
        let texts = signing.chain(auth.map(|(key, text)| (format!("auth.{key}"), text)));
        texts.flat_map(|(place, text)| secret_names(text).map(move |name| (place.clone(), name)))
    }

    /// These credentials with their secrets filled in.
    pub fn filled_in(&self, secrets: &SecretTexts) -> Result<Self, TemplateError> {
        let mut filled = self.clone();
        for text in filled.texts_mut() {
            *text = filled_in(text, secrets)?;
        }
        Ok(filled)
    }

    fn texts_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        let signing = self.sign.iter_mut().flat_map(|sign| sign.texts_mut());
        signing.chain(self.auth.iter_mut().flat_map(|auth| auth.texts_mut()))
    }

    /// What nobody else may see, in the words in which it is sent.
    pub fn confidential(&self) -> Vec<Zeroizing<String>> {
        let signing = self.sign.iter().flat_map(|sign| sign.confidential());
        signing.chain(self.auth.iter().flat_map(|auth| auth.confidential())).collect()
    }

    /// A text of a member that nobody else may see, as it may be seen. What only names a secret is none.
    pub fn shown(text: &str) -> &str {
        if is_reference(text) { text } else { MASK }
    }
}

fn refuse_headers(members: &Object<'_>, names: &[&str], option: &str, mistakes: &mut Mistakes) {
    // What is wrong with the headers themselves is told by whoever reads the request.
    let read = |raw| Object::read(raw, members.path_of("headers"), &mut Mistakes::default());
    let Some(headers) = members.get("headers").and_then(read) else { return };
    for name in headers.keys().filter(|name| names.iter().any(|own| own.eq_ignore_ascii_case(name))) {
        mistakes
            .add(&headers.path_of(name), format_args!("is given by `{option}`, expected one of both to be left out"));
    }
}

/// A URL with a user says the same as `auth`, and nobody could tell which of both counts.
fn refuse_user(members: &Object<'_>, mistakes: &mut Mistakes) {
    let url = members.string("url", &mut Mistakes::default()).and_then(|text| TargetUrl::parse(&text).ok());
    let has_user = |url: TargetUrl| url.to_url().password().is_some() || !url.to_url().username().is_empty();
    if url.is_some_and(has_user) {
        mistakes
            .add(&members.path_of("url"), "has a user, which is given by `auth`, expected one of both to be left out");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::model::{SecretText, SigningKey};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(json: &str) -> Result<Credentials, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        let members = Object::read(raw, "e".to_owned(), &mut mistakes).unwrap();
        let credentials = Credentials::read(&members, &mut mistakes);
        if mistakes.is_empty() { Ok(credentials) } else { Err(mistakes.text()) }
    }

    #[test]
    fn headers_in_whose_place_it_stands_are_refused_in_any_letters() {
        let headers = r#""headers":{"Webhook-ID":"1","X":"2","webhook-signature":"3","webhook-timestamp":1}"#;

        assert_eq!(read(&format!("{{{headers}}}")), Ok(Credentials::default()));
        let told = read(&format!(r#"{{"sign":{{"secrets":["{SECRET}"]}},{headers}}}"#)).unwrap_err();
        let expected = ["Webhook-ID", "webhook-signature", "webhook-timestamp"]
            .map(|name| format!("e.headers.{name}: is given by `sign`, expected one of both to be left out"));
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn who_gives_auth_gives_no_authorization_and_no_user_in_the_url() {
        let auth = r#""auth":{"type":"bearer","token":"t"}"#;
        let told = |more: &str| read(&format!("{{{auth},{more}}}")).unwrap_err();

        assert_eq!(
            told(r#""headers":{"AUTHORIZATION":"s3cret"}"#),
            "e.headers.AUTHORIZATION: is given by `auth`, expected one of both to be left out"
        );
        for url in ["http://ann:s3cret@a/", "http://ann@a/", "http://:s3cret@a/"] {
            let expected = "e.url: has a user, which is given by `auth`, expected one of both to be left out";
            assert_eq!(told(&format!(r#""url":"{url}""#)), expected);
        }
        assert!(read(&format!(r#"{{{auth},"url":"http://a/@b","headers":{{"X":"1"}}}}"#)).is_ok());
    }

    fn secrets(values: &[(&str, &str)]) -> SecretTexts {
        let named = |&(name, value): &(&str, &str)| (SecretName::parse(name).unwrap(), SecretText::new(value));
        values.iter().map(named).collect()
    }

    const NAMING: &str = r#"{"sign":{"secrets":["whsec_${secret:a}","${secret:b}"]},"auth":{"type":"oauth2","token_url":"http://a/","client_id":"x-${secret:c}","client_secret":"${secret:d}","scope":"{{args}} ${e}","audience":"${secret:a}"}}"#;

    #[test]
    fn secrets_are_found_with_their_places_and_filled_in_and_nothing_else_is() {
        let credentials = read(NAMING).unwrap();
        let values = [("a", &SECRET[6..]), ("b", SECRET), ("c", "${secret:d}"), ("d", "s3cret\n")];

        let named: Vec<String> = credentials.secrets().map(|(place, name)| format!("{place} {name}")).collect();
        let filled = credentials.filled_in(&secrets(&values)).unwrap();

        let places =
            ["sign.secrets[0] a", "sign.secrets[1] b", "auth.client_id c", "auth.client_secret d", "auth.audience a"];
        assert_eq!(named, places);
        let keys = filled.sign.as_ref().unwrap().keys().unwrap();
        assert_eq!(keys, [SigningKey::parse(SECRET).unwrap(), SigningKey::parse(SECRET).unwrap()]);
        let texts: Vec<&str> = filled.auth.iter().flat_map(|auth| auth.texts()).map(|(_, text)| &***text).collect();
        assert_eq!(texts, ["x-${secret:d}", "s3cret\n", "{{args}} ${e}", &SECRET[6..]]);
        assert_eq!(
            credentials.filled_in(&secrets(&values[..3])),
            Err(TemplateError::SecretMissing(SecretName::parse("d").unwrap()))
        );
        let long = "x".repeat(8_193);
        let values = [("a", &*long), ("b", SECRET), ("c", "1"), ("d", "2")];
        assert_eq!(
            credentials.filled_in(&secrets(&values)),
            Err(TemplateError::TooLong { part: "credential", max: 8_192 })
        );
    }

    #[test]
    fn what_is_sent_of_them_is_known_in_each_form() {
        let confidential = |json: &str| -> Vec<String> {
            read(json).unwrap().confidential().iter().map(|text| text.to_string()).collect()
        };
        let client = r#""token_url":"http://a/","client_id":"a:b","client_secret":"c d""#;

        assert_eq!(confidential(&format!(r#"{{"sign":{{"secrets":["{SECRET}"]}}}}"#)), [SECRET, &SECRET[6..]]);
        let basic = r#"{"auth":{"type":"basic","username":"Aladdin","password":"open sesame"}}"#;
        assert_eq!(confidential(basic), ["open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);
        assert_eq!(confidential(r#"{"auth":{"type":"bearer","token":"t"}}"#), ["t"]);
        let oauth2 = format!(r#"{{"auth":{{"type":"oauth2",{client}}}}}"#);
        assert_eq!(confidential(&oauth2), ["c d", "YSUzQWI6Yytk"]);
        assert_eq!(confidential("{}"), [""; 0]);
    }

    #[test]
    fn what_only_looks_like_the_name_of_a_secret_is_a_text_and_warned_of() {
        let (raw, mut mistakes) = (r#"{"auth":{"type":"bearer","token":"${secret:a/b}"}}"#, Mistakes::default());
        let members = Object::read_body(raw.as_bytes(), "", &mut mistakes).unwrap();
        let credentials = Credentials::read(&members, &mut mistakes);

        assert_eq!(credentials.secrets().count(), 0);
        let warned = mistakes.warnings;
        assert!(warned.len() == 1 && warned[0].starts_with("auth.token: `${secret:…}` names no secret"), "{warned:?}");
        assert_eq!(
            ["${secret:a}", "x${secret:a}", "${secret:}", "s3cret"].map(Credentials::shown),
            ["${secret:a}", MASK, MASK, MASK]
        );
    }
}
