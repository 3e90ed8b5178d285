//! Reads what a request says of them, and gives its texts to whoever fills them in.

use super::{Auth, SIGNATURE_HEADERS, Signing};
use crate::model::TargetUrl;
use crate::model::object::{Mistakes, Object};

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

    /// Gives each text to `fill_in`, and puts what comes back in its place. Stops at the first error.
    pub fn texts<E>(&mut self, mut fill_in: impl FnMut(&str) -> Result<String, E>) -> Result<(), E> {
        let signing = self.sign.iter_mut().flat_map(|sign| sign.texts());
        for text in signing.chain(self.auth.iter_mut().flat_map(|auth| auth.texts())) {
            *text = fill_in(text)?.into();
        }
        Ok(())
    }
}

/// Whether a text names something that is filled in when an attempt is made, so that it cannot be judged before.
pub fn is_reference(text: &str) -> bool {
    text.contains("${")
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

    #[test]
    fn each_text_is_filled_in_once() {
        let mut credentials = read(&format!(r#"{{"sign":{{"secrets":["${{secret:a}}","{SECRET}"]}},"auth":{{"type":"basic","username":"u","password":"p"}}}}"#)).unwrap();
        let mut seen = Vec::new();

        let filled = credentials.texts(|text| {
            seen.push(text.to_owned());
            Ok::<_, ()>(SECRET.to_owned())
        });

        assert_eq!((filled, seen), (Ok(()), ["${secret:a}", SECRET, "u", "p"].map(str::to_owned).to_vec()));
        assert_eq!(credentials.sign.unwrap().keys().unwrap().len(), 2);
    }
}
