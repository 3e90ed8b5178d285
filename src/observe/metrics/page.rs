//! All metrics as text.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::{AttemptMetrics, OutcomeMetrics, RequestMetrics, State, StoreMetrics, process};

/// What all our own names begin with.
const PREFIX: &str = "schedule";

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
}

impl Form {
    /// The one that a client takes: OpenMetrics if its `Accept` names it, else the older one.
    pub fn accepted(accept: &str) -> Self {
        let takes = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_meant = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            is_meant && quality.is_none_or(|quality| quality > 0.0)
        };
        if accept.split(',').any(takes) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The type of the text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What is answered once: the metrics that rooms hold, as far as the rooms are there, and the state of things.
#[derive(Debug)]
pub struct Page {
    all: Registry,
}

impl Page {
    /// What there always is: requests, the store, the process.
    pub fn new(requests: &RequestMetrics, store: &StoreMetrics) -> Self {
        let mut page = Self { all: Registry::default() };
        requests.register(page.ours());
        store.register(page.ours());
        process::register(&mut page.all);
        page
    }

    /// With what rooms count, and how things stand.
    #[must_use]
    pub fn with(mut self, outcomes: &OutcomeMetrics, attempts: &AttemptMetrics, state: &State) -> Self {
        outcomes.register(self.ours());
        attempts.register(self.ours());
        state.register(self.ours());
        self
    }

    fn ours(&mut self) -> &mut Registry {
        self.all.sub_registry_with_prefix(PREFIX)
    }

    /// The text.
    pub fn text(&self, form: Form) -> String {
        let mut text = String::new();
        encode(&mut text, &self.all).expect("writing to a string does not fail");
        match form {
            Form::OpenMetrics => text,
            Form::Prometheus => older(&text),
        }
    }
}

/// OpenMetrics in the words of the format before it: there a family is called as its samples are, and units and the end are not told.
fn older(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take() {
                written.push_str(&format!("# HELP {name}{suffix} {text}\n"));
            }
            written.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            written.push_str(line);
            written.push('\n');
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_given_to_who_names_it_and_the_older_format_to_all_others() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

        assert_eq!(Form::accepted(prometheus), Form::OpenMetrics);
        assert_eq!(Form::accepted("text/html, Application/OpenMetrics-Text"), Form::OpenMetrics);
        for other in ["", "*/*", "text/plain", "application/openmetrics-text; q=0", "application/openmetrics", ";;,,q"]
        {
            assert_eq!(Form::accepted(other), Form::Prometheus, "{other}");
        }
    }

    #[test]
    fn the_older_format_calls_families_as_their_samples_are_called() {
        let text = "# HELP a A.\n# TYPE a counter\na_total{x=\"# y\"} 1\n# HELP b_seconds B.\n# TYPE b_seconds gauge\n\
            # UNIT b_seconds seconds\nb_seconds 2.0\n# HELP c C.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";

        let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n# HELP b_seconds B.\n\
            # TYPE b_seconds gauge\nb_seconds 2.0\n# HELP c_info C.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(older(text), expected);
    }
}
