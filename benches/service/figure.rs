//! One measured number, and what several scenarios share.

/// Fires once a year: idle while it is measured.
pub(crate) const YEARLY: &str = "0 0 0 1 1 *";
pub(crate) const SECONDLY: &str = "* * * * * *";
/// Clients that put at once.
pub(crate) const CLIENTS: usize = 16;

pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

pub(crate) fn figure(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
    Figure { name: name.into(), value, unit }
}
