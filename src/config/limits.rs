//! The section `[limits]`: how much single tasks, keys and requests may take.

use std::time::Duration;

use super::node_settings::Reader;
use crate::api::PutLimits;
use crate::model::TemplateGrowth;

const SECTION: &str = "limits";

impl Reader<'_> {
    pub(super) fn put_limits(&mut self) -> PutLimits {
        PutLimits {
            entries_max: self.count(SECTION, "entries_max"),
            lists_max: self.count(SECTION, "lists_max"),
            interval_min: Duration::from_secs(self.number(SECTION, "interval_min_s")),
        }
    }

    pub(super) fn template_growth(&mut self) -> TemplateGrowth {
        TemplateGrowth {
            header_bytes_max: self.count(SECTION, "template_header_bytes_max"),
            body_bytes_max: self.count(SECTION, "template_body_bytes_max"),
        }
    }

    pub(super) fn requests_per_key_per_second(&mut self) -> u32 {
        u32::try_from(self.number(SECTION, "requests_per_key_per_second")).unwrap_or(u32::MAX)
    }

    pub(super) fn tasks_per_key_max(&mut self) -> u64 {
        self.number(SECTION, "tasks_per_key_max")
    }
}
