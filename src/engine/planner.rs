//! The `tokio-cron-scheduler` instance: it holds the service's recurring jobs, the planning job above all.
//!
//! It is never given one job per entry: its loop looks at every job twice a second, so lateness and cost would grow with
//! their number. Cron jobs only (repeated ones do not survive a stopped process), and the callbacks only pass a word on.

use std::sync::Arc;

use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// A recurring job of the service itself.
pub struct Recurring {
    /// When: a cron expression with seconds, in UTC.
    pub cron_time: &'static str,
    /// What. It must return at once and never panic.
    pub run: Arc<dyn Fn() + Send + Sync>,
}

/// The scheduler could not be built or started.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler of recurring jobs cannot start")]
pub struct PlannerError(#[from] JobSchedulerError);

/// The running scheduler.
pub struct Planner {
    scheduler: JobScheduler,
}

impl Planner {
    /// Starts the recurring jobs.
    pub async fn start(jobs: Vec<Recurring>) -> Result<Self, PlannerError> {
        let scheduler = JobScheduler::new().await?;
        for Recurring { cron_time, run } in jobs {
            scheduler.add(Job::new(cron_time, move |_id, _scheduler| run())?).await?;
        }
        scheduler.start().await?;
        Ok(Self { scheduler })
    }

    /// Ends the recurring jobs.
    pub async fn stop(mut self) -> Result<(), PlannerError> {
        Ok(self.scheduler.shutdown().await?)
    }
}
