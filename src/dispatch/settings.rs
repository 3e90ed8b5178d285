use std::sync::Arc;
use std::time::Duration;

use crate::model::{TargetRules, TemplateGrowth};

/// How requests are sent, and how many at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one attempt may take, from connecting to the end of the answer.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How many requests may be in flight. Further fires wait.
    pub in_flight_max: usize,
    /// How many of them to one host and port. Further fires to it wait, while others go out.
    pub in_flight_per_host_max: usize,
    /// How much of an answer is kept, in bytes. A longer one is cut, with a mark in its record.
    pub response_max: usize,
    /// How much of an answer is kept beside its record, in bytes, if it is longer than the record holds, or no text. A longer one is
    /// cut, with a mark in its record; zero keeps none.
    pub result_max: u64,
    /// How many runs may pause between two attempts. A further one fails without another attempt.
    pub retries_waiting_max: usize,
    /// The `User-Agent` of requests that set none.
    pub user_agent: String,
    /// How much longer templates may make a request. Where they would make it longer the run fails.
    pub growth: TemplateGrowth,
    /// Where requests may go.
    pub targets: Arc<TargetRules>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            in_flight_max: 4_096,
            in_flight_per_host_max: 512,
            response_max: 64 * 1024,
            result_max: 16 * 1024 * 1024,
            retries_waiting_max: 100_000,
            user_agent: concat!("schedule-service/", env!("CARGO_PKG_VERSION")).to_owned(),
            growth: TemplateGrowth::default(),
            targets: Arc::default(),
        }
    }
}
