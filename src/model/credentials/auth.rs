//! Credentials that stand in `Authorization`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use serde_json::value::RawValue;

use super::OAuth2Client;
use super::text::{self, Text, is_judged_later};
use crate::model::MASK;
use crate::model::object::{Mistakes, Object, string, word};

/// The longest text of a credential, in bytes. Longer ones are refused.
pub(super) const LEN_MAX: usize = 8 * 1024;

/// What a request shows in `Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// A user and a password (RFC 7617), in UTF-8.
    Basic {
        /// The user; no colon may be in it.
        username: Text,
        /// The password.
        password: Text,
    },
    /// A token (RFC 6750).
    Bearer {
        /// The token.
        token: Text,
    },
    /// A token that a server gives for some time.
    OAuth2(Box<OAuth2Client>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Basic { .. } => "Basic",
            Self::Bearer { .. } => "Bearer",
            Self::OAuth2(_) => "OAuth2",
        };
        write!(f, "{name}({MASK})")
    }
}

/// Why a text is no such credential. It continues a sentence that begins with its place, and shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is too long, or empty where it must not be.
    #[error("is {len} bytes long, expected {min} to {LEN_MAX}")]
    Length {
        /// Its length in bytes.
        len: usize,
        /// The least that is allowed.
        min: usize,
    },
    /// A colon ends the user in what is sent.
    #[error("holds a colon, expected none in a user")]
    Colon,
    /// RFC 7617 forbids them.
    #[error("holds a control character, expected none")]
    Control,
    /// A header could not hold it.
    #[error("holds something else than visible ASCII, expected letters, digits and signs")]
    NotVisible,
}

/// What a text of a credential is, and so what may stand in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    User,
    Password,
    Token,
    /// What stands in a form: anything.
    Text,
}

impl Part {
    pub(super) fn check(self, text: &str) -> Result<(), AuthError> {
        let min = match self {
            Self::User | Self::Password => 0,
            Self::Token | Self::Text => 1,
        };
        let len = text.len();
        if !(min..=LEN_MAX).contains(&len) {
            return Err(AuthError::Length { len, min });
        }
        match self {
            Self::User if text.contains(':') => Err(AuthError::Colon),
            Self::User | Self::Password if text.contains(char::is_control) => Err(AuthError::Control),
            Self::Token if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(AuthError::NotVisible),
            Self::User | Self::Password | Self::Token | Self::Text => Ok(()),
        }
    }

    /// A text that must be there. What is filled in later is judged then.
    pub(super) fn read(self, key: &str, members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Text> {
        let raw = members.required(key, "a string", mistakes)?;
        self.read_raw(raw, &members.path_of(key), mistakes)
    }

    pub(super) fn read_raw(self, raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Text> {
        let given = string(raw, path, mistakes)?;
        text::warn(&given, path, mistakes);
        let checked = if is_judged_later(&given) { Ok(()) } else { self.check(&given) };
        checked.map_err(|error| mistakes.add(path, error)).ok().map(|()| text::text(&given))
    }
}

impl Auth {
    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        const TYPES: [&str; 3] = ["basic", "bearer", "oauth2"];
        let raw = members.required("type", "one of basic, bearer, oauth2", mistakes)?;
        let of_type = |text: &str| TYPES.iter().copied().find(|name| *name == text);
        match word(raw, &members.path_of("type"), of_type, &TYPES, mistakes)? {
            "basic" => {
                members.refuse_unknown(&["type", "username", "password"], mistakes);
                let username = Part::User.read("username", members, mistakes);
                let password = Part::Password.read("password", members, mistakes);
                Some(Self::Basic { username: username?, password: password? })
            }
            "bearer" => {
                members.refuse_unknown(&["type", "token"], mistakes);
                Some(Self::Bearer { token: Part::Token.read("token", members, mistakes)? })
            }
            _ => OAuth2Client::read(members, mistakes).map(|client| Self::OAuth2(Box::new(client))),
        }
    }

    /// Its texts, each with its key.
    pub(super) fn texts(&self) -> Vec<(&'static str, &Text)> {
        match self {
            Self::Basic { username, password } => vec![("username", username), ("password", password)],
            Self::Bearer { token } => vec![("token", token)],
            Self::OAuth2(client) => client.texts(),
        }
    }

    /// The same to be changed, in the same order.
    pub(super) fn texts_mut(&mut self) -> Vec<&mut Text> {
        match self {
            Self::Basic { username, password } => vec![username, password],
            Self::Bearer { token } => vec![token],
            Self::OAuth2(client) => client.texts_mut(),
        }
    }

    /// The text that nobody else may see, with its key.
    pub(super) fn secret(&self) -> (&'static str, &Text) {
        match self {
            Self::Basic { password, .. } => ("password", password),
            Self::Bearer { token } => ("token", token),
            Self::OAuth2(client) => ("client_secret", client.secret()),
        }
    }

    pub(super) fn secret_mut(&mut self) -> &mut Text {
        match self {
            Self::Basic { password, .. } => password,
            Self::Bearer { token } => token,
            Self::OAuth2(client) => client.secret_mut(),
        }
    }

    /// Whether both show the same user or client to the same server, so that the secret of one is that of the other.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Basic { username, .. }, Self::Basic { username: theirs, .. }) => username == theirs,
            (Self::Bearer { .. }, Self::Bearer { .. }) => true,
            (Self::OAuth2(client), Self::OAuth2(theirs)) => client.is_of_the_same(theirs),
            (Self::Basic { .. } | Self::Bearer { .. } | Self::OAuth2(_), _) => false,
        }
    }

    /// What nobody may see of what it sends. Without what makes no header.
    pub(super) fn confidential(&self) -> Vec<Zeroizing<String>> {
        let sent = match self {
            Self::Basic { .. } => self.authorization().ok().flatten(),
            Self::Bearer { .. } => None,
            Self::OAuth2(client) => client.request().ok().and_then(|asked| asked.authorization),
        };
        let encoded = sent.iter().filter_map(|sent| sent.strip_prefix("Basic "));
        [&***self.secret().1].into_iter().chain(encoded).map(|text| Zeroizing::new(text.to_owned())).collect()
    }

    /// The value of `Authorization`; `None`: a token has to be asked for. The error says which text cannot stand in it.
    pub fn authorization(&self) -> Result<Option<String>, String> {
        let told = |key: &'static str| move |error: AuthError| format!("auth.{key} {error}");
        match self {
            Self::Basic { username, password } => {
                Part::User.check(username).map_err(told("username"))?;
                Part::Password.check(password).map_err(told("password"))?;
                Ok(Some(basic(username, password)))
            }
            Self::Bearer { token } => {
                Part::Token.check(token).map_err(told("token"))?;
                Ok(Some(format!("Bearer {}", **token)))
            }
            Self::OAuth2(_) => Ok(None),
        }
    }
}

