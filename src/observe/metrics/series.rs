use std::borrow::Cow;
use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// The labels of one series: names with values.
pub(super) type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// A metric with labels, all of whose series are known: each is held by who counts, and is there from the start.
#[derive(Clone, Debug)]
pub(super) struct Series<const N: usize, M>(pub(super) Vec<(Labels<N>, M)>);

impl<M> Series<1, M> {
    /// One series for each value of one label.
    pub(super) fn by<V: Into<Cow<'static, str>>>(
        label: &'static str,
        values: impl IntoIterator<Item = (V, M)>,
    ) -> Self {
        Self(values.into_iter().map(|(value, metric)| ([(label, value.into())], metric)).collect())
    }
}

impl<const N: usize, M: EncodeMetric + TypedMetric> EncodeMetric for Series<N, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in &self.0 {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
