//! The judge of `scripts/abuse`: what it calls a broken promise; and that its fuzzed requests can be sent again.

#[path = "../../benches/chaos/dice.rs"]
mod dice;
#[path = "../../benches/abuse/fuzz/mod.rs"]
mod fuzz;
#[path = "../../benches/abuse/ruling/mod.rs"]
mod ruling;
#[path = "../../benches/abuse/wire.rs"]
#[expect(dead_code, reason = "here nothing is sent")]
mod wire;

/// As it is there, for what is fuzzed.
mod service {
    pub(crate) const ADMIN_KEY: &str = "only-for-a-service-that-is-ill-treated";
}

use std::collections::HashSet;
use std::time::Duration;

use self::fuzz::{Base, Case, PLACEHOLDER, PREFIX, bases};
use self::ruling::{Bounds, Breach, Fires, Promise, Row, Visits, Whole, breaches, json, table};

const MIB: u64 = 1024 * 1024;
const BEFORE: u64 = 100 * MIB;

fn row(scene: &str) -> Row {
    Row {
        scene: scene.to_owned(),
        begin: 10_000,
        end: 20_000,
        what: "something".to_owned(),
        broken: Vec::new(),
        fires: Fires { owed: 2_000, p50_ms: 5, p99_ms: 20, max_ms: 30, ..Fires::default() },
        visits: Visits { served: 50, failed: Vec::new(), slowest: Duration::from_millis(40) },
        memory_max: BEFORE + 50 * MIB,
        logged: 1_000,
        panics: Vec::new(),
    }
}

/// Two scenes in which nothing goes wrong.
fn well() -> Whole {
    Whole { rows: vec![row("calm"), row("fuzz")], ended: None, memory_before: BEFORE, memory_after: BEFORE }
}

/// Which promises are broken, and where, after something was done to the second scene.
fn broken_by(change: impl FnOnce(&mut Row)) -> Vec<(Promise, String)> {
    let mut whole = well();
    change(&mut whole.rows[1]);
    named(&breaches(&whole, &Bounds::FULL))
}

fn named(breaches: &[Breach]) -> Vec<(Promise, String)> {
    breaches.iter().map(|breach| (breach.promise, breach.scene.clone())).collect()
}

fn in_fuzz(promise: Promise) -> Vec<(Promise, String)> {
    vec![(promise, "fuzz".to_owned())]
}

fn at_the_end(promise: Promise) -> Vec<(Promise, String)> {
    vec![(promise, "the end".to_owned())]
}

#[test]
fn what_goes_well_breaks_nothing_and_is_shown_as_kept() {
    let whole = well();
    let broken = breaches(&whole, &Bounds::FULL);

    assert_eq!(broken, []);
    let table = table(&whole, &broken);
    assert_eq!(table.matches("| kept |").count(), 2, "{table}");
    assert!(table.contains("| 5 / 20 / 30 ms | 50, 40 ms | 150 MiB |"), "{table}");
    assert!(table.contains("100 MiB before, 100 MiB after"), "{table}");
}

#[test]
fn a_lost_and_a_doubled_fire_are_told() {
    let lost = broken_by(|row| row.fires.lost.push("steady-0001 1000: no request came".to_owned()));
    let doubled = broken_by(|row| row.fires.doubled.push("steady-0001 1000: 2 requests".to_owned()));

    assert_eq!(lost, in_fuzz(Promise::NoneLost));
    assert_eq!(doubled, in_fuzz(Promise::NoneDoubled));
}

#[test]
fn where_nothing_was_to_fire_nothing_is_proven() {
    let mut whole = well();
    whole.rows.iter_mut().for_each(|row| row.fires.owed = 0);

    assert_eq!(named(&breaches(&whole, &Bounds::FULL)), at_the_end(Promise::NoneLost));
}

#[test]
fn a_process_that_ended_and_a_panic_that_it_survived_are_told() {
    let crashed = Whole { ended: Some("signal 11".to_owned()), ..well() };

    assert_eq!(named(&breaches(&crashed, &Bounds::FULL)), at_the_end(Promise::Alive));
    assert_eq!(broken_by(|row| row.panics.push("thread panicked".to_owned())), in_fuzz(Promise::Alive));
}

#[test]
fn memory_may_grow_and_has_to_come_back() {
    let after = |memory_after| named(&breaches(&Whole { memory_after, ..well() }, &Bounds::FULL));

    assert_eq!(after(BEFORE + 30 * MIB), []);
    assert_eq!(after(BEFORE + 30 * MIB + 1), at_the_end(Promise::Memory));
    assert_eq!(after(0), [], "less than before is no breach");
    let peak = |more| broken_by(|row| row.memory_max = BEFORE + more);
    assert_eq!(peak(Bounds::FULL.memory_more), []);
    assert_eq!(peak(Bounds::FULL.memory_more + 1), in_fuzz(Promise::Memory));
}

#[test]
fn lateness_is_judged_in_the_long_form_and_only_shown_in_the_short_one() {
    let mut whole = well();
    whole.rows[1].fires.p99_ms = 51;

    assert_eq!(named(&breaches(&whole, &Bounds::FULL)), in_fuzz(Promise::OnTime));
    assert_eq!(breaches(&whole, &Bounds::SHORT), []);
    assert_eq!(broken_by(|row| row.fires.p99_ms = 50), []);
}

