//! One suite of sentences that every store fulfils. Each implementation runs it with `store_conformance!`.

mod audit;
mod catalog;
mod journal;
mod leases;
mod listing;
mod logs;
mod register;
mod results;
mod runs;
mod transfer;

pub(crate) use self::audit::*;
pub(crate) use self::catalog::*;
pub(crate) use self::journal::*;
pub(crate) use self::leases::*;
pub(crate) use self::listing::*;
pub(crate) use self::logs::*;
pub(crate) use self::register::*;
pub(crate) use self::results::*;
pub(crate) use self::runs::*;
pub(crate) use self::transfer::*;

use std::sync::Arc;

use serde_json::json;

use crate::model::{
    Entry, EntryName, Epoch, Identity, Prefixes, Record, RecordId, RecordKind, Request, Revision, RunId, RunState,
    Schedule, Settled, Shard, ShardSet, Stretch, TargetUrl, Task, TimeZone, Timestamp,
};
use crate::store::{Change, Outcome, Search, Store};

/// Runs the suite on what `$open` gives: a store and whatever has to live as long.
macro_rules! store_conformance {
    ($open:expr) => {
        $crate::store::conformance::store_conformance!($open,
            a_change_needs_the_epoch_of_the_lease,
            a_change_on_a_stale_revision_is_refused_and_changes_nothing,
            a_replaced_revision_ends_where_the_next_begins,
            a_deleted_task_is_no_longer_in_force_and_its_numbers_go_on,
            what_was_stored_late_comes_into_force_when_it_is_found,
            only_the_holder_moves_what_was_stored_late,
            every_part_of_a_task_comes_back,
            ended_revisions_are_given_as_far_back_as_asked_and_forgotten_before,
            revisions_are_those_of_the_shards_that_are_asked_for,
            a_note_is_found_by_a_search,
            who_made_a_state_and_what_was_said_come_back,
            the_history_of_a_task_is_given_newest_first_in_pages,
            pauses_are_replaced_by_their_next_version_only,
            taking_leases_makes_earlier_epochs_stale,
            a_node_takes_some_shards_and_the_others_stay_as_they_are,
            nodes_that_take_at_the_same_moment_all_hold_what_they_took,
            a_claim_names_the_shard_that_another_node_has_taken,
            claims_never_move_back_and_a_release_may,
            claims_are_written_all_or_none,
            the_register_holds_nothing_before_the_first_is_written,
            the_register_is_replaced_by_its_next_version_only,
            of_many_that_write_the_register_at_once_one_succeeds,
            each_register_goes_its_own_way,
            the_register_is_no_lease_and_stays_where_it_is_when_all_is_copied,
            a_record_replaces_the_earlier_one_of_its_run,
            a_search_matches_the_identity_exactly,
            a_search_gives_the_newest_first_in_pages,
            a_search_keeps_to_kind_and_seconds,
            a_cleared_log_is_empty_but_its_outcomes_stay_known,
            a_record_after_a_clear_is_found,
            a_record_after_a_clear_and_a_pruning_is_found,
            all_outcomes_are_given_however_many_there_are,
            outcomes_are_given_by_their_last_instant,
            the_last_fire_is_the_newest_that_was_sent,
            pruning_takes_old_months_and_what_was_cleared_but_nothing_unsettled,
            pruning_stops_after_a_step,
            a_closed_store_refuses_writes,
            a_log_search_finds_whole_words_in_message_url_and_response,
            a_log_search_keeps_to_tasks_entries_and_kinds,
            a_log_search_keeps_to_status_lateness_and_duration,
            a_log_search_finds_a_run_by_its_id,
            a_log_search_by_fire_time_finds_every_stretch_that_overlaps,
            a_log_search_keeps_to_the_time_of_the_record,
            a_log_search_gives_every_order,
            the_pages_of_a_cursor_show_the_state_at_the_first_page,
            a_cursor_of_another_query_or_of_another_store_is_refused,
            cleared_records_are_in_no_log_search,
            a_log_search_counts_beyond_its_page_and_stops_counting,
            a_log_search_in_an_empty_store_is_one_empty_page,
            a_log_search_finds_runs_under_way_and_runs_that_somebody_asked_for,
            a_log_search_keeps_to_the_tasks_that_prefixes_cover_on_every_page,
            a_started_record_is_replaced_by_its_outcome,
            an_older_phase_never_replaces_a_newer_one,
            the_same_phase_replaces,
            an_instant_that_is_skipped_after_all_is_no_longer_started,
            a_started_record_settles_nothing,
            runs_are_listed_newest_instant_first_in_pages,
            runs_are_listed_by_task_entry_kind_and_instant,
            runs_and_dead_letters_are_listed_of_the_tasks_that_prefixes_cover,
            only_runs_are_listed,
            an_outcome_that_says_nothing_of_its_run_is_of_one_that_has_ended,
            a_run_that_somebody_asked_for_settles_nothing,
            a_listing_of_runs_stops_counting,
            a_listing_of_runs_leaves_out_what_is_large_and_a_run_by_its_name_does_not,
            dead_letters_are_listed_until_somebody_deals_with_them,
            a_run_is_found_by_its_id_as_soon_as_it_is_written,
            runs_that_have_not_ended_are_given_until_they_have,
            runs_that_have_not_ended_are_those_of_the_shards_that_are_asked_for,
            the_newest_run_is_the_last_that_has_ended,
            a_clear_hides_runs_until_they_are_written_again,
            pruning_takes_no_run_that_has_not_ended,
            a_result_comes_back_piece_by_piece,
            a_piece_that_is_written_again_is_replaced,
            results_go_by_the_age_of_their_runs,
            results_go_by_size_the_oldest_first_in_steps,
            the_audit_is_found_by_who_asks_for_it_and_comes_back_as_it_was_written,
            the_audit_is_paged_in_every_order,
            nothing_but_a_search_of_the_audit_shows_it,
            a_clear_takes_nothing_of_the_audit,
            a_change_is_stored_with_its_audit_record,
            the_audit_goes_by_its_own_age_and_not_by_that_of_the_history,
            the_audit_goes_by_its_own_size_the_oldest_first,
            a_copy_of_a_store_holds_the_same,
            a_node_goes_on_upon_a_copy,
            a_copy_goes_on_after_any_page,
            a_copy_that_is_made_twice_changes_nothing
        );
    };
    ($open:expr, $($rule:ident),+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let (store, _kept) = $open;
                $crate::store::conformance::$rule(&store).await;
            }
        )+
    };
}
pub(crate) use store_conformance;

