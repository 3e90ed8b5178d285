//! A put that sends the mask of a credential back: the one that is stored stays.

use serde_json::value::RawValue;

use super::text::Text;
use super::{Auth, Credentials};
use crate::model::object::{Mistake, Mistakes, Object};
use crate::model::{JsonText, MASK};

const NOTHING_TO_KEEP: &str =
    "is the mask of a credential, and none is stored in this place that could be kept: give the credential itself";
const OF_ANOTHER: &str = "is the mask of a credential, and what is stored is not of the same user or client of the same server: give the credential itself";

impl Credentials {
    /// Puts what is stored in the places of masks; whether there was any. What is told are the places for which nothing is stored.
    pub(in crate::model) fn keep_masked(
        &mut self,
        stored: Option<&Self>,
        path: &str,
        unkept: &mut Vec<Mistake>,
    ) -> bool {
        let mut has_changed = false;
        let mut keep = |text: &mut Text, place: String, stored: Result<&Text, &str>| match stored {
            Ok(stored) => {
                *text = stored.clone();
                has_changed = true;
            }
            Err(why) => unkept.push(Mistake { path: format!("{path}.{place}"), text: why.to_owned() }),
        };
        let is_masked = |text: &Text| &***text == MASK;
        let theirs = stored.and_then(|stored| stored.sign.as_ref()).map_or(&[][..], |sign| sign.texts());
        let ours = self.sign.iter_mut().flat_map(|sign| sign.texts_mut()).enumerate();
        for (index, text) in ours.filter(|(_, text)| is_masked(text)) {
            keep(text, format!("sign.secrets[{index}]"), theirs.get(index).ok_or(NOTHING_TO_KEEP));
        }
        let theirs = stored.and_then(|stored| stored.auth.as_deref());
        if let Some(auth) = self.auth.as_deref_mut().filter(|auth| is_masked(auth.secret().1)) {
            let place = format!("auth.{}", auth.secret().0);
            let of_the_same = |stored: &'_ Auth| auth.is_of_the_same(stored);
            let found = match theirs {
                Some(stored) if of_the_same(stored) => Ok(stored.secret().1),
                Some(_) => Err(OF_ANOTHER),
                None => Err(NOTHING_TO_KEEP),
            };
            keep(auth.secret_mut(), place, found);
        }
        has_changed
    }

    /// One of the options that they are made of: as it was given, with what they hold in the places of its secrets. `None`: it is none of
    /// them.
    pub(in crate::model) fn rewritten(&self, key: &str, given: &RawValue) -> Option<JsonText> {
        let quoted = |text: &Text| serde_json::to_string(&***text).expect("a string can be written as JSON");
        let secrets = match key {
            "sign" => self.sign.as_ref().map(|sign| sign.texts().iter().map(quoted).collect::<Vec<_>>())?,
            "auth" => self.auth.as_ref().map(|auth| vec![quoted(auth.secret().1)])?,
            _ => return None,
        };
        let members = Object::read(given, String::new(), &mut Mistakes::default())?.into_members();
        let member = |(key, raw): (String, &RawValue)| {
            let value = match &*key {
                "secrets" => format!("[{}]", secrets.join(",")),
                key if Self::SECRET_KEYS.contains(&key) => secrets.join(","),
                _ => raw.get().to_owned(),
            };
            // Only keys that are known get so far, and they need no escapes.
            format!("\"{key}\":{value}")
        };
        let members: Vec<String> = members.into_iter().map(member).collect();
        JsonText::from_raw(serde_json::from_str(&format!("{{{}}}", members.join(","))).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn read(json: &str) -> Credentials {
        let mut mistakes = Mistakes::default();
        let members = Object::read_body(json.as_bytes(), "", &mut mistakes).unwrap();
        let credentials = Credentials::read(&members, &mut mistakes);
        assert!(mistakes.is_empty(), "{}", mistakes.text());
        credentials
    }

    fn signed(secrets: &[&str]) -> Credentials {
        read(&serde_json::json!({ "sign": { "secrets": secrets } }).to_string())
    }

    fn auth(members: &str) -> Credentials {
        read(&format!(r#"{{"auth":{{{members}}}}}"#))
    }

    fn told(put: &mut Credentials, stored: Option<&Credentials>) -> Vec<String> {
        let mut unkept = Vec::new();
        put.keep_masked(stored, "e", &mut unkept);
        unkept.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_signing_secret_is_kept_in_its_place() {
        let stored = signed(&[NEW, OLD]);
        for (put, expected) in [(["***", "***"], [NEW, OLD]), (["***", NEW], [NEW, NEW]), ([OLD, "***"], [OLD, OLD])] {
            let mut put = signed(&put);
            assert_eq!(told(&mut put, Some(&stored)), [""; 0]);
            assert_eq!(put, signed(&expected));
        }
        let mut further = signed(&[NEW, "***"]);
        assert_eq!(told(&mut further, Some(&signed(&[OLD]))), [format!("e.sign.secrets[1]: {NOTHING_TO_KEEP}")]);
        assert_eq!(told(&mut signed(&["***"]), None), [format!("e.sign.secrets[0]: {NOTHING_TO_KEEP}")]);
    }

    #[test]
    fn what_auth_shows_is_kept_for_the_same_user_or_client_of_the_same_server_only() {
        const CLIENT: &str = r#""type":"oauth2","token_url":"http://a/token","client_id":"i","client_secret":"s3cret""#;
        const BASIC: &str = r#""type":"basic","username":"u","password":"s3cret""#;
        const BEARER: &str = r#""type":"bearer","token":"s3cret""#;
        for given in [CLIENT, BASIC, BEARER] {
            let mut put = auth(&given.replace("s3cret", "***"));
            assert_eq!(told(&mut put, Some(&auth(given))), [""; 0]);
            assert_eq!(put, auth(given));
            assert_eq!(told(&mut auth(&given.replace("s3cret", "***")), Some(&signed(&[OLD]))).len(), 1);
        }
        let moved = CLIENT.replace("/token", "/other");
        assert_eq!(told(&mut auth(&CLIENT.replace("s3cret", "***")), Some(&auth(&moved))), [""; 0]);
        for (given, stored) in [
            (CLIENT, CLIENT.replace("http://a", "http://b")),
            (CLIENT, CLIENT.replace("\"i\"", "\"j\"")),
            (BASIC, BASIC.replace("\"u\"", "\"v\"")),
            (BASIC, BEARER.to_owned()),
        ] {
            let told = told(&mut auth(&given.replace("s3cret", "***")), Some(&auth(&stored)));
            assert!(told.len() == 1 && told[0].ends_with(OF_ANOTHER), "{told:?}");
        }
    }

    #[test]
    fn an_option_is_written_again_with_its_secrets_and_else_as_it_was_given() {
        let given: &RawValue =
            serde_json::from_str(r#"{"password": "***" ,"type":"basic", "username":"\u00e9"}"#).unwrap();
        let basic = auth(r#""type":"basic","username":"é","password":"a\"b""#);

        let rewritten = basic.rewritten("auth", given).unwrap();
        assert_eq!(rewritten.as_str(), r#"{"password":"a\"b","type":"basic","username":"\u00e9"}"#);
        let given: &RawValue = serde_json::from_str(r#"{"secrets":["***","***"]}"#).unwrap();
        let signed = signed(&[NEW, OLD]);
        assert_eq!(signed.rewritten("sign", given).unwrap().as_str(), format!(r#"{{"secrets":["{NEW}","{OLD}"]}}"#));
        assert!(signed.rewritten("auth", given).is_none() && signed.rewritten("tags", given).is_none());
    }
}