#[test]
fn an_honest_client_that_waits_long_is_refused_or_never_comes_through_is_told() {
    let served = in_fuzz(Promise::Served);

    assert_eq!(broken_by(|row| row.visits.slowest = Bounds::FULL.visit), []);
    assert_eq!(broken_by(|row| row.visits.slowest = Bounds::FULL.visit + Duration::from_millis(1)), served);
    assert_eq!(broken_by(|row| row.visits.failed.push("health: no answer".to_owned())), served);
    assert_eq!(broken_by(|row| row.visits.served = 0), served);
}

#[test]
fn what_a_scene_saw_and_a_log_that_grows_without_bound_are_told() {
    let allowed = Bounds::FULL.log + 10 * Bounds::FULL.log_each_s;

    assert_eq!(
        broken_by(|row| row.broken.push("answered 500: --seed 1 --only 7".to_owned())),
        in_fuzz(Promise::Answered)
    );
    assert_eq!(broken_by(|row| row.logged = allowed), []);
    assert_eq!(broken_by(|row| row.logged = allowed + 1), in_fuzz(Promise::Log));
}

#[test]
fn the_table_and_the_figures_for_programs_name_what_was_broken() {
    let mut whole = well();
    whole.rows[1].fires.lost.push("steady-0001 1000: no request came".to_owned());
    whole.rows[1].broken.push("answered 500".to_owned());
    let broken = breaches(&whole, &Bounds::FULL);

    let (table, figures) = (table(&whole, &broken), json(&whole, &broken));

    assert!(table.contains("**broken: answers, lost**"), "{table}");
    assert_eq!(table.matches("| kept |").count(), 1, "{table}");
    assert_eq!(
        (figures["scenes"][1]["lost"].as_u64(), figures["broken"][0]["scene"].as_str()),
        (Some(1), Some("fuzz"))
    );
}

fn described() -> Vec<Base> {
    let document = serde_json::json!({ "paths": {
        "/put": { "post": {
            "x-required-role": "write", "responses": {},
            "requestBody": { "content": { "application/json": { "example": { "identity": PREFIX, "entries": {} } } } },
        } },
        "/history/{identity}": { "get": {
            "x-required-role": "read", "responses": {},
            "parameters": [
                { "name": "identity", "in": "path", "example": "back up" },
                { "name": "limit", "in": "query", "schema": { "examples": [20] } },
            ],
        } },
    } });
    bases(&document).unwrap()
}

#[test]
fn each_operation_that_is_described_is_asked_with_its_examples() {
    let bases = described();

    let of = |method: &str| bases.iter().find(|base| base.method == method).unwrap();
    let (put, history) = (of("POST"), of("GET"));
    assert_eq!(bases.len(), 2);
    let written = |base: &Base| String::from_utf8(base.written(Some("k"))).unwrap();
    assert!(written(put).starts_with("POST /put HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: k\r\n"), "{put:?}");
    let body = written(put).split("\r\n\r\n").nth(1).map(str::to_owned).unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({ "identity": PREFIX, "entries": {} }));
    assert!(written(history).starts_with("GET /history/back%20up?limit=20 HTTP/1.1\r\n"), "{history:?}");
    assert_eq!((put.is_harmless, history.is_harmless), (false, true));
}

#[test]
fn a_seed_and_a_number_say_which_request_is_sent_and_what_changes_tasks_is_never_sent_with_the_key_for_everything() {
    let bases = described();
    let cases = |seed: u64| (0..2_000).map(|number| Case::new(seed, number, &bases)).collect::<Vec<_>>();
    let (first, again, other) = (cases(1), cases(1), cases(2));

    assert!(first == again, "the same seed sends the same");
    let differ = first.iter().zip(&other).filter(|(one, other)| one != other).count();
    assert!(differ > 1_900, "another seed sends others: {differ}");
    let different: HashSet<&[u8]> = first.iter().map(|case| case.bytes.as_slice()).collect();
    assert!(different.len() > 1_500, "they differ among themselves: {}", different.len());
    let has = |case: &Case, part: &str| case.bytes.windows(part.len()).any(|bytes| bytes == part.as_bytes());
    for case in first.iter().filter(|case| has(case, service::ADMIN_KEY)) {
        assert!(!has(case, "POST /put"), "{}", case.escaped());
    }
    let key = "k".repeat(PLACEHOLDER.len());
    let keyed = first.into_iter().find(|case| has(case, PLACEHOLDER)).unwrap().with_key(&key);
    assert!(has(&keyed, &key) && !has(&keyed, PLACEHOLDER));
}

#[test]
fn answers_are_counted_one_by_one_and_an_error_in_a_frame_is_seen() {
    let came = |bytes: &[u8]| wire::Came { bytes: bytes.to_vec(), ..wire::Came::default() }.statuses();

    assert_eq!(came(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nHTTP/1.1 500 no!HTTP/1.1 400 B\r\n\r\n"), [100, 200, 400]);
    assert_eq!(
        came(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP/1.1 503 S\r\n\r\n"),
        [200, 503]
    );
    let frames = [wire::frame(4, 0, 0, &[]), wire::frame(1, 4, 1, &[0x88, 1]), wire::frame(1, 4, 3, &[0x8e])].concat();
    assert_eq!(came(&frames), [200, 500]);
    assert_eq!(came(b""), [0_u16; 0]);
}
