//! The section `[audit]`: what is noted of requests.

use super::node_settings::Reader;
use crate::api::{AuditSettings, WatchedReads};

const SECTION: &str = "audit";

impl Reader<'_> {
    pub(super) fn audit(&mut self) -> AuditSettings {
        let reads = match self.text(SECTION, "reads").as_str() {
            "results" => WatchedReads::Results,
            "all" => WatchedReads::All,
            _ => WatchedReads::None,
        };
        AuditSettings { is_enabled: self.text(SECTION, "enabled") == "true", reads }
    }
}
