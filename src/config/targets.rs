//! The section `[targets]`: where requests may go.

use super::node_settings::Reader;
use crate::model::{Rule, TargetRules};

const SECTION: &str = "targets";

impl Reader<'_> {
    /// The rules. A mistake in one leaves out its list; nothing is started then.
    pub(super) fn targets(&mut self) -> TargetRules {
        let (allow, deny) = (self.rules("allow_targets"), self.rules("deny_targets"));
        let allow_only = self.text(SECTION, "allow_only") == "true";
        if allow_only && allow.as_ref().is_some_and(|rules| rules.is_empty()) {
            self.wrong(SECTION, "allow_only", "false, or rules in allow_targets: nothing could be reached");
        }
        TargetRules { allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default(), allow_only }
    }

    fn rules(&mut self, name: &'static str) -> Option<Box<[Rule]>> {
        let list = self.text(SECTION, name);
        let read = TargetRules::parse_list(&list);
        read.map_err(|mistakes| mistakes.iter().for_each(|mistake| self.wrong_rule(SECTION, name, mistake))).ok()
    }
}