/// Whether a text can be sent as a token.
pub fn is_token(text: &str) -> bool {
    Part::Token.check(text).is_ok()
}

/// A user and a password, neither with a control character, as `Authorization` has them.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Auth, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        let members = Object::read(raw, "auth".to_owned(), &mut mistakes).unwrap();
        let auth = Auth::read(&members, &mut mistakes);
        auth.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.text())
    }

    fn sent(json: &str) -> Result<String, String> {
        read(json).unwrap().authorization().map(Option::unwrap)
    }

    /// The examples of RFC 7617, sections 2 and 2.1.
    #[test]
    fn a_user_and_a_password_are_sent_in_utf_8() {
        let aladdin = r#"{"type":"basic","username":"Aladdin","password":"open sesame"}"#;
        assert_eq!(sent(aladdin).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let pound = r#"{"type":"basic","username":"test","password":"123£"}"#;
        assert_eq!(sent(pound).unwrap(), "Basic dGVzdDoxMjPCow==");
        assert_eq!(sent(r#"{"type":"basic","username":"","password":"a:b"}"#).unwrap(), "Basic OmE6Yg==");
    }

    /// The example of RFC 6750, section 2.1.
    #[test]
    fn a_token_is_sent_as_it_is() {
        assert_eq!(sent(r#"{"type":"bearer","token":"mF_9.B5f-4.1JqM"}"#).unwrap(), "Bearer mF_9.B5f-4.1JqM");
        assert_eq!(sent(r#"{"type":"bearer","token":"1|a~+/=="}"#).unwrap(), "Bearer 1|a~+/==");
    }

    #[test]
    fn what_cannot_be_sent_is_told_and_not_shown() {
        for (json, told) in [
            (r#"{}"#, "auth.type: is missing, expected one of basic, bearer, oauth2"),
            (r#"{"type":"digest"}"#, "auth.type: is `digest`, expected one of basic, bearer, oauth2"),
            (
                r#"{"type":"basic","username":"s3:cret","password":"x"}"#,
                "auth.username: holds a colon, expected none in a user",
            ),
            (
                r#"{"type":"basic","username":"a","password":"s3cret\n"}"#,
                "auth.password: holds a control character, expected none",
            ),
            (r#"{"type":"basic","username":"a"}"#, "auth.password: is missing, expected a string"),
            (
                r#"{"type":"basic","username":"a","password":"","token":"s3cret"}"#,
                "auth.token: is not known, expected one of type, username, password",
            ),
            (r#"{"type":"bearer","token":""}"#, "auth.token: is 0 bytes long, expected 1 to 8192"),
            (
                r#"{"type":"bearer","token":"s3cret é"}"#,
                "auth.token: holds something else than visible ASCII, expected letters, digits and signs",
            ),
            (
                r#"{"type":"bearer","token":"s3 cret"}"#,
                "auth.token: holds something else than visible ASCII, expected letters, digits and signs",
            ),
        ] {
            assert_eq!(read(json).unwrap_err(), told);
        }
        let long = "x".repeat(8_193);
        let told = read(&format!(r#"{{"type":"basic","username":"a","password":"{long}"}}"#)).unwrap_err();
        assert_eq!(told, "auth.password: is 8193 bytes long, expected 0 to 8192");
    }

    #[test]
    fn what_is_filled_in_is_judged_when_it_is_there() {
        let mut auth = read(r#"{"type":"basic","username":"${secret:a}","password":"${secret:b}"}"#).unwrap();
        for (text, value) in auth.texts_mut().into_iter().zip(["ann:", "pw"]) {
            *text = text::text(value);
        }
        assert_eq!(auth.authorization().unwrap_err(), "auth.username holds a colon, expected none in a user");
        assert_eq!(format!("{auth:?}"), "Basic(***)");
    }

    proptest! {
        #[test]
        fn whatever_passes_can_stand_in_a_header(text in "\\PC{0,40}|[ -~]{0,40}|[\\x00-\\xff]{0,20}", is_token in any::<bool>()) {
            let auth = match is_token {
                true => Auth::Bearer { token: text::text(&text) },
                false => Auth::Basic { username: text::text(&text), password: text::text(&text) },
            };
            if let Ok(value) = auth.authorization() {
                prop_assert!(http::HeaderValue::try_from(value.unwrap()).is_ok());
            }
        }
    }
}
