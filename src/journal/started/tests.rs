use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Callback, Entry, EntryOptions, Identity, Request, Schedule, TargetUrl, Task, TimeZone};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_123_456);

fn json_text(text: &str) -> JsonText {
    JsonText::from_raw(serde_json::from_str(text).unwrap()).unwrap()
}

fn revision() -> Arc<Revision> {
    let request = |url: &str| Request::post(TargetUrl::parse(url).unwrap());
    let named = |name: &str| {
        Entry::new(EntryName::parse(name).unwrap(), Schedule::cron("* * * * * *").unwrap(), request("http://a/"))
    };
    let callback = Callback { request: request("http://told/"), each: false, credentials: Default::default() };
    let options = EntryOptions { on_failure: Some(callback), ..EntryOptions::default() };
    let entries = vec![named("plain"), named("told of").with_options(Some(Box::new(options)))];
    let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, entries);
    Arc::new(Revision { number: 7, ..Revision::new(task, Timestamp::EPOCH) })
}

fn planned() -> Fire {
    Fire::planned(revision(), 0, Timestamp::from_millis(1_800_000_000_000), Trigger::Schedule)
}

fn asked(args: &str, rerun: bool, backfill: Option<usize>) -> Fire {
    let asked = Asked {
        run_id: RunId::asked(NOW),
        run_by: "key of alice".into(),
        args: args.into(),
        rerun_of: rerun.then(|| planned().run_id()),
        backfill: backfill.map(|at_once| Backfill { id: RunId::asked(NOW), at_once }),
    };
    Fire { asked: Some(Arc::new(asked)), ..Fire { trigger: Trigger::Manual, ..planned() } }
}

fn notice(of: Fire) -> Fire {
    let about = of.run_id();
    let (run_id, event) = (about.following("on_failure"), Some(json_text(r#"{"event":"on_failure"}"#)));
    let notice = Notice { run_id, about, occasion: Occasion::Failure, event };
    Fire { entry: 1, notice: Some(Arc::new(notice)), ..of }
}

fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        started_at: NOW,
        duration: Duration::from_millis(12),
        status: number.is_multiple_of(2).then_some(503),
        error: Some("answered with \"503\"".into()),
        bytes: 17,
    }
}

#[track_caller]
fn assert_comes_back(started: &Started) {
    let record = started.record(&Masking::default());
    let read = read_started(&record).unwrap();

    let progress = Progress {
        attempts: started.attempts.clone(),
        is_under_way: started.stage == RunStage::Running,
        phase: started.phase,
        resume_at: started.resume_at,
        given_up: None,
        is_elsewhere: false,
    };
    assert_eq!(read.progress, progress);
    assert_eq!(read.revision, 7);
    let fire = read.into_fire(&started.fire.revision).unwrap();
    assert_eq!(
        (fire.run_id(), fire.entry, fire.fire_time),
        (started.fire.run_id(), started.fire.entry, started.fire.fire_time)
    );
    assert_eq!((fire.trigger, fire.redelivered), (started.fire.trigger, started.fire.redelivered));
    assert_eq!((&fire.asked, &fire.notice), (&started.fire.asked, &started.fire.notice));
    assert_eq!(fire.run_by(), started.fire.run_by());
}

proptest! {
    #[test]
    fn what_a_started_record_tells_comes_back(
        kind in 0..4,
        args in "\\PC{0,20}",
        rerun: bool,
        backfill in proptest::option::of(1_usize..100),
        redelivered: bool,
        stage in 0_usize..3,
        attempts in 0_u32..5,
        phase in 0_u32..40,
        resumes: bool,
    ) {
        let fire = [planned(), asked(&args, rerun, backfill), notice(planned()), notice(asked(&args, rerun, backfill))][kind as usize].clone();
        assert_comes_back(&Started {
            fire: Fire { redelivered, ..fire },
            stage: RunStage::ALL[stage],
            attempts: (1..=attempts).map(attempt).collect(),
            phase,
            at: NOW,
            resume_at: resumes.then_some(NOW),
        });
    }
}

#[test]
fn a_started_record_stands_for_its_instant_without_settling_it() {
    let record = started_record(&planned(), RunStage::Running, &[], 1, NOW);

    assert_eq!(record.settles(), None);
    assert_eq!(record.instant(), planned().fire_time);
    assert_eq!(
        record.run,
        Some(RunState { entry: Some(planned().entry().name.clone()), phase: 1, is_dead_letter: false })
    );
    assert!(
        record.source.contains(r#""state":"running""#) && record.source.contains(r#""started_at":"#),
        "{}",
        record.source
    );
    assert_eq!(started_record(&asked("", false, None), RunStage::Queued, &[], 0, NOW).settled, None);
}

#[test]
fn a_callback_is_found_after_a_crash_and_goes_only_if_it_is_still_wanted() {
    let record = started_record(&notice(planned()), RunStage::Queued, &[], 0, NOW);

    assert_eq!(
        (&record.settled, &record.run),
        (&None, &Some(RunState { entry: None, phase: 0, is_dead_letter: false }))
    );
    assert!(record.source.contains(r#""url":"http://told/""#), "{}", record.source);
    let abandoned = abandoned_record(&record, "gone", NOW).unwrap();
    assert_eq!((abandoned.kind, abandoned.run), (RecordKind::Error, None));
    let without = Revision::new(Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, Vec::new()), NOW);
    assert!(read_started(&record).unwrap().into_fire(&Arc::new(without)).is_none());
}

#[test]
fn a_run_that_is_given_up_ends_as_an_error_that_keeps_what_was_known() {
    let started = started_record(&asked("x y", true, None), RunStage::BackingOff, &[attempt(1)], 2, NOW);

    let ended = abandoned_record(&started, "lost", Timestamp::from_secs(1_900_000_000)).unwrap();

    assert_eq!((ended.id, ended.kind, ended.time.secs()), (started.id, RecordKind::Error, 1_900_000_000));
    assert_eq!(ended.run.unwrap().phase, RunState::ENDED);
    let document: serde_json::Value = serde_json::from_str(&ended.source).unwrap();
    assert_eq!(document["message"], serde_json::json!(["lost"]));
    assert_eq!((&document["args"], &document["type"]), (&"x y".into(), &"error".into()));
    assert_eq!((document.get("state"), document["attempts"].as_array().unwrap().len()), (None, 1));
}
