//! Whatever an entry says beside its trigger, the instants that it names are those that are proven.

use chrono::NaiveDate;

use super::*;
use crate::model::{Exclude, Misfire, Overlap, RunId};

/// One entry for each way to name instants, and for each way not to fire them.
async fn put_all(node: &Node) {
    let plain = EntryOptions::default;
    let cron = |text: &str| Schedule::cron(text).unwrap();
    let weekdays = Exclude { weekdays: 1, ..Exclude::default() };
    let date = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap();
    let dates = Exclude { dates: [date].into(), ..Exclude::default() };
    let entries = [
        ("at", Schedule::at("2026-03-29T00:00:12.345Z").unwrap(), plain()),
        ("at passed", Schedule::at("2026-03-28T00:00:00Z").unwrap(), plain()),
        ("every", Schedule::every("7s").unwrap(), plain()),
        ("every put", cron("@every 11s"), EntryOptions { fires_max: Some(4), ..plain() }),
        ("fires max", cron("*/5 * * * * *"), EntryOptions { fires_max: Some(9), ..plain() }),
        ("start at", cron("* * * * * *"), EntryOptions { start_at: Some(at("2026-03-29T00:02:00Z")), ..plain() }),
        ("end at", cron("* * * * * *"), EntryOptions { end_at: Some(at("2026-03-29T00:02:00Z")), ..plain() }),
        ("excluded", cron("* * * * * *"), EntryOptions { exclude: dates, ..plain() }),
        ("sundays", cron("*/30 * * * * *"), EntryOptions { exclude: weekdays, ..plain() }),
        ("disabled", cron("* * * * * *"), EntryOptions { enabled: false, ..plain() }),
        ("jitter", cron("*/10 * * * * *"), EntryOptions { jitter: Some(Duration::from_secs(8)), ..plain() }),
        ("skip", cron("* * * * * *"), EntryOptions { misfire: Misfire::Skip, overlap: Overlap::Skip, ..plain() }),
        ("all", cron("* * * * * *"), EntryOptions { misfire: Misfire::FireAll, overlap: Overlap::QueueOne, ..plain() }),
    ];
    for (name, schedule, options) in entries {
        node.put_entry(name, schedule, options).await;
    }
}

fn instants(findings: &[Finding], name: &str) -> u64 {
    let of_task = findings.iter().filter(|finding| finding.identity.as_str() == name);
    of_task.map(|finding| finding.count).sum()
}

#[tokio::test(start_paused = true)]
async fn with_every_option_each_instant_has_exactly_one_outcome_and_what_was_asked_for_counts_for_none() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    put_all(&node).await;
    node.until("2026-03-29T00:00:20.250Z").await;
    let (clock, store, sink) = node.crash().await;
    clock.sleep_until(at("2026-03-29T00:01:20.250Z")).await;
    let node = Node::start(clock, store, sink).await;
    for name in ["every", "fires max", "excluded"] {
        let asked: Result<RunId, _> = node.catalog.run_now(&identity(name), &entry_name(), "", "ada").await;
        asked.unwrap();
    }
    let (from, to) = (at("2026-03-29T00:00:05Z"), at("2026-03-29T00:00:15Z"));
    node.catalog.backfill(&identity("every"), &entry_name(), from, to, 5, "ada").await.unwrap();
    node.until("2026-03-29T00:04:00.500Z").await;
    // A run that is under way is no outcome, and there is one for a past instant that is none either.
    node.sink.answer(None);
    node.catalog.run_now(&identity("at"), &entry_name(), "", "ada").await.unwrap();

    let (from, to) = (at("2026-03-29T00:00:00Z"), at("2026-03-29T00:03:59Z"));
    let findings = node.verify(from, to).await;
    for finding in &findings {
        assert!(matches!(finding.verdict, verify::Verdict::Settled(_)), "{finding:?}");
    }
    let named = ["at", "at passed", "every", "every put", "fires max", "start at", "end at", "excluded", "sundays"];
    let counts = named.map(|name| instants(&findings, name));
    assert_eq!(counts, [1, 0, 34, 4, 9, 120, 120, 0, 0], "{named:?}");
    assert_eq!([instants(&findings, "disabled"), instants(&findings, "jitter")], [0, 23]);
    assert_eq!([instants(&findings, "skip"), instants(&findings, "all")], [239, 239]);
}
