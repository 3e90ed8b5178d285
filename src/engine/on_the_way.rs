//! Records that were decided on and are not with the journal yet: who gives shards away waits for them, or the next owner would
//! decide about the same instants.

use tokio::sync::watch;

/// Counts them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct OnTheWay(watch::Sender<usize>);

/// Some of them. Dropped when the journal has them, or nobody brings them there any more.
#[derive(Debug)]
pub(super) struct Way(watch::Sender<usize>);

impl OnTheWay {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn begin(&self) -> Way {
        self.0.send_modify(|count| *count += 1);
        Way(self.0.clone())
    }

    /// Waits until none is on its way.
    pub(super) async fn ended(&self) {
        // An error cannot be: this holds a sender itself.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_records_waits_for_the_last_of_them() {
        let on_the_way = OnTheWay::new();
        on_the_way.ended().await;
        let (one, other) = (on_the_way.begin(), on_the_way.begin());

        let waiting = tokio::spawn({
            let on_the_way = on_the_way.clone();
            async move { on_the_way.ended().await }
        });
        drop(one);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drop(other);

        waiting.await.unwrap();
    }
}