pub(super) const T0: i64 = 1_800_000_000_000;

pub(in crate::store) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(T0 + seconds * 1_000)
}

pub(super) fn identity(name: &str) -> Identity {
    Identity::parse(name).unwrap()
}

pub(super) fn entry_name() -> EntryName {
    EntryName::parse("e").unwrap()
}

pub(in crate::store) fn revision(name: &str, from: Timestamp) -> Revision {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/x").unwrap());
    let entry = Entry::new(entry_name(), Schedule::cron("0 0 0 1 1 *").unwrap(), request);
    Revision::new(Task::new(identity(name), TimeZone::UTC, vec![entry]), from)
}

/// A log document of a change.
pub(super) fn note(kind: RecordKind, name: &str, time: Timestamp) -> Record {
    let source = json!({
        "type": kind.as_str(), "identity": name, "time": time.secs(), "@timestamp": time.to_string(),
    });
    let source = source.to_string().into();
    Record { id: RecordId::random(), identity: identity(name), kind, settled: None, run: None, time, source }
}

/// The outcome of one instant.
pub(super) fn outcome(kind: RecordKind, name: &str, fire_time: Timestamp) -> Record {
    settling(kind, name, Stretch::one(fire_time))
}

pub(super) fn stretch(name: &str, first: Timestamp, last: Timestamp, count: u64) -> Record {
    settling(RecordKind::Skipped, name, Stretch { first, last, count })
}

fn settling(kind: RecordKind, name: &str, stretch: Stretch) -> Record {
    let id = RunId::planned(&identity(name), &entry_name(), stretch.last).into();
    let settled = Some(Settled { entry: entry_name(), stretch });
    let run = kind.is_fire().then(|| RunState::ended(entry_name()));
    Record { id, settled, run, ..with_key(note(kind, name, stretch.last), "e") }
}

