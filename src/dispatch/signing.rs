//! Signs requests by Standard Webhooks (<https://www.standardwebhooks.com>). Pure.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ring::hmac;

use super::OutgoingRequest;
use crate::model::{RunId, SIGNATURE_HEADERS, Signing, Timestamp};

/// Signs the attempts of a run.
pub(super) struct Signer {
    keys: Vec<hmac::Key>,
    id: RunId,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("keys", &self.keys.len()).field("id", &self.id).finish()
    }
}

impl Signer {
    /// The error says which secret is none.
    pub(super) fn new(signing: &Signing, id: RunId) -> Result<Self, String> {
        let keys = signing.keys()?;
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.bytes())).collect();
        Ok(Self { keys, id })
    }

    /// Signs a request as it is now, at this moment: a receiver refuses what is too old.
    pub(super) fn sign(&self, request: &mut OutgoingRequest, at: Timestamp) {
        let (id, timestamp) = (self.id.to_string(), at.secs().to_string());
        let signatures: Vec<String> =
            self.keys.iter().map(|key| signature(key, &id, &timestamp, &request.body)).collect();
        for (name, value) in SIGNATURE_HEADERS.into_iter().zip([id, timestamp, signatures.join(" ")]) {
            let value = HeaderValue::try_from(value).expect("ids, numbers and Base64 are visible ASCII");
            request.headers.insert(name, value);
        }
    }
}

fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(key);
    signed.update(id.as_bytes());
    signed.update(b".");
    signed.update(timestamp.as_bytes());
    signed.update(b".");
    signed.update(body);
    format!("v1,{}", STANDARD.encode(signed.sign()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::model::{EntryName, Identity};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn key(secret: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, Signing::new(&[secret]).keys().unwrap()[0].bytes())
    }

    fn id() -> RunId {
        RunId::planned(&Identity::parse("t").unwrap(), &EntryName::parse("e").unwrap(), Timestamp::EPOCH)
    }

    fn request(body: &str) -> OutgoingRequest {
        let (url, headers) = ("http://a/".parse().unwrap(), HeaderMap::new());
        OutgoingRequest { method: Method::POST, url, headers, body: body.into() }
    }

    /// The example of the specification, which the reference libraries test themselves with.
    #[test]
    fn the_vector_of_the_specification_holds() {
        let told = signature(&key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);

        assert_eq!(told, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_of_two_keys_gives_its_signature() {
        let at = Timestamp::from_millis(1_700_000_000_999);

        let [one, other, both] = [&[SECRET][..], &[OTHER], &[SECRET, OTHER]].map(|secrets| {
            let mut request = request("x");
            Signer::new(&Signing::new(secrets), id()).unwrap().sign(&mut request, at);
            assert_eq!(request.headers["webhook-timestamp"], "1700000000");
            request.headers["webhook-signature"].to_str().unwrap().to_owned()
        });

        assert_eq!(one, signature(&key(SECRET), &id().to_string(), "1700000000", b"x"));
        assert_ne!(one, other);
        assert_eq!(both, format!("{one} {other}"));
    }

    #[test]
    fn another_id_time_or_body_has_another_signature() {
        let base = signature(&key(SECRET), "a", "1", b"body");

        for other in [signature(&key(SECRET), "b", "1", b"body"), signature(&key(SECRET), "a", "2", b"body")] {
            assert_ne!(base, other);
        }
        assert_ne!(base, signature(&key(SECRET), "a", "1", b"Body"));
        assert_ne!(base, signature(&key(OTHER), "a", "1", b"body"));
    }

    #[test]
    fn what_is_signed_again_has_one_signature_of_the_new_moment() {
        let (mut request, signer) = (request(""), Signer::new(&Signing::new(&[SECRET]), id()).unwrap());

        signer.sign(&mut request, Timestamp::from_secs(1));
        signer.sign(&mut request, Timestamp::from_secs(2));

        let expected = signature(&key(SECRET), &id().to_string(), "2", b"");
        assert_eq!(request.headers.get_all("webhook-signature").iter().collect::<Vec<_>>(), [expected.as_str()]);
        assert_eq!(request.headers["webhook-id"], id().to_string());
    }

    #[test]
    fn a_secret_that_was_not_filled_in_is_told_and_not_shown() {
        let told = Signer::new(&Signing::new(&[SECRET, "${secret:a}"]), id()).unwrap_err();

        assert_eq!(told, "sign.secrets[1] is no signing secret, expected `whsec_` and the Base64 of 24 to 64 bytes");
    }
}
