//! Where requests belong that name their task in the body.

use super::Belongs;
use crate::api::Services;
use crate::api::asked::Asked;
use crate::api::wire::identity_of;
use crate::model::Identity;
use crate::model::object::{Mistakes, Object};

/// Answered by any node.
pub(in crate::api) fn anywhere(_services: &Services, _asked: &mut Asked) -> Belongs {
    Belongs::Anywhere
}

/// The handler asks those that it needs.
pub(in crate::api) fn everywhere(_services: &Services, _asked: &mut Asked) -> Belongs {
    Belongs::Everywhere
}

/// Reads what the store holds of the task that the body names.
pub(in crate::api) fn stored(_services: &Services, asked: &mut Asked) -> Belongs {
    named(&asked.body).map_or(Belongs::Anywhere, Belongs::Stored)
}

/// Reads the task that the body names.
pub(in crate::api) fn read(_services: &Services, asked: &mut Asked) -> Belongs {
    named(&asked.body).map_or(Belongs::Anywhere, Belongs::Read)
}

/// Changes the task that the body names.
pub(in crate::api) fn change(_services: &Services, asked: &mut Asked) -> Belongs {
    named(&asked.body).map_or(Belongs::Anywhere, Belongs::Change)
}

/// The task that a body names. Where it names none, or is not understood, every node refuses it alike.
pub(in crate::api) fn named(body: &[u8]) -> Option<Identity> {
    with_body(body, identity_of)
}

/// What `read` makes of a body, if it is an object.
pub(in crate::api) fn with_body<T>(
    body: &[u8],
    read: impl FnOnce(&Object<'_>, &mut Mistakes) -> Option<T>,
) -> Option<T> {
    let mut mistakes = Mistakes::default();
    let body = Object::read_body(body, "", &mut mistakes)?;
    read(&body, &mut mistakes)
}