/// The same with the name of an entry in its document.
pub(super) fn with_key(record: Record, key: &str) -> Record {
    let source = format!("{{\"key\":\"{key}\",{}", &record.source[1..]).into();
    Record { source, ..record }
}

/// The same, recorded at another time.
pub(super) fn recorded_at(time: Timestamp, record: Record) -> Record {
    let [before, after] = [record.time, time].map(|time| format!("\"time\":{}", time.secs()));
    Record { time, source: record.source.replacen(&before, &after, 1).into(), ..record }
}

/// A run of a planned instant that is queued or under way.
pub(super) fn started(name: &str, fire_time: Timestamp, phase: u32) -> Record {
    let run = Some(RunState { phase, ..RunState::ended(entry_name()) });
    Record { run, ..settling(RecordKind::Started, name, Stretch::one(fire_time)) }
}

/// A callback of the entry `e` that has ended, or not if it is of the kind started.
pub(super) fn callback(kind: RecordKind, name: &str, sent_at: Timestamp) -> Record {
    let begun = RunState { entry: None, phase: 0, is_dead_letter: false };
    let run = (kind == RecordKind::Started).then_some(begun);
    Record { id: RunId::asked(sent_at).into(), run, ..with_key(note(kind, name, sent_at), "e") }
}

/// A run that somebody asked for, which has ended, or not if it is of the kind started.
pub(super) fn asked_for(kind: RecordKind, name: &str, asked_at: Timestamp) -> Record {
    let phase = if kind == RecordKind::Started { 0 } else { RunState::ENDED };
    let run = Some(RunState { phase, ..RunState::ended(entry_name()) });
    Record { id: RunId::asked(asked_at).into(), run, ..with_key(note(kind, name, asked_at), "e") }
}

/// Takes all leases and gives the epoch of a task's shard.
pub(super) async fn take(store: &impl Store, name: &str) -> Epoch {
    store.take(ShardSet::ALL, "test").await.unwrap()[Shard::of(&identity(name)).index()].epoch
}

pub(super) fn put(epoch: Epoch, name: &str, replaces: Option<u64>, when: Timestamp) -> Change {
    let (next, record) = (Some(revision(name, when)), note(RecordKind::Put, name, when));
    Change { identity: identity(name), replaces, epoch, at: when, next, record, audit: None }
}

/// The same with who did it and what was said.
pub(super) fn noted(change: Change, by: Option<&str>, note: Option<&str>) -> Change {
    let next = change.next.map(|next| Revision { by: by.map(Into::into), note: note.map(Into::into), ..next });
    Change { next, ..change }
}

pub(super) fn delete(epoch: Epoch, name: &str, replaces: u64, when: Timestamp) -> Change {
    let record = note(RecordKind::Delete, name, when);
    Change { identity: identity(name), replaces: Some(replaces), epoch, at: when, next: None, record, audit: None }
}

pub(super) async fn revisions(store: &impl Store, ended_after: Timestamp) -> Vec<Revision> {
    revisions_of(store, ShardSet::ALL, ended_after).await
}

pub(super) async fn revisions_of(store: &impl Store, shards: ShardSet, ended_after: Timestamp) -> Vec<Revision> {
    let mut pages = store.revisions(shards, ended_after);
    let mut all = Vec::new();
    while let Some(page) = pages.recv().await {
        all.extend(page.unwrap());
    }
    all
}

pub(super) fn all_of(name: &str) -> Search {
    Search { identity: identity(name), kind: None, since_secs: None, until_secs: None, limit: 100, skip: 0 }
}

pub(super) async fn outcomes_of(store: &impl Store, name: &str, after: Timestamp) -> Vec<Outcome> {
    store.outcomes(&[(identity(name), entry_name())], after).await.unwrap().remove(0)
}

pub(super) async fn deleted_through(store: &impl Store, name: &str) -> Timestamp {
    store.deleted_through(&[identity(name)]).await.unwrap().remove(0)
}

pub(super) async fn kinds(store: &impl Store, search: Search) -> Vec<RecordKind> {
    store.search(search).await.unwrap().records.into_iter().map(|record| record.kind).collect()
}
