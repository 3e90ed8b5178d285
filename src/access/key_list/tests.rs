use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn new(name: &str) -> NewKey {
    let prefixes = Prefixes::parse(&["a/"]).unwrap();
    let (role, limits, created_by) = (Role::Operate, KeyLimits::default(), "admin".into());
    NewKey { name: name.into(), role, prefixes, limits, expires_at: None, created_by }
}

fn text() -> KeyText {
    KeyText::generate(KeyId::generate().unwrap()).unwrap()
}

/// A list with one key.
fn with_key(change: impl FnOnce(&mut NewKey)) -> (KeyList, KeyText) {
    let (mut list, text, mut new) = (KeyList::default(), text(), new("ci"));
    change(&mut new);
    list.add(&new, &text, NOW).unwrap();
    (list, text)
}

#[test]
fn a_key_opens_with_its_own_secret_and_id_and_gives_its_name_role_and_prefixes() {
    let (list, text) = with_key(|_| {});
    let other_secret = KeyText::generate(text.id().clone()).unwrap();

    let grant = list.find(&text, NOW).unwrap().grant();

    assert_eq!((&*grant.name, grant.role, grant.prefixes.to_texts()), ("ci", Role::Operate, vec!["a/".to_owned()]));
    assert_eq!(list.find(&other_secret, NOW), Err(Wrong::Secret(text.id().clone())));
    assert_eq!(list.find(&self::text(), NOW), Err(Wrong::Unknown));
}

#[test]
fn a_key_opens_up_to_its_end_and_not_at_it() {
    let (list, text) = with_key(|new| new.expires_at = Some(NOW.plus(DAY)));
    let last = NOW.plus(DAY).minus(Duration::from_millis(1));

    assert!(list.find(&text, last).is_ok() && list.has_valid(last));
    let over = Wrong::Over(text.id().clone(), Standing::Expired);
    assert_eq!(list.find(&text, NOW.plus(DAY)), Err(over));
    assert!(!list.has_valid(NOW.plus(DAY)));
}

#[test]
fn a_revoked_key_opens_nothing_and_nor_does_the_secret_it_had_before() {
    let (mut list, first) = with_key(|_| {});
    let second = KeyText::generate(first.id().clone()).unwrap();
    list.rotate(&second, DAY, NOW).unwrap();

    let revoked = list.revoke(first.id(), NOW).unwrap();

    assert_eq!(list.find(&second, NOW), Err(Wrong::Over(first.id().clone(), Standing::Revoked)));
    assert_eq!(list.find(&first, NOW), Err(Wrong::Secret(first.id().clone())));
    assert_eq!(list.revoke(first.id(), NOW.plus(DAY)).unwrap(), revoked);
    assert!(matches!(list.rotate(&second, DAY, NOW), Err(KeyError::Over(Standing::Revoked))));
    assert!(matches!(list.revoke(&KeyId::generate().unwrap(), NOW), Err(KeyError::Unknown)));
}

#[test]
fn after_a_rotation_the_secret_before_opens_for_the_overlap_and_without_one_not_at_all() {
    let (mut list, first) = with_key(|_| {});
    let [second, third] = [(); 2].map(|()| KeyText::generate(first.id().clone()).unwrap());

    let rotated = list.rotate(&second, DAY, NOW).unwrap();
    let last = NOW.plus(DAY).minus(Duration::from_millis(1));
    assert_eq!((rotated.rotated_at, rotated.overlaps_until(NOW)), (Some(NOW), Some(NOW.plus(DAY))));
    assert!(list.find(&first, last).is_ok() && list.find(&second, last).is_ok());
    assert!(list.find(&first, NOW.plus(DAY)).is_err() && list.find(&second, NOW.plus(DAY)).is_ok());

    list.rotate(&third, Duration::ZERO, NOW).unwrap();
    assert!(list.find(&third, NOW).is_ok());
    for gone in [&first, &second] {
        assert_eq!(list.find(gone, NOW), Err(Wrong::Secret(first.id().clone())));
    }
}

#[test]
fn a_key_that_has_ended_is_listed_for_thirty_days_and_then_forgotten() {
    let (mut list, text) = with_key(|new| new.expires_at = Some(NOW));
    let (last, gone) = (NOW.plus(30 * DAY).minus(Duration::from_millis(1)), NOW.plus(30 * DAY));

    assert_eq!((list.listed(last).len(), list.listed(gone).len()), (1, 0));
    list.add(&new("other"), &self::text(), gone).unwrap();
    assert_eq!(list.find(&text, gone), Err(Wrong::Unknown));
}

#[test]
fn two_valid_keys_never_have_one_name_and_some_names_mean_something_else() {
    let (mut list, first) = with_key(|_| {});

    assert!(matches!(list.add(&new("ci"), &text(), NOW), Err(KeyError::NameTaken(_))));
    for kept in ["admin", "anonymous", "oidc:ann", "cert:ann"] {
        assert!(matches!(list.add(&new(kept), &text(), NOW), Err(KeyError::NameKept(_))));
    }
    list.revoke(first.id(), NOW).unwrap();
    list.add(&new("ci"), &text(), NOW).unwrap();
}

#[test]
fn there_are_no_more_than_a_thousand_keys() {
    let mut list = KeyList::default();
    for number in 0..KEYS_MAX {
        list.add(&new(&format!("key-{number}")), &text(), NOW).unwrap();
    }

    assert!(matches!(list.add(&new("one more"), &text(), NOW), Err(KeyError::TooMany)));
    assert!(list.write().len() < 1024 * 1024, "the text stays small: {}", list.write().len());
}

#[test]
fn keys_come_back_as_they_were_written_and_without_their_secrets() {
    let (mut list, first) = with_key(|new| new.expires_at = Some(NOW.plus(DAY)));
    let second = KeyText::generate(first.id().clone()).unwrap();
    list.rotate(&second, DAY, NOW).unwrap();
    let other = text();
    list.add(&new("other"), &other, NOW).unwrap();
    list.revoke(other.id(), NOW).unwrap();

    let written = list.write();

    assert_eq!(KeyList::read(&written).unwrap(), list);
    for key in [&first, &second, &other] {
        let text = key.reveal();
        let (_, secret) = text.rsplit_once('_').unwrap();
        assert!(!written.contains(secret) && !format!("{list:?}").contains(secret));
    }
    assert_eq!(KeyList::read(r#"{"format":2,"keys":7}"#), Err(KeyListError::Newer(2)));
    for wrong in ["", "{}", r#"{"format":1,"keys":[{}]}"#, &written.replace("operate", "root")] {
        assert!(matches!(KeyList::read(wrong), Err(KeyListError::Unreadable(_))), "{wrong}");
    }
}

#[test]
fn limits_of_a_key_come_back_and_a_list_without_them_says_nothing_of_limits() {
    let limits = KeyLimits { requests_per_second: Some(0), tasks_max: Some(7) };
    let (list, limited) = with_key(|new| new.limits = limits);
    let (other, plain) = with_key(|_| {});

    let (written, before) = (list.write(), other.write());

    assert_eq!(KeyList::read(&written).unwrap().get(limited.id()).unwrap().limits, limits);
    assert!(
        !before.contains("tasks_max") && !before.contains("requests_per_second"),
        "as it was written before: {before}"
    );
    assert_eq!(KeyList::read(&before).unwrap().get(plain.id()).unwrap().limits, KeyLimits::default());
}
