//! `/metrics` tells the truth, to who may know it, and never who the tasks are.

mod cluster;
mod figures;
mod form;

use std::time::Duration;

use crate::support::{Exposition, client};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// All metrics of a service, read strictly.
async fn scrape(base: &str) -> Exposition {
    let answer = client().get(format!("{base}/metrics")).header("accept", OPEN_METRICS).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Exposition::read(&answer.text().await.unwrap())
}

/// Looks at the metrics until something holds of them, for a minute at most.
async fn scrape_until(base: &str, holds: impl Fn(&Exposition) -> bool) -> Exposition {
    let mut last = Exposition::default();
    let looking = async {
        loop {
            last = scrape(base).await;
            if holds(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let looked = tokio::time::timeout(Duration::from_secs(60), looking).await;
    assert!(looked.is_ok(), "not within a minute: {last:#?}");
    last
}

/// How many fires ended with success, as errors, skipped and missed.
fn outcomes(read: &Exposition) -> [f64; 4] {
    ["success", "error", "skipped", "missed"].map(|outcome| read.sum("schedule_fires_total", &[("outcome", outcome)]))
}
