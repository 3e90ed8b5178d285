//! IANA time zones, compiled into the binary.

use std::fmt;

use chrono_tz::Tz;

/// An IANA time zone such as `Asia/Shanghai`. `Local` is none: a service's zone must not depend on its host.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeZone(Tz);

/// The name is not in the IANA database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{name}`, expected an IANA name such as `Europe/Berlin` or `UTC`{hint}")]
pub struct TimeZoneError {
    name: String,
    hint: String,
}

impl TimeZone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Looks a zone up by its exact IANA name.
    pub fn parse(name: &str) -> Result<Self, TimeZoneError> {
        name.parse().map(Self).map_err(|_| TimeZoneError::new(name))
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The zone's rules.
    pub fn tz(self) -> Tz {
        self.0
    }
}

impl TimeZoneError {
    const SHOWN_MAX: usize = 64;

    fn new(name: &str) -> Self {
        let same_letters = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
        let hint = match same_letters {
            Some(zone) => format!("; did you mean `{}`?", zone.name()),
            None => String::new(),
        };
        Self { name: name.chars().take(Self::SHOWN_MAX).flat_map(char::escape_debug).collect(), hint }
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_by_its_exact_name_only() {
        assert_eq!(TimeZone::parse("Asia/Shanghai").unwrap().name(), "Asia/Shanghai");
        assert!(TimeZone::parse("Local").is_err());
        assert!(TimeZone::parse("../etc/passwd").is_err());
        let mistake = TimeZone::parse("asia/shanghai").unwrap_err().to_string();
        assert!(mistake.contains("did you mean `Asia/Shanghai`?"), "{mistake}");
    }
}
