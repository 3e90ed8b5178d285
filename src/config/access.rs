//! The section `[access]`: who may do what.

use std::ops::RangeInclusive;

use super::node_settings::Reader;
use crate::access::{SecretHash, Settings};

const SECTION: &str = "access";
/// The shortest and the longest admin key, in bytes. It travels in a header.
const KEY_LEN: RangeInclusive<usize> = 32..=1_024;

impl Reader<'_> {
    pub(super) fn access(&mut self) -> Settings {
        Settings {
            admin_key: self.admin_key(),
            allow_anonymous: self.text(SECTION, "allow_anonymous") == "true",
            failed_tries_per_min: u32::try_from(self.number(SECTION, "failed_tries_per_min")).unwrap_or(u32::MAX),
            requests_per_key_per_second: self.requests_per_key_per_second(),
            tasks_per_key_max: self.tasks_per_key_max(),
        }
    }

    /// What is kept of it: nothing later on needs the key itself.
    fn admin_key(&mut self) -> Option<SecretHash> {
        let key = self.text(SECTION, "admin_key");
        if key.is_empty() {
            return None;
        }
        if !KEY_LEN.contains(&key.len()) || !key.chars().all(|c| c.is_ascii_graphic()) {
            let (min, max) = (KEY_LEN.start(), KEY_LEN.end());
            let expected = format!("{min} to {max} letters, digits or signs of ASCII, without blanks");
            self.wrong(SECTION, "admin_key", &expected);
        }
        Some(SecretHash::of(key.as_bytes()))
    }
}
