//! No body makes the readers panic, and whatever they refuse is told in lines with a place.

mod access;
mod broken;
mod node;
mod nodes;

use proptest::prelude::*;

use super::caller::Caller;
use super::{changes, wire, wire_put};
use crate::model::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn refusals(bytes: &[u8]) -> Vec<String> {
    let mut refusals = Vec::new();
    let mut note = |refused: Option<wire::Misunderstood>| refusals.extend(refused.map(|refused| refused.0));
    note(wire_put::put(bytes, &wire_put::Terms::at(NOW)).err());
    note(wire::identity(bytes).err());
    note(wire::task(bytes).err());
    note(wire::tasks(bytes, 10_000).err());
    note(changes::switch(bytes, &Caller::anonymous()).err());
    note(changes::removal(bytes, &Caller::anonymous()).err());
    note(wire::search(bytes).err());
    refusals
}

const VALID: &str = r#"{"identity":"a","time_zone":"Europe/Berlin","start":true,"running":true,"limit":20,"skip":0,"type":"put",
    "time":{"gte":1,"lte":2},"entries":{"e":{"cron_time":"0 0 0 1 1 *","url":"http://127.0.0.1/","headers":{"X-A":"1"},
    "body":{"k":[1,2.5,null,"é"]},"next_date":"2001-02-03T04:05:06Z","method":"PUT","timeout":"30s","fires_max":3,
    "success":{"status":["2xx",304],"body_matches":"a+"},"retry":{"on":[503],"backoff":{"factor":1.5,"max":"2m"}},
    "exclude":{"dates":["2026-12-25"],"weekdays":["sat"]},"start_at":"2026-11-21T07:15:30+01:00","tags":["a"],
    "on_failure":{"url":"http://b/{{run_id}}","every":"run"}}}}"#;

const WORDS: [&str; 12] =
    ["identity", "time_zone", "start", "entries", "cron_time", "url", "headers", "body", "limit", "time", "x", ""];

/// JSON of any shape, with these names of members.
pub(super) fn json(depth: u32, words: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let words = [words, &["gte", "lte"]].concat();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e999".to_owned()),
        Just("-0.5".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        "\"[a-zA-Z0-9 */:.\u{e9}]{0,12}\"",
        Just("\"\\ud800\"".to_owned()),
        Just("\"http://127.0.0.1/\"".to_owned()),
        Just("\"* * * * * *\"".to_owned()),
    ];
    leaf.prop_recursive(depth, 64, 6, move |inner| {
        let member =
            (prop::sample::select(words.clone()), inner.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

pub(super) fn is_told(refusal: &str) -> bool {
    refusal.lines().all(|line| line.contains(": ") || line.starts_with("and ")) && !refusal.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn bytes_of_any_kind_are_refused_with_a_place(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(refusals(&bytes).iter().all(|refusal| is_told(refusal)));
    }

    #[test]
    fn json_of_any_shape_is_read_or_refused_with_a_place(text in json(5, &WORDS)) {
        prop_assert!(refusals(text.as_bytes()).iter().all(|refusal| is_told(refusal)), "{text}");
    }

    #[test]
    fn a_valid_body_with_a_few_bytes_changed_is_read_or_refused_with_a_place(
        changes in prop::collection::vec((0..VALID.len(), any::<u8>()), 1..4), cut in 0..VALID.len(),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        prop_assert!(refusals(&bytes).iter().all(|refusal| is_told(refusal)));
        prop_assert!(refusals(&bytes[..cut]).iter().all(|refusal| is_told(refusal)));
    }
}

#[test]
fn the_valid_body_is_read_by_every_reader_but_the_one_that_wants_an_array() {
    let refusals = refusals(VALID.as_bytes());

    assert_eq!(refusals, ["identity: is a string, expected an array of strings"]);
}

#[test]
fn a_body_as_deep_as_its_size_allows_is_no_danger() {
    let deep = "[".repeat(500_000);

    assert_eq!(refusals(deep.as_bytes()).len(), 7);
    let deep = format!("{{\"identity\":{}", "{\"a\":".repeat(100_000));
    assert_eq!(refusals(deep.as_bytes()).len(), 7);
}

#[test]
fn a_secret_in_a_header_is_not_repeated_in_a_refusal() {
    let body = VALID.replace(r#"{"X-A":"1"}"#, r#"{"Authorization":"s3cret\u0000","X":["s3cret"]}"#);

    let refusal = wire_put::put(body.as_bytes(), &wire_put::Terms::at(NOW)).unwrap_err().0;

    assert!(refusal.contains("entries.e.headers.Authorization: ") && !refusal.contains("s3cret"), "{refusal}");
}
