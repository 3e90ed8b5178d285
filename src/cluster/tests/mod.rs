use crate::model::Shard;

use super::played::member;
use super::{Member, Membership, MembershipError};

mod keeping;
mod peers;
mod simulation;

#[test]
fn the_document_comes_back_as_it_was_written() {
    let mut membership = Membership::default();
    membership.version = 7;
    membership.upsert(member(1));
    membership.upsert(Member { is_leaving: true, ..member(2) });
    membership.set_owner(Shard::at(3), Some(member(2).id));

    assert_eq!(Membership::read(7, &membership.write()).unwrap(), membership);
    assert_eq!(membership.owned_by(member(2).id).count(), 1);
}

#[test]
fn a_document_of_a_newer_version_is_refused_with_what_to_do() {
    let newer = Membership::read(1, r#"{"format":2,"whatever":[]}"#);

    assert!(matches!(newer, Err(MembershipError::Newer { found: 2 })));
    let said = newer.unwrap_err().to_string();
    assert_eq!(said, "the cluster document has the format 2, this version knows 1: update this node");
    assert!(matches!(Membership::read(1, "{}"), Err(MembershipError::Unreadable(_))));
}

#[test]
fn what_a_member_owned_that_is_taken_out_has_no_owner() {
    let mut membership = Membership::default();
    membership.upsert(member(1));
    let shard = Shard::at(3);
    membership.set_owner(shard, Some(member(1).id));

    membership.retain(|member| member.url.is_empty());

    assert_eq!((membership.owner(shard), membership.members()), (None, &[][..]));
}
