//! Options of which parts are credentials, as everybody may see them.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::object::{Mistakes, Object};
use crate::model::{Credentials, MASK};

/// An option as it was given, its credentials masked. Most have none and are shown as they are.
pub(super) struct MaskedOption<'a> {
    pub(super) key: &'a str,
    pub(super) given: &'a RawValue,
}

impl Serialize for MaskedOption<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // In a callback `null` stands as it was given.
        if !Credentials::KEYS.contains(&self.key) || self.given.get() == "null" {
            return self.given.serialize(serializer);
        }
        let members = Object::read(self.given, String::new(), &mut Mistakes::default());
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in members.map(Object::into_members).into_iter().flatten() {
            if Credentials::SECRET_KEYS.contains(&&*key) {
                map.serialize_entry(&key, &Masked(value))?;
            } else {
                map.serialize_entry(&key, value)?;
            }
        }
        map.end()
    }
}

/// As many masks as there are texts. A text that only names a secret is shown.
struct Masked<'a>(&'a RawValue);

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(self.0.get()) else {
            return serializer.serialize_str(&shown(self.0));
        };
        let mut masks = serializer.serialize_seq(Some(values.len()))?;
        for value in values {
            masks.serialize_element(&shown(value))?;
        }
        masks.end()
    }
}

fn shown(value: &RawValue) -> String {
    let text: Option<String> = serde_json::from_str(value.get()).ok();
    text.as_deref().map_or(MASK, Credentials::shown).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(key: &str, given: &str) -> String {
        serde_json::to_string(&MaskedOption { key, given: serde_json::from_str(given).unwrap() }).unwrap()
    }

    #[test]
    fn secrets_are_masked_and_all_else_stays() {
        assert_eq!(masked("sign", r#"{"secrets":["a","b"]}"#), r#"{"secrets":["***","***"]}"#);
        assert_eq!(masked("sign", r#"{"secrets":"a"}"#), r#"{"secrets":"***"}"#);
        assert_eq!(masked("sign", "null"), "null");
        assert_eq!(
            masked("auth", r#"{"type":"basic","username":"a","password":"s3cret"}"#),
            r#"{"type":"basic","username":"a","password":"***"}"#
        );
        assert_eq!(
            masked("auth", r#"{"client_id":"a","client_secret":"s3cret"}"#),
            r#"{"client_id":"a","client_secret":"***"}"#
        );
        assert_eq!(masked("auth", r#"{"token":["s3cret"],"type":"bearer"}"#), r#"{"token":["***"],"type":"bearer"}"#);
        assert_eq!(
            masked("sign", r#"{"secrets":["${secret:a}","x${secret:a}"]}"#),
            r#"{"secrets":["${secret:a}","***"]}"#
        );
        assert_eq!(masked("auth", r#"{"token":"${secret:a}"}"#), r#"{"token":"${secret:a}"}"#);
        assert_eq!(masked("tags", r#"["secrets"]"#), r#"["secrets"]"#);
        assert_eq!(masked("exclude", r#"{"secrets":["a"]}"#), r#"{"secrets":["a"]}"#);
    }
}
