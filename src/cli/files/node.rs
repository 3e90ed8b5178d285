//! A JSON value taken apart, with everything in it as it was written.

use serde_json::value::RawValue;

use super::yaml::DEPTH_MAX;
use crate::model::object::{Kind, Mistakes, Object, kind};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Node {
    /// A text.
    Text(String),
    /// A number, a boolean or null, as it was written.
    Plain(String),
    /// An array.
    List(Vec<Node>),
    /// An object, in its order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Takes a JSON text apart. The error says what YAML could not hold of it.
    pub(in crate::cli) fn parse(json: &str) -> Result<Self, String> {
        let raw = serde_json::from_str(json).map_err(|error| format!("is no JSON ({error})"))?;
        Self::of(raw, DEPTH_MAX)
    }

    fn of(raw: &RawValue, depth_left: usize) -> Result<Self, String> {
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(format!("is nested deeper than {DEPTH_MAX} levels"));
        };
        let no_text = |error: serde_json::Error| format!("holds a text that is no Unicode ({error})");
        Ok(match kind(raw) {
            Kind::String => Self::Text(serde_json::from_str(raw.get()).map_err(no_text)?),
            Kind::Number | Kind::Boolean | Kind::Null => Self::Plain(raw.get().to_owned()),
            Kind::Array => {
                let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(no_text)?;
                let items = items.into_iter().map(|item| Self::of(item, depth_left));
                Self::List(items.collect::<Result<_, _>>()?)
            }
            Kind::Object => {
                let mut mistakes = Mistakes::default();
                let members = Object::read(raw, String::new(), &mut mistakes);
                let Some(members) = members.filter(|_| mistakes.is_empty()) else { return Err(mistakes.text()) };
                let members = members.into_members().into_iter();
                let members = members.map(|(key, value)| Ok((key, Self::of(value, depth_left)?)));
                Self::Map(members.collect::<Result<_, String>>()?)
            }
        })
    }

    /// The member with this name.
    pub(in crate::cli) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members.
    pub(in crate::cli) fn members_mut(&mut self) -> &mut [(String, Self)] {
        match self {
            Self::Map(members) => members,
            Self::Text(_) | Self::Plain(_) | Self::List(_) => &mut [],
        }
    }
}
