use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the buckets, in microseconds: from a millisecond, near which what is in time lies, to a minute.
const BOUNDS_US: [u64; 15] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// How long things took, in seconds. Cheap to clone: clones count into the same buckets.
///
/// The histogram of the library takes a lock at each observation; this one adds to two numbers.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// One for each bound, and one for what is above all of them.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, span: Duration) {
        let span_us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|&bound| bound < span_us);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_us.fetch_add(span_us, Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS_US.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // What is counted meanwhile may miss in the sum; the buckets always add up to the count.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(seconds(self.0.sum_us.load(Ordering::Relaxed)), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 285 years every microsecond is exact")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_is_as_long_as_a_bound_is_within_it_and_buckets_hold_those_before_them() {
        let histogram = Histogram::default();
        for span_us in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(span_us));
        }
        let mut registry = Registry::default();
        registry.register("a", "a", histogram.clone());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();

        let wanted = [
            "a_sum 120.002002",
            "a_count 5",
            "a_bucket{le=\"0.001\"} 2",
            "a_bucket{le=\"0.002\"} 3",
            "a_bucket{le=\"30.0\"} 3",
        ];
        for line in wanted.into_iter().chain(["a_bucket{le=\"60.0\"} 4", "a_bucket{le=\"+Inf\"} 5"]) {
            assert!(text.lines().any(|other| other == line), "no `{line}` in {text}");
        }
    }
}
