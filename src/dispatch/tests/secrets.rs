use super::*;
use crate::model::{Header, JsonText};

/// Names a secret in each of its parts.
fn naming(secret: &str, options: EntryOptions) -> Arc<Revision> {
    let reference = format!("${{secret:{secret}}}");
    let headers = [Header::parse("X-Token", &reference).unwrap()].into();
    let url = TargetUrl::parse(&format!("http://u:{reference}@t/{reference}?k={reference}")).unwrap();
    let raw = serde_json::to_string(&format!("<{reference}>")).unwrap();
    let body = JsonText::from_raw(serde_json::from_str(&raw).unwrap());
    let request = Request { headers: Some(headers), body, ..Request::post(url) };
    let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("* * * * * *").unwrap(), request);
    let entry = entry.with_options(Some(Box::new(options)));
    Arc::new(Revision::new(Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry]), Timestamp::EPOCH))
}

#[tokio::test(start_paused = true)]
async fn a_secret_goes_out_and_no_record_holds_it_although_the_target_sends_it_back() {
    let rooms = Rooms::new(|came| Deed::Echo(if came.attempt == "1" { 503 } else { 200 })).await;
    let task = naming("token", retried(3));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    let came = rooms.came();
    assert_eq!(came.len(), 2);
    assert_eq!(
        (came[0].url.as_str(), came[0].body.as_str()),
        ("http://u:hunter2%21@t/hunter2%21?k=hunter2%21", "<hunter2!>")
    );
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!(document["response"], "http://u:***@t/***?k=*** <***>");
    assert_eq!(document["body"], "<${secret:token}>");
    assert_eq!(document["header"]["X-Token"], "${secret:token}");
    assert_eq!(document["url"], "http://u:${secret:token}@t/${secret:token}?k=${secret:token}");
    let all: Vec<String> = rooms.store.records().iter().map(|record| record.source.to_string()).collect();
    assert!(all.iter().all(|source| !source.contains("hunter2")), "{all:#?}");
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_names_an_unknown_secret_fails_without_a_request_and_waits_to_be_run_again() {
    let (rooms, task) = (Rooms::new(|_| Deed::Echo(200)).await, naming("nope", retried(5)));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0; 0]);
    let message = "secret nope is not known (looked in the environment, the store)";
    assert_eq!(rooms.end(run(&task, 0)).await, failed(message));
    assert!(rooms.record(run(&task, 0)).await.run.unwrap().is_dead_letter);
    assert_eq!(rooms.document(run(&task, 0)).await["attempts"].as_array().unwrap().len(), 1);
    rooms.assert_settled().await;
}
